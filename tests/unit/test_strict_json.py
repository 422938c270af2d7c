"""Strict JSON: every reader sees the same values."""

from contextlib import suppress

import pytest

from pytp_broker.strict_json import parse_json


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": 1, "a": 1}',
        b'[{"a": {"b": 1, "b": 2}}]',
        b"[NaN]",
        b"[-Infinity]",
        b'\xef\xbb\xbf"a"',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\\ud800"',
        b'{"\\uDC00": 1}',
        b'["\\udc00\\ud800"]',
        b"[" * 100_000,
        b"",
    ],
)
def test_what_readers_could_see_differently_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)


@pytest.mark.parametrize(
    ("text", "document"),
    [
        (b'{"a": {"a": 1}}', {"a": {"a": 1}}),
        (b'"\\ud83d\\ude00"', "\N{GRINNING FACE}"),
        (b'"\xf0\x9f\x98\x80"', "\N{GRINNING FACE}"),
        (b'"\\\\ud800"', "\\ud800"),
        (b'"\\u00e9"', "é"),
    ],
)
def test_what_all_readers_see_alike_is_taken(text: bytes, document: object) -> None:
    assert parse_json(text) == document


@pytest.mark.parametrize("brackets", ["[]", '{"a":}'])
def test_a_text_of_any_depth_is_taken_or_refused(brackets: str) -> None:
    """Python can read a document that is too deep for it to write; we must refuse it then."""
    for depth in range(500, 1000):
        text = brackets[:-1] * depth + '"\\u0061"' + brackets[-1] * depth
        with suppress(ValueError):
            parse_json(text.encode())
