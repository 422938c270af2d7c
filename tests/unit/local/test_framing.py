"""The ends of requests: heads, bodies of a known length and bodies in chunks."""

import re

import pytest

from pytp_broker.local import framing
from pytp_broker.local.framing import (
    MAX_BYTES,
    ChunkedBody,
    FramingError,
    HeadReader,
    SizedBody,
    read_head,
)

HEAD = b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 1000 + b"\r\n\r\n"
START = b"POST /a?b HTTP/1.1\r\nHost: x\r\n"


def refusal(octets: bytes) -> str:
    with pytest.raises(FramingError) as refused:
        HeadReader().take(bytearray(octets))
    return str(refused.value)


def test_a_head_that_comes_byte_by_byte_is_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    searched = 0

    class Counting:
        def search(self, received: bytes, start: int) -> None:
            nonlocal searched
            searched += len(received) - start

    monkeypatch.setattr(framing, "_END_OF_HEAD", Counting())
    reader, received = HeadReader(), bytearray()
    for octet in HEAD[:-2]:
        received.append(octet)
        assert reader.take(received) is None

    assert searched <= 3 * len(HEAD)


def test_a_head_is_taken_and_what_follows_stays() -> None:
    received = bytearray(START + b"X:  a b \t\r\nX:\r\n\r\nrest")

    head = HeadReader().take(received)

    assert head is not None
    assert (head.method, head.target, head.http_version) == (b"POST", b"/a?b", "1.1")
    assert head.fields == [(b"host", b"x"), (b"x", b"a b"), (b"x", b"")]
    assert head.body.is_whole
    assert not head.is_last
    assert not head.asks_first
    assert received == b"rest"


@pytest.mark.parametrize(
    ("version", "fields", "is_last"),
    [
        (b"1.1", b"Connection: Keep-Alive, CLOSE\r\n", True),
        (b"1.1", b"Connection: closed\r\n", False),
        (b"1.0", b"Connection: keep-alive\r\n", True),
    ],
)
def test_what_ends_a_connection(version: bytes, fields: bytes, *, is_last: bool) -> None:
    octets = START.replace(b"1.1", version) + fields + b"\r\n"

    assert read_head(octets).is_last is is_last


@pytest.mark.parametrize(("version", "asks"), [(b"1.1", True), (b"1.0", False)])
def test_a_client_of_the_newer_version_may_ask_first(version: bytes, *, asks: bool) -> None:
    octets = START.replace(b"1.1", version) + b"Expect: 100-Continue\r\n\r\n"

    assert read_head(octets).asks_first is asks


def test_the_older_version_needs_no_host() -> None:
    assert read_head(b"GET / HTTP/1.0\r\n\r\n").fields == []


