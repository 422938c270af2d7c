"""One request and its answer on a connection: what is written, and what is refused to be."""

import asyncio
from typing import Any

import pytest

from pytp_broker.local.cycles import Cycle, write_start
from pytp_broker.local.framing import Fields, read_head

HEAD = b"POST /a?b=c HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n"
DATE: Fields = [(b"date", b"today")]


class Line:
    """A connection that keeps what is written."""

    scheme, client, default_fields = "https", ("192.0.2.1", 1), DATE

    def __init__(self) -> None:
        self.written = b""
        self.ended = 0

    def write(self, octets: bytes) -> None:
        self.written += octets

    async def wait_to_write(self) -> None:
        """Wait for nothing."""

    def go_on_reading(self) -> None:
        """Read anyway."""

    def end_cycle(self) -> None:
        self.ended += 1


def cycle(head: bytes = HEAD) -> tuple[Cycle, Line]:
    line = Line()
    return Cycle(read_head(head), line), line


def send(subject: Cycle, *messages: dict[str, Any]) -> None:
    async def act() -> None:
        for message in messages:
            await subject.send(message)

    asyncio.run(act())


def start(status: int = 200, length: int = 2, *fields: tuple[bytes, bytes]) -> dict[str, Any]:
    headers = [(b"content-length", b"%d" % length), *fields]
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(octets: bytes = b"", *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": octets, "more_body": more}


def test_a_head_leaves_together_with_the_first_bytes() -> None:
    subject, line = cycle()

    send(subject, start())
    assert line.written == b""
    assert not subject.is_begun
    send(subject, body(b"o", more=True))
    assert line.written == b"HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: 2\r\n\r\no"
    send(subject, body(b"k", more=True), body())

    assert line.written.endswith(b"\r\n\r\nok")
    assert line.ended == 1
    assert subject.is_answered


def test_of_an_answer_to_head_only_the_head_is_sent() -> None:
    subject, line = cycle(HEAD.replace(b"POST", b"HEAD"))

    send(subject, start(401), body(b"ok", more=True), body())

    assert line.written.endswith(b"content-length: 2\r\n\r\n")
    assert subject.is_answered


@pytest.mark.parametrize("sent", [b"", b"o", b"oka"])
def test_an_answer_has_the_length_that_its_head_says(sent: bytes) -> None:
    subject, line = cycle()

    with pytest.raises(RuntimeError, match="length"):
        send(subject, start(), body(sent))

    assert line.written == b""
    assert not subject.is_answered


@pytest.mark.parametrize(
    ("head", "status"), [(HEAD.replace(b"POST", b"HEAD"), 200), (HEAD, 304), (HEAD, 204)]
)
def test_an_answer_without_a_body_may_say_a_length(head: bytes, status: int) -> None:
    subject, line = cycle(head)

    send(subject, start(status, 99), body())

    assert line.written.endswith(b"\r\ncontent-length: 99\r\n\r\n")
    assert subject.is_answered


def test_an_answer_may_end_its_connection_and_says_so_once() -> None:
    subject, line = cycle()

    send(subject, start(200, 0, (b"connection", b"close")), body())

    assert line.written.count(b"close") == 1
    assert subject.is_last


def test_nothing_is_written_once_the_client_has_gone() -> None:
    subject, line = cycle()
    subject.give_up()

    send(subject, start(), body(b"ok"))

    assert line.written == b""
    assert asyncio.run(subject.receive()) == {"type": "http.disconnect"}


def test_a_client_that_asks_first_and_sends_anyway_is_not_told_to() -> None:
    subject, line = cycle(HEAD[:-2] + b"expect: 100-continue\r\n\r\n")
    subject.add(b"abc", is_whole=True)

    message = asyncio.run(subject.receive())

    assert message == {"type": "http.request", "body": b"abc", "more_body": False}
    assert line.written == b""


def test_what_comes_after_the_answer_is_dropped() -> None:
    subject, _ = cycle()
    subject.add(b"a", is_whole=False)
    send(subject, start(200, 0), body())

    subject.add(b"bc", is_whole=True)

    assert subject.held_bytes == 0
    assert asyncio.run(subject.receive()) == {"type": "http.disconnect"}


@pytest.mark.parametrize(
    ("reason", "field"),
    [
        (b"a\r\nb", (b"x", b"y")),
        (b"", (b"x", b"y\r\nz: a")),
        (b"", (b"x", b"y\nz")),
        (b"", (b"x y", b"z")),
        (b"", (b"x:", b"z ")),
    ],
)
def test_an_answer_has_one_head(reason: bytes, field: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="malformed"):
        write_start(200, reason, [field])


def test_a_status_without_a_phrase_has_none() -> None:
    assert write_start(299, b"", []) == b"HTTP/1.1 299 \r\n\r\n"
