"""Content in memory and in a file: its bytes at any place, and piece by piece."""

import io

import pytest

from pytp_broker.content import Content, Held, Lent, Opened, Part, read_all, read_pieces

CONTENT = Held(b"0123456789")


@pytest.mark.parametrize(
    "content",
    [
        CONTENT,
        Opened(io.BytesIO(CONTENT.octets), 10),
        Part(Held(b"..0123456789.."), 2, 10),
        Lent(CONTENT, lambda: None),
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