# What is refused, by what the refusal says.
REFUSED = {
    "begins with its method": [
        b"\r\n" + HEAD,
        b"\x16\x03\x01",
    ],
    "LF alone": [
        b"GET / HTTP/1.1\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\n\n",
    ],
    "second line": [
        START + b"x: y\r\n z\r\n\r\n",
    ],
    "first line": [
        b"GET /\r\nhost: x\r\n\r\n",
        b"GET  / HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.2\r\nhost: x\r\n\r\n",
        b"GET / HTTP/2.0\r\nhost: x\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"G(T / HTTP/1.1\r\nhost: x\r\n\r\n",
    ],
    "header field": [
        START + b"no colon\r\n\r\n",
        START + b"x : y\r\n\r\n",
        START + b": y\r\n\r\n",
        START + b"x: \x00\r\n\r\n",
        START + b"x: a\rb\r\n\r\n",
        START + b"x: a\x0bb\r\n\r\n",
        START + b"x: a\x7f\r\n\r\n",
    ],
    "0 Host": [
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    "2 Host": [
        START + b"host: y\r\n\r\n",
        b"GET / HTTP/1.0\r\nhost: x\r\nhost: x\r\n\r\n",
    ],
    "two fields": [
        START + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
        START + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
    "not a number": [
        START + b"Content-Length: 5, 5\r\n\r\n",
        START + b"Content-Length: +5\r\n\r\n",
        START + b"Content-Length: 5_0\r\n\r\n",
        START + b"Content-Length:\r\n\r\n",
        START + b"Content-Length: " + b"1" * 21 + b"\r\n\r\n",
    ],
    "other than chunked": [
        START + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    ],
    "HTTP/1.0": [
        START.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n",
    ],
    "longer than 16 KiB": [
        START + b"x: " + b"y" * MAX_BYTES,
        START + b"x: " + b"y" * MAX_BYTES + b"\r\n\r\n",
    ],
}


@pytest.mark.parametrize(
    ("octets", "why"), [(octets, why) for why, heads in REFUSED.items() for octets in heads]
)
def test_a_head_that_is_refused(octets: bytes, why: str) -> None:
    assert why in refusal(octets)


def test_a_body_of_a_known_length_ends_there() -> None:
    body, received = SizedBody(5), bytearray(b"one")

    assert (body.take(received), body.is_whole) == (b"one", False)
    received += b"twothree"
    assert (body.take(received), body.is_whole) == (b"tw", True)
    assert received == b"othree"


CHUNKED = b"3\r\none\r\n3;x=y\r\ntwo\r\n0\r\nX: y\r\n\r\n"


@pytest.mark.parametrize("step", [1, 2, 7, 100])
def test_a_body_in_chunks_comes_in_any_pieces(step: int) -> None:
    body, received, taken = ChunkedBody(), bytearray(), b""

    for start in range(0, len(CHUNKED), step):
        assert not body.is_whole
        received += CHUNKED[start : start + step]
        taken += body.take(received)

    assert body.is_whole
    assert taken == b"onetwo"
    assert not received


def test_what_follows_the_chunks_stays() -> None:
    received = bytearray(CHUNKED + b"GET")

    assert ChunkedBody().take(received) == b"onetwo"
    assert received == b"GET"


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"no\r\n", "begin with its size"),
        (b"\r\n", "begin with its size"),
        (b"-1\r\n", "begin with its size"),
        (b"0x1\r\n", "begin with its size"),
        (b" 1\r\n", "begin with its size"),
        (b"1;\x00\r\n", "begin with its size"),
        (b"1;a\nb\r\n", "begin with its size"),
        (b"1" * 21 + b"\r\n", "begin with its size"),
        (b"1\r\nab\r\n", "longer than its size"),
        (b"1\r\na\n0\r\n\r\n", "longer than its size"),
        (b"0\r\nno field\r\n", "is not a header field"),
        (b"0\r\nx: y\n\r\n", "is not a header field"),
        (b"0\r\n x: y\r\n", "is not a header field"),
        (b"0\r\n" + b"x: y\r\n" * 3000, "is not a header field"),
        (b"1;" + b"x" * MAX_BYTES, "longer than 16 KiB"),
    ],
)
def test_chunks_that_are_refused(octets: bytes, why: str) -> None:
    with pytest.raises(FramingError, match=re.escape(why)):
        ChunkedBody().take(bytearray(octets))


BLANKS = b" " * 200


@pytest.mark.parametrize(
    "lines",
    [
        (b"X:" + BLANKS + b"\r\n") * 70 + b"\x01",
        (b"X:" + BLANKS + b"x" + BLANKS + b"\r\n") * 35 + b"\x01",
        (b"X: " + b"x " * 100 + b"\r\n") * 70 + b"\x01",
        b"X:" + BLANKS * 70 + b"\x01",
    ],
    ids=["empty values", "blanks around values", "words", "one value"],
)
def test_a_head_is_refused_at_once_however_its_blanks_could_be_divided(lines: bytes) -> None:
    """An expression that could divide them in many ways would try all of them, and never end."""
    head = b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n\r\n"

    with pytest.raises(FramingError, match="malformed"):
        read_head(head)


def test_a_line_of_a_chunk_is_refused_at_once_however_its_blanks_could_be_divided() -> None:
    with pytest.raises(FramingError, match="size"):
        ChunkedBody().take(bytearray(b"1;" + BLANKS * 70 + b"\x01\r\n"))


def test_blanks_around_a_value_are_no_part_of_it() -> None:
    head = read_head(b"GET / HTTP/1.1\r\nHost: \ta b\t \r\nX:\t\r\n\r\n")

    assert head.fields == [(b"host", b"a b"), (b"x", b"")]
