"""The forms of uploads: those of real clients, and malformed ones."""

import gzip
import hashlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import distributions
from tests.support.attesting import attest
from tests.support.distributions import (
    BOUNDARY,
    SDIST_NAME,
    WHEEL_NAME,
    Distribution,
    fields,
    file_part,
    form,
    part,
    sdist,
    text_part,
    texts,
    wheel,
)
from tests.support.shelf import Shelf
from tests.support.sigstores import PUBLISH, SLSA

TWO_NAMES = 'form-data; name="x"\r\nContent-Disposition: form-data; name="name"'


UV_EXTRAS = [
    ("description", "# Widgets\n"),
    ("requires_python", ""),
    ("classifiers", "Private :: Do Not Upload"),
    ("classifiers", "Typing :: Typed"),
    ("import_names", "widgets"),
    ("dynamic", "license-file"),
    ("license_file", "LICENSE"),
]


PDM_EXTRAS = [("summary", ""), ("home_page", ""), ("requires_python", ""), ("provides_extras", "x")]


HATCH_EXTRAS = [
    ("metadata_version", "2.4"),
    ("author_email", "A <a@example.com>"),
    ("project_url", "Home, https://example.com"),
    ("requires_dist", "packaging>=26"),
    ("description_content_type", "text/markdown"),
]


def blake2(distribution: Distribution) -> str:
    return hashlib.blake2b(distribution.content, digest_size=32).hexdigest()


def md5(distribution: Distribution) -> str:
    return hashlib.md5(distribution.content, usedforsecurity=False).hexdigest()


def uv(d: Distribution) -> list[bytes]:
    """Attestations after the content, which has no content type."""
    sent = [*fields(d, blake2_256_digest=blake2(d), pyversion="py3"), *UV_EXTRAS]
    content = file_part(d.filename, d.content)
    return [
        *texts(sent),
        content,
        text_part("attestations", attest(d, PUBLISH, SLSA)),
    ]


def twine(d: Distribution) -> list[bytes]:
    sent = fields(d, blake2_256_digest=blake2(d), pyversion="py3", keywords="a, b")
    return [
        *texts(sent),
        file_part(d.filename, d.content, kind="application/octet-stream"),
    ]


def pdm(d: Distribution) -> list[bytes]:
    """Empty strings for what is not set, and `provides_extras`."""
    sent = [*fields(d, md5_digest=md5(d), blake2_256_digest=blake2(d)), *PDM_EXTRAS]
    return [
        *texts(sent),
        file_part(d.filename, d.content, kind="application/octet-stream"),
    ]


def maturin(d: Distribution) -> list[bytes]:
    return [
        *texts(fields(d)),
        file_part(d.filename, d.content, kind="application/gzip"),
    ]


def hatch(d: Distribution) -> list[bytes]:
    """Every header of the metadata."""
    sent = fields(d, metadata_version=None, md5_digest=md5(d), blake2_256_digest=blake2(d))
    return [*texts([*sent, *HATCH_EXTRAS]), file_part(d.filename, d.content)]


def flit(d: Distribution) -> list[bytes]:
    """No `pyversion` for an sdist, and the fields in an order of its own."""
    sent = fields(d, md5_digest=md5(d), provides="widgets")
    return [*texts(sent[::-1]), file_part(d.filename, d.content)]


def content_first(d: Distribution) -> list[bytes]:
    return [file_part(d.filename, d.content, kind="image/png"), *texts(fields(d))]


@pytest.mark.parametrize("distribution", [wheel(), sdist()], ids=["wheel", "sdist"])
@pytest.mark.parametrize("client", [uv, twine, pdm, maturin, hatch, flit, content_first])
def test_a_form_is_accepted_as_sent_by(
    shelf: Shelf, client: Callable[[Distribution], list[bytes]], distribution: Distribution
) -> None:
    body = distributions.body(client(distribution))

    assert shelf.post(body).status == 200


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("md5_digest", md5(wheel())),
        ("sha256_digest", wheel().sha256),
        ("sha256_digest", wheel().sha256.upper()),
        ("blake2_256_digest", blake2(wheel())),
    ],
)
def test_any_one_digest_is_enough(shelf: Shelf, name: str, digest: str) -> None:
    sent = fields(wheel(), sha256_digest=None)

    assert shelf.publish(wheel(), [*sent, (name, digest)]).status == 200


def test_a_thousand_fields_are_accepted(shelf: Shelf) -> None:
    sent = [*fields(wheel()), *[("requires_dist", f"p{i}") for i in range(1000)]]

    assert shelf.publish(wheel(), sent).status == 200


