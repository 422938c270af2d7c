"""The parts of a form are views of the body: nothing is copied."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multipart import MultipartError

from pytp_broker.content import Held, read_all
from pytp_broker.http import form_data
from pytp_broker.http.form_data import FIRST_BYTES, PartFinder, find_parts
from tests.support.distributions import BOUNDARY, body, file_part, text_part

DELIMITER = b"\r\n--" + BOUNDARY.encode()
# Octets that look like a boundary between parts.
PAYLOADS = [
    b"",
    b"\r",
    b"\r\n",
    b"\r\n\r\n",
    b"\r\n--",
    DELIMITER[:-1],
    DELIMITER[:-1] + b"\r\n\r\n" + DELIMITER[:-1],
    b"\r" * 50,
    DELIMITER[2:] + b"\r\n",
    b"x" * 100 + b"\r\n",
]
FORM = body(file_part("a", payload, name="content") for payload in PAYLOADS)


def payloads(octets: bytes) -> list[bytes]:
    return [read_all(part) for _, part in find_parts(Held(octets), BOUNDARY)]


@pytest.mark.parametrize("size", [*range(1, 80), 1000])
def test_the_parts_are_the_same_in_blocks_of_any_size(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(form_data, "_BLOCK_BYTES", size)

    assert payloads(FORM) == PAYLOADS


@pytest.mark.parametrize("epilogue", [b"", b"\r\n", b"\n", b"x" * 200, b"\r\n" + FORM])
def test_what_follows_a_form_does_not_matter(
    monkeypatch: pytest.MonkeyPatch, epilogue: bytes
) -> None:
    monkeypatch.setattr(form_data, "_BLOCK_BYTES", 64)

    assert payloads(FORM.removesuffix(b"\r\n") + epilogue) == PAYLOADS


@pytest.mark.parametrize("lines", [1, 10])
def test_a_preamble_does_not_shift_the_parts(monkeypatch: pytest.MonkeyPatch, lines: int) -> None:
    monkeypatch.setattr(form_data, "_BLOCK_BYTES", 64)

    assert payloads(b"--preamble\r\n\r\nwith an empty line\r\n" * lines + FORM) == PAYLOADS


def test_each_part_stays_where_the_body_is() -> None:
    content = Held(FORM)

    assert all(part.whole is content for _, part in find_parts(content, BOUNDARY))


@pytest.mark.parametrize(("length", "is_found"), [(65_000, True), (66_000, False)])
def test_a_form_begins_within_64_kibibytes(length: int, *, is_found: bool) -> None:
    preamble = b"x" * length + b"\r\n"

    if is_found:
        assert payloads(preamble + FORM) == PAYLOADS
    else:
        with pytest.raises(MultipartError):
            payloads(preamble + FORM)


@pytest.mark.parametrize("cut", [b"", FORM[:-20], FORM.removesuffix(b"--\r\n"), b"no form"])
def test_a_form_that_is_not_whole_is_a_value_error(cut: bytes) -> None:
    with pytest.raises(MultipartError):
        payloads(cut)


def test_a_field_is_found_beside_a_file() -> None:
    octets = body([text_part("name", "widgets"), file_part("a", b"content")])

    names = [segment.name for segment, _ in find_parts(Held(octets), BOUNDARY)]

    assert names == ["name", "content"]


LONG = file_part("a", b"x" * FIRST_BYTES, name="content")
JUNK = st.sampled_from([b"", DELIMITER, DELIMITER + b"--", b"\r\n\r\n", b"x" * 9000])


@given(
    st.lists(st.sampled_from(PAYLOADS), max_size=4),
    st.tuples(st.integers(0, 400), JUNK),
    st.lists(st.integers(1, 300), max_size=20),
)
def test_a_form_in_pieces_is_the_form_in_one(
    rest: list[bytes], junk: tuple[int, bytes], lengths: list[int]
) -> None:
    form = body([LONG, *(file_part("a", payload) for payload in rest)])
    place = max(FIRST_BYTES, len(form) - junk[0])
    changed = form[:place] + junk[1] + form[place:]

    assert in_pieces(changed, lengths) == in_one(changed)


def in_one(octets: bytes) -> list[tuple[str, int, int]] | None:
    try:
        found = find_parts(Held(octets), BOUNDARY)
    except ValueError:  # what it says depends on the pieces
        return None
    return [(str(segment.headerlist), part.start, part.size) for segment, part in found]


def in_pieces(octets: bytes, lengths: list[int]) -> list[tuple[str, int, int]] | None:
    finder, start, seen = PartFinder(BOUNDARY), 0, b""
    try:
        for length in [FIRST_BYTES, *lengths, len(octets)]:
            seen += b"".join(piece for _, piece in finder.pieces(octets[start : start + length]))
            start += length
        found = finder.finish(Held(octets))
    except ValueError:  # what it says depends on the pieces
        return None
    assert seen == b"".join(read_all(part) for _, part in found)
    return [(str(segment.headerlist), part.start, part.size) for segment, part in found]
