"""File names of wheels and sdists, and the versions in them."""

import pytest

from tests.support import distributions
from tests.support.distributions import (
    fields,
    file_part,
    metadata,
    sdist,
    texts,
    wheel,
)
from tests.support.scanner import LEAKED
from tests.support.shelf import Shelf


def named(length: int) -> str:
    """Return a wheel's file name of this many characters."""
    return f"widgets-1.0-py3-none-{'a' * (length - 25)}.whl"


def test_a_file_name_of_240_characters_is_the_longest(shelf: Shelf) -> None:
    longest = wheel(filename=named(240))
    too_long = wheel(filename=named(241))

    assert shelf.publish(longest).status == 200
    assert "at most 240 characters" in shelf.publish(too_long).detail


@pytest.mark.parametrize(
    "filename",
    [
        "gadgets-1.0-py3-none-any.whl",
        "widgets-1.1-py3-none-any.whl",
        "Widgets-1.0-py3-none-any.whl",
        "widgets-1.0-py3-none.whl",
        "widgets-1.0.whl",
        "widgets-one-py3-none-any.whl",
        "widgets-1.0-py3-none-any.WHL",
        "widgets-1.0-py3-none-any.whl.exe",
        "widgets-1.0-py3-none-any.egg",
        "../widgets-1.0-py3-none-any.whl",
        "a/widgets-1.0-py3-none-any.whl",
        "a\\widgets-1.0-py3-none-any.whl",
        "..\\widgets-1.0-py3-none-any.whl",
        "/widgets-1.0-py3-none-any.whl",
        "C:\\widgets-1.0-py3-none-any.whl",
        "\\\\server\\widgets-1.0-py3-none-any.whl",
        "widgets-1.0-py3-none-any.whl/",
        "widgets-1.0-py3-none-any.whl%0D%0AX: y",
        "widgets-1.0-py3-none-any\N{SNOWMAN}.whl",
        "widgets-1.0-py3-none-any\x00.whl",
        "widgets-1.0-py3-none-any\x7f.whl",
        "widgets-1.0-1 x-py3-none-any.whl",
        " widgets-1.0-py3-none-any.whl",
        f"widgets-1.0-{LEAKED}-none-any.whl",
        named(241),
        ".whl",
        "-1.0-py3-none-any.whl",
        "_-1.0-py3-none-any.whl",
        "CON",
    ],
)
def test_a_wheel_is_refused_by_the_name(shelf: Shelf, filename: str) -> None:
    d = wheel()
    sent = fields(d, name="widgets", version="1.0")
    body = distributions.body([*texts(sent), file_part(filename, d.content)])

    assert shelf.post(body).status == 400
    assert shelf.filenames == []


@pytest.mark.parametrize(
    "filename",
    [
        "widgets-1.0.zip",
        "widgets-1.0.tgz",
        "widgets-1.0.tar.bz2",
        "widgets-1.0.tar",
        "Widgets-1.0.tar.gz",
        "widgets-v1.0.tar.gz",
        "widgets-1.0-1.tar.gz",
        "widgets-01.0.tar.gz",
        "widgets.tar.gz",
        "widgets-.tar.gz",
        "-1.0.tar.gz",
        "gadgets-1.0.tar.gz",
    ],
)
def test_an_sdist_is_refused_by_the_name(shelf: Shelf, filename: str) -> None:
    d = sdist()
    sent = fields(d, name="widgets", version="1.0", filetype="sdist")
    body = distributions.body([*texts(sent), file_part(filename, d.content)])

    assert shelf.post(body).status == 400
    assert shelf.filenames == []


@pytest.mark.parametrize(
    "filename", ["my-widgets-1.0.tar.gz", "my.widgets-1.0.tar.gz", "My_Widgets-1.0.tar.gz"]
)
def test_an_sdist_has_one_name(shelf: Shelf, filename: str) -> None:
    """PEP 625."""
    d = sdist("my-widgets", filename=filename)
    sent = fields(d, name="my-widgets", version="1.0")

    assert "`my_widgets-1.0.tar.gz`" in shelf.publish(d, sent).detail


@pytest.mark.parametrize(
    "version", ["1.0", "1", "1.0.dev3", "1!2.0", "1.0+local.1", "2.0rc1.post4"]
)
def test_a_version_is_accepted(shelf: Shelf, version: str) -> None:
    assert shelf.publish(wheel(version=version)).status == 200
    assert shelf.publish(sdist(version=version)).status == 200


def test_versions_are_compared_as_versions(shelf: Shelf) -> None:
    d = wheel(text=metadata(version="1.0.0"))

    assert shelf.publish(d, fields(d, version="1")).status == 200