@pytest.mark.parametrize(
    "changes",
    [
        {":action": None},
        {":action": "submit"},
        {":action": "remove_pkg"},
        {"protocol_version": "2"},
        {"filetype": None},
        {"filetype": "sdist"},
        {"filetype": "bdist_egg"},
        {"name": ""},
        {"name": "-widgets"},
        {"name": "widgets\n"},
        {"name": "wid gets"},
        {"name": "../widgets"},
        {"name": "w\N{LATIN SMALL LETTER DOTLESS I}dgets"},
        {"name": "w" * 201},
        {"name": "w" * 1025},
        {"version": None},
        {"version": "1.1"},
        {"version": "one"},
        {"version": "9" * 1000 + ".0"},
        {"sha256_digest": None},
        {"sha256_digest": ""},
        {"sha256_digest": "0" * 64},
        {"sha256_digest": wheel().sha256[:-1]},
        {"sha256_digest": f" {wheel().sha256}"},
        {"md5_digest": "0" * 32},
        {"blake2_256_digest": "0" * 64},
        {"description": "x" * (1024 * 1024 + 1)},
    ],
    ids=repr,
)
def test_a_field_is_refused(shelf: Shelf, changes: dict[str, str | None]) -> None:
    answer = shelf.publish(wheel(), fields(wheel(), **changes))

    assert answer.status == 400
    assert shelf.filenames == []


@pytest.mark.parametrize(
    "name", [":action", "protocol_version", "filetype", "name", "version", "sha256_digest"]
)
def test_a_repeated_field_is_refused(shelf: Shelf, name: str) -> None:
    sent = fields(wheel())
    again = [(field, value) for field, value in sent if field == name]

    assert shelf.publish(wheel(), [*sent, *again]).status == 400


@pytest.mark.promise("one-project")
def test_a_second_name_does_not_move_an_upload_to_another_project(shelf: Shelf) -> None:
    distribution = wheel("gadgets")
    sent = [("name", "widgets"), *fields(distribution)]

    assert shelf.publish(distribution, sent).status == 400


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [file_part(WHEEL_NAME, wheel().content)] * 2,
        [text_part("content", wheel().content)],
        [file_part("", wheel().content)],
        [file_part(WHEEL_NAME, b"")],
        [file_part(WHEEL_NAME, wheel().content), file_part("x", b"widgets", name="filetype")],
        [file_part(WHEEL_NAME, wheel().content), text_part("md5_digest", b"\xff")],
        [file_part(WHEEL_NAME, wheel().content), part('form-data; filename="x"', b"")],
        [file_part(WHEEL_NAME, wheel().content), part("form-data", b"")],
        [file_part(WHEEL_NAME, wheel().content), part(TWO_NAMES, b"")],
        [file_part(WHEEL_NAME, wheel().content), part('attachment; name="x"', b"")],
        [file_part(WHEEL_NAME, wheel().content), text_part("x" * 600, b"")],
        [file_part(WHEEL_NAME, wheel().content), *[text_part("x", b"")] * 4096],
    ],
    ids=[
        "no file",
        "two files",
        "content without a file name",
        "empty file name",
        "empty file",
        "a file for a text field",
        "not UTF-8",
        "a part without a name",
        "a part without parameters",
        "a part with two names",
        "a part of another disposition",
        "a long header",
        "too many parts",
    ],
)
def test_a_form_is_refused(shelf: Shelf, parts: list[bytes]) -> None:
    answer = shelf.post(distributions.body([*texts(fields(wheel())), *parts]))

    assert answer.status == 400
    assert shelf.filenames == []


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=other",
        f"multipart/mixed; boundary={BOUNDARY}",
        'multipart/form-data; boundary="\n"',
        "multipart/form-data; boundary=" + "x" * 2000,
        'multipart/form-data; boundary="\ud800"',
    ],
)
def test_a_body_of_another_type_is_refused(shelf: Shelf, content_type: str | None) -> None:
    assert shelf.post(form(wheel()), content_type=content_type).status == 400


def test_a_truncated_form_is_refused(shelf: Shelf) -> None:
    assert shelf.post(form(wheel())[:-10]).status == 400


FORM = form(wheel())


@given(st.one_of(st.binary(max_size=2000), st.binary(max_size=200).map(lambda b: FORM[:300] + b)))
def test_a_hostile_body_is_a_problem_of_the_caller(body: bytes) -> None:
    shelf = Shelf()

    answer = shelf.post(body)

    assert answer.status == 400
    assert answer.detail


@given(st.data())
def test_a_form_with_changed_bytes_never_breaks_us(data: st.DataObject) -> None:
    shelf = Shelf()
    position = data.draw(st.integers(0, len(FORM) - 1))
    octets = data.draw(st.binary(min_size=1, max_size=4))

    answer = shelf.post(FORM[:position] + octets + FORM[position + len(octets) :])

    assert answer.status in {200, 400, 401, 403}


@given(st.sampled_from([wheel(), sdist()]), st.data())
def test_an_archive_with_changed_bytes_never_breaks_us(
    d: Distribution, data: st.DataObject
) -> None:
    shelf = Shelf()
    raw = gzip.decompress(d.content) if d.filename == SDIST_NAME else d.content
    position = data.draw(st.integers(0, len(raw) - 1))
    octets = data.draw(st.binary(min_size=1, max_size=4))
    changed = raw[:position] + octets + raw[position + len(octets) :]
    content = gzip.compress(changed) if d.filename == SDIST_NAME else changed

    assert shelf.publish(Distribution(d.filename, content)).status in {200, 400}
