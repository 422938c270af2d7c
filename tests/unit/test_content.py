"""Content in memory and in a file: its bytes at any place, and piece by piece."""

import io

import pytest

from pytp_broker.content import (
    Arrived,
    Content,
    Held,
    Lent,
    Opened,
    Part,
    file_beginning,
    find_place,
    read_all,
    read_pieces,
)

CONTENT = Held(b"0123456789")


@pytest.mark.parametrize(
    "content",
    [
        CONTENT,
        Opened(io.BytesIO(CONTENT.octets), 10),
        Part(Held(b"..0123456789.."), 2, 10),
        Lent(CONTENT, lambda: None),
        *(
            Arrived(b"0123456789"[:n], Opened(io.BytesIO(b"0123456789"[n:]), 10 - n))
            for n in (0, 8)
        ),
    ],
)
@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [(0, 3, b"012"), (7, 3, b"789"), (8, 5, b"89"), (10, 1, b""), (2, 0, b"")],
)
def test_bytes_are_read_at_an_offset_and_end_with_the_content(
    content: Content, offset: int, length: int, expected: bytes
) -> None:
    assert content.read_at(offset, length) == expected


def test_reading_copies_nothing() -> None:
    assert CONTENT.read_at(2, 3).obj is CONTENT.octets
    assert Held(memoryview(CONTENT.octets)[2:]).read_at(0, 3).obj is CONTENT.octets
    assert read_all(CONTENT) is CONTENT.octets
    assert read_all(Part(CONTENT, 2, 3)) == b"234"


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(0, None, [b"0123", b"4567", b"89"]), (3, 8, [b"3456", b"7"]), (4, 4, []), (10, None, [])],
)
def test_pieces_follow_each_other_up_to_the_end(
    start: int, end: int | None, expected: list[bytes]
) -> None:
    assert list(read_pieces(CONTENT, start, end, length=4)) == expected


def test_content_in_memory_is_not_shown() -> None:
    assert "0123" not in repr(CONTENT)


def test_content_without_bytes_has_no_pieces() -> None:
    assert list(read_pieces(Held(b""))) == []


def test_content_that_arrived_in_a_file_of_its_own_is_found_there() -> None:
    file = Opened(io.BytesIO(b"file and more"), 13)
    body = Arrived(b"head", file)

    assert file_beginning(Part(body, 4, 4)) is file
    assert file_beginning(Arrived(b"", file)) is file


@pytest.mark.parametrize(
    "content",
    [
        CONTENT,
        Part(CONTENT, 0, 3),
        Part(Arrived(b"head", Opened(io.BytesIO(b"file"), 4)), 5, 2),
        Arrived(b"head", Opened(io.BytesIO(b"file"), 4)),
    ],
)
def test_other_content_begins_no_file(content: Content) -> None:
    assert file_beginning(content) is None


def test_content_of_a_body_is_found_in_its_file() -> None:
    file = Opened(io.BytesIO(b"file and more"), 13)
    body = Arrived(b"head", file)

    assert find_place(Part(Part(body, 2, 9), 7, 2)) == (file.file, 5)
    assert find_place(Part(body, 3, 5)) is None
