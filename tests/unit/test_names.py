"""Names of projects, files and hosts: which texts are names, and their normal spelling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import InvalidName, canonicalize_name, parse_sdist_filename
from packaging.utils import parse_wheel_filename as parse_wheel

from pytp_broker.names import (
    MAX_PROJECT_CHARACTERS,
    InvalidNameError,
    is_host_name,
    is_public_host_name,
    is_sent_host,
    normalize,
    project_in_filenames,
    read_project,
    version_in,
    without_port,
)

NAMES = st.one_of(st.text(max_size=30), st.from_regex(r"[A-Za-z0-9._-]{1,30}", fullmatch=True))


@given(NAMES)
def test_names_are_normalised_as_installers_do(name: str) -> None:
    assert str(normalize(name)) == canonicalize_name(name)


@given(NAMES)
def test_a_name_is_refused_exactly_if_installers_refuse_it(name: str) -> None:
    try:
        expected: str | None = canonicalize_name(name, validate=True)
    except InvalidName:
        expected = None

    try:
        found: str | None = read_project(name)
    except InvalidNameError:
        found = None

    assert found == expected


def test_the_longest_name_is_as_long_as_the_limit() -> None:
    assert read_project("A" * MAX_PROJECT_CHARACTERS) == "a" * MAX_PROJECT_CHARACTERS
    with pytest.raises(InvalidNameError, match="at most 200 characters"):
        read_project("a" * (MAX_PROJECT_CHARACTERS + 1))


def test_file_names_spell_a_project_and_a_version_as_installers_read_them() -> None:
    stem = project_in_filenames(normalize("My.Widgets"))
    wheel, sdist = f"{stem}-1.0+a.b-py3-none-any.whl", f"{stem}-1.0+a.b.tar.gz"

    assert (wheel.partition("-")[0], str(parse_wheel(wheel)[0])) == ("my_widgets", "my-widgets")
    assert str(parse_sdist_filename(sdist)[0]) == "my-widgets"
    assert version_in(wheel, "my-widgets") == version_in(sdist, "my-widgets") == "1.0+a.b"


@pytest.mark.parametrize(
    ("filename", "project", "version"),
    [
        ("My.Widgets-1.0.tar.gz", "my-widgets", "1.0"),
        ("my-widgets-1.0.zip", "my-widgets", "1.0"),
        ("my-widgets-1.0-1.tar.gz", "my-widgets", "1.0-1"),
        ("my-widgets-1.0-1.tar.gz", "my-widgets-1-0", "1"),
    ],
)
def test_the_project_says_where_the_version_in_an_old_name_begins(
    filename: str, project: str, version: str
) -> None:
    assert version_in(filename, project) == version


@pytest.mark.parametrize("host", ["localhost", "a.b", "packages.example.com", "127.0.0.1"])
def test_a_host_name_is_in_lower_case_and_has_labels(host: str) -> None:
    assert is_host_name(host)


@pytest.mark.parametrize(
    "host",
    [
        *("", "A.b", "a..b", ".a", "a.", "-a.b", "a-.b", "a_b", "a b", "a:443", "[::1]"),
        *("a" * 64, ".".join(["a" * 60] * 5), "a.b\n"),
    ],
)
def test_anything_else_is_not_a_host_name(host: str) -> None:
    assert not is_host_name(host)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "0x7f.1", "a.1b", ""])
def test_a_public_host_name_has_a_dot_and_is_not_an_address(host: str) -> None:
    assert is_public_host_name("packages.example.com")
    assert not is_public_host_name(host)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("Example.com:8443", "Example.com"),
        ("example.com.", "example.com."),
        ("[::1]:443", "[::1]"),
        ("[::1]", "[::1]"),
    ],
)
def test_a_request_may_be_sent_to_a_name_or_an_address_with_a_port(host: str, name: str) -> None:
    assert is_sent_host(host)
    assert without_port(host) == name


@pytest.mark.parametrize(
    "host", ["", ":443", "a" * 64, "a..b", "::1", "[::1", "a:b", "a:443:443", "a/b", "a@b", "a\n"]
)
def test_a_request_is_not_sent_to_anything_else(host: str) -> None:
    assert not is_sent_host(host)
