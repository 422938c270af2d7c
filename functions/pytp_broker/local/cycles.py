"""One request on a connection and the answer to it, as messages of ASGI."""

import asyncio
import re
from http import HTTPStatus
from typing import Final, Protocol

from pytp_broker.local.answers import Message, Scope
from pytp_broker.local.framing import Fields, Head, read_fields, says

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_CLOSE: Final = (b"connection", b"close")
_PHRASES: Final = {status.value: status.phrase.encode() for status in HTTPStatus}
_PHRASE: Final = re.compile(rb"[\t\x20-\x7e]*")
_WITHOUT_BODY: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


class Connection(Protocol):
    """What a cycle needs of its connection."""

    scheme: str
    client: tuple[str, int]

    @property
    def default_fields(self) -> Fields:
        """Return the header fields of every answer."""

    def write(self, octets: bytes) -> None:
        """Send bytes, or keep them until the client reads."""

    async def wait_to_write(self) -> None:
        """Return once everything that was written has left."""

    def go_on_reading(self) -> None:
        """Let the client send more of its request."""

    def end_cycle(self) -> None:
        """Go on after a complete answer."""


class Cycle:
    """A request, and the answer to it.

    ``is_last`` says that the connection ends with this answer. ``is_over`` says that nobody gets
    the answer, because the client has gone or we have given it up.
    """

    def __init__(self, head: Head, connection: Connection) -> None:
        self.head = head
        self.is_last = head.is_last
        self.is_begun = self.is_answered = self.is_over = False
        # The client asks before it sends its body (`Expect: 100-continue`), and we said nothing.
        self._is_asking = head.asks_first
        self._connection = connection
        self._body = b""
        self._is_body_whole = False
        self._news = asyncio.Event()
        self._start = b""
        self._left = 0  # bytes of the answer's body

    @property
    def scope(self) -> Scope:
        """Return the request without its body."""
        path, _, query = self.head.target.partition(b"?")
        return {
            "type": "http",
            "http_version": self.head.http_version,
            "scheme": self._connection.scheme,
            "client": self._connection.client,
            "method": self.head.method.decode(),
            "raw_path": path,
            "query_string": query,
            "headers": self.head.fields,
        }

    @property
    def whole_body(self) -> bytes | None:
        """Return the body, which stays here; None if it has not come whole."""
        return self._body if self._is_body_whole else None

    @property
    def held_bytes(self) -> int:
        """Return how much of the body has come and was not read."""
        return len(self._body)

    @property
    def must_wait_for_body(self) -> bool:
        """Say whether the answer must not end yet: its end closes the connection.

        If a body arrives then, the system resets the connection, and the client may lose the
        answer. A proxy that speaks HTTP/1.0 to us turns that into a 502. A client that asked first
        sends no body.
        """
        return self.head.is_last and not self._is_body_whole and not self._is_asking

    def add(self, octets: bytes, *, is_whole: bool) -> None:
        """Take bytes of the body; drop them once the answer is complete."""
        if self.is_answered:
            return
        self._body += octets
        self._is_body_whole = is_whole
        if octets or is_whole:
            self._is_asking = False
            self._news.set()

    def give_up(self) -> None:
        """End the cycle: nobody gets its answer."""
        self.is_over = True
        self._news.set()

    async def receive(self) -> Message:
        """Return the next bytes of the body; tell a client that asks first to send it."""
        if self._is_asking and not self.is_begun:
            self._is_asking = False
            self._connection.write(_CONTINUE)
        if not self.is_over and not self.is_answered:
            self._connection.go_on_reading()
            await self._news.wait()
            self._news.clear()
        if self.is_over or self.is_answered:
            return {"type": "http.disconnect"}
        octets, self._body = self._body, b""
        return {"type": "http.request", "body": octets, "more_body": not self._is_body_whole}

    async def send(self, message: Message) -> None:
        """Send a part of the answer; the first line leaves together with the first bytes.

        Of an answer to HEAD only the head is sent (RFC 9110 §9.3.2).
        """
        if message["type"] == "http.response.start":
            self._begin(message)
            return
        await self._connection.wait_to_write()
        if not self.is_over:
            octets = b"" if self.head.method == b"HEAD" else message.get("body", b"")
            self._send(octets, is_end=not message.get("more_body"))

    def write(self, start: Message, octets: bytes) -> None:
        """Write a whole answer to a client that has read all that was written before."""
        if not self.is_over:
            self._begin(start)
            self._send(b"" if self.head.method == b"HEAD" else octets, is_end=False)

    def end(self) -> None:
        """End an answer that has left."""
        if not self.is_over:
            self._send(b"", is_end=True)

    def _begin(self, start: Message) -> None:
        """Make the head of the answer.

        A client that still asks may send its body nevertheless, so the connection ends here (RFC
        9110 §10.1.1).
        """
        given: Fields = start["headers"]
        is_closing = says(given, *_CLOSE)
        self.is_last = self.is_last or self._is_asking or is_closing
        added = [_CLOSE] if self.is_last and not is_closing else []
        fields = [*self._connection.default_fields, *given, *added]
        self._start = write_start(start["status"], start.get("reason", b""), fields)
        if start["status"] not in _WITHOUT_BODY and self.head.method != b"HEAD":
            self._left = int(dict(given).get(b"content-length", b"0"))

    def _send(self, octets: bytes, *, is_end: bool) -> None:
        self._left -= len(octets)
        if self._left < 0 or (is_end and self._left):
            raise RuntimeError("the answer does not have the length that its head says")
        if self._start or octets:
            self.is_begun = True
            self._connection.write(self._start + octets)
            self._start = b""
        if is_end:
            self.is_answered = True
            self._body = b""
            self._news.set()
            self._connection.end_cycle()


def write_start(status: int, reason: bytes, fields: Fields) -> bytes:
    """Return the head of an answer; raise ValueError for what would be more than one."""
    phrase = reason or _PHRASES.get(status, b"")
    lines = b"".join([b"%s: %s\r\n" % field for field in fields])
    if not _PHRASE.fullmatch(phrase) or read_fields(lines) != fields:
        raise ValueError("a header field of the answer is malformed")
    return b"HTTP/1.1 %d %s\r\n%s\r\n" % (status, phrase, lines)
