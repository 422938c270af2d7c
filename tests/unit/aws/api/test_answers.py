"""Answers as they come over a connection, beside Python's own HTTP client."""

import random
from collections.abc import Callable, Sequence
from http.client import HTTPException, HTTPResponse
from io import BytesIO
from typing import Any, Final

import pytest

from pytp_broker.aws.api.answers import Answer, BrokenAnswerError, read_answer

MAX_BYTES: Final = 1000
OK: Final = b"HTTP/1.1 200 OK\r\n"
SEEDS: Final = range(8)
EACH: Final = 250


def pieces_of(octets: bytes, sizes: Sequence[int] = ()) -> Callable[[], bytes]:
    """Return a connection that brings these bytes in pieces of these sizes, and then ends."""
    stream, left = BytesIO(octets), [*sizes]
    return lambda: stream.read(left.pop(0) if left else -1)


def read(octets: bytes, sizes: Sequence[int] = (), *, is_head: bool = False) -> Answer:
    return read_answer(pieces_of(octets, sizes), is_head=is_head, max_bytes=MAX_BYTES)


def test_an_answer_is_read() -> None:
    answer = read(OK + b"X-Amz-Crc32: 1\r\nContent-Length: 4\r\n\r\n{  }")

    assert answer == Answer(200, {"x-amz-crc32": "1", "content-length": "4"}, b"{  }", False)


def test_an_answer_may_come_byte_by_byte() -> None:
    octets = (
        OK
        + b"Transfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\na: b\r\n\r\n"
    )

    assert read(octets, [1] * len(octets)).body == b"abc0123456789"


def test_an_interim_answer_is_passed_over() -> None:
    octets = b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\nx"

    assert read(octets).body == b"x"


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_such_an_answer_has_no_body(status: bytes) -> None:
    assert read(b"HTTP/1.1 " + status + b"\r\n\r\n").body == b""


def test_the_answer_to_head_has_no_body() -> None:
    assert read(OK + b"Content-Length: 1000000\r\n\r\n", is_head=True).body == b""


@pytest.mark.parametrize(
    ("octets", "is_last"),
    [
        (OK + b"Content-Length: 0\r\n\r\n", False),
        (OK + b"Content-Length: 0\r\nConnection: Keep-Alive\r\n\r\n", False),
        (OK + b"Content-Length: 0\r\nConnection: TE, Close\r\n\r\n", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", False),
        # What follows belongs to no request.
        (OK + b"Content-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", True),
    ],
)
def test_a_connection_is_kept_if_both_sides_may_use_it_again(octets: bytes, is_last: bool) -> None:
    assert read(octets).is_last is is_last


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"", "cut off"),
        (OK, "cut off"),
        (OK + b"Content-Length: 4\r\n\r\nabc", "cut off"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "cut off"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", "cut off"),
        (b"<html>no</html>\r\n\r\n", "not HTTP"),
        (b"HTTP/2 200\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "not HTTP"),
        (b"ICY 200 OK\r\n\r\n", "not HTTP"),
        (OK + b"no header\r\n\r\n", "not HTTP"),
        (OK + b"a: b\r\n folded\r\n\r\n", "not HTTP"),
        (OK + b"a : b\r\n\r\n", "not HTTP"),
        (OK + b"a: \0\r\n\r\n", "not HTTP"),
        (OK + b"a: b\nContent-Length: 0\r\n\r\n", "not HTTP"),
        (OK + b"\r\n", "how long"),
        (OK + b"Content-Length: -1\r\n\r\n", "how long"),
        (OK + b"Content-Length: 1_0\r\n\r\n0123456789", "how long"),
        (OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", "how long"),
        (OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "how long"),
        (OK + b"Transfer-Encoding: gzip\r\n\r\n", "how long"),
        (OK + b"Content-Length: 1001\r\n\r\n", "too large"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n3e9\r\n", "too large"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"64\r\n" + b"x" * 100, "cut off"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nx\r\n", "no length"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n\r\n", "no length"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", "another length"),
        (OK + b"a: " + b"x" * 200_000, "too long"),
    ],
)
def test_an_answer_that_cannot_be_believed_is_broken(octets: bytes, why: str) -> None:
    sizes = [65536] * (len(octets) // 65536)

    with pytest.raises(BrokenAnswerError, match=why):
        read(octets, sizes)


class _Socket:
    def __init__(self, octets: bytes) -> None:
        self._stream = BytesIO(octets)

    def makefile(self, _mode: str) -> BytesIO:
        return self._stream


def read_with_python(octets: bytes) -> tuple[int, bytes, bool] | None:
    """Return what Python's client reads; None if it cannot."""
    response = HTTPResponse(_as_socket(octets))
    try:
        response.begin()
        return response.status, response.read(), response.will_close
    except (HTTPException, ValueError, OSError):
        return None


def _as_socket(octets: bytes) -> Any:
    return _Socket(octets)


def made(chance: random.Random) -> bytes:
    """Return an answer, often with something that is odd about it."""
    body = chance.randbytes(chance.choice([0, 1, 10, 300]))
    lines = [chance.choice([b"HTTP/1.1 200 OK", b"HTTP/1.0 500 Oh no", b"HTTP/1.1 404"])]
    lines += [b"X-%d: %s" % (n, chance.choice([b"", b" a ", b"a:b"])) for n in range(3)]
    if chance.random() < 0.3:
        lines.append(b"Connection: " + chance.choice([b"close", b"keep-alive", b"Close, x"]))
    if chance.random() < 0.5:
        lines.append(b"Content-Length: %d" % len(body))
    else:
        lines.append(b"Transfer-Encoding: chunked")
        parts = [body[at : at + 90] for at in range(0, len(body), 90)]
        body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    octets = b"\r\n".join([*lines, b"", body])
    if chance.random() < 0.6:
        return octets
    at, length = chance.randrange(len(octets)), chance.randrange(3)
    return octets[:at] + chance.choice([b"", b"\r\n", b" ", b"0", b":"]) + octets[at + length :]


@pytest.mark.parametrize("seed", SEEDS)
def test_an_answer_is_what_pythons_client_reads_or_is_broken(seed: int) -> None:
    chance, read_by_both = random.Random(seed), 0  # noqa: S311 - not for secrets
    for _ in range(EACH):
        octets = made(chance)
        try:
            answer = read(octets, [chance.randrange(1, 40) for _ in range(5)])
        except BrokenAnswerError:
            continue
        expected = read_with_python(octets)

        assert expected is not None, octets
        assert (answer.status, answer.body) == expected[:2], octets
        assert answer.is_last or not expected[2], octets
        read_by_both += 1

    assert read_by_both > EACH / 2
