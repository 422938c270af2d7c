"""Find the end of a request, and refuse one whose end a proxy in front of us may read differently.

Two servers that disagree about the end of a request take one request for two (request smuggling).
h11 is lenient in a few places where RFC 9112 lets a server choose, or asks it to refuse. Here we
refuse each of these requests and close the connection.
"""

import re
from typing import Final

import h11

_END_OF_HEAD: Final = re.compile(rb"\n\r?\n")
_BARE_LINE_FEED: Final = re.compile(rb"(?<!\r)\n")
_FOLDED_LINE: Final = re.compile(rb"\n[ \t]")
_LENGTH: Final = re.compile(rb"\n(content-length|transfer-encoding)[ \t]*:", re.IGNORECASE)


class StrictConnection(h11.Connection):
    """The server side of a connection in h11, but stricter: it refuses what other servers refuse.

    ``complaint`` says why we refused the last request; it is empty if h11 refused it. ``reason`` is
    the reason phrase of the next answer; without one, h11's caller decides.
    """

    complaint: str = ""
    reason: bytes = b""

    def __init__(self) -> None:
        super().__init__(h11.SERVER)
        self._searched = 0  # bytes of the head so far; its end is not among them

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return h11's next event; raise RemoteProtocolError."""
        if self.their_state is h11.IDLE:
            self._refuse(_fault_of_head(self._take_head()))
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._refuse(_fault_of_framing(event))
        return event

    def _take_head(self) -> bytes:
        """Return the head once all of it is there, and empty bytes before that.

        We search no bytes twice for the end of the head. Otherwise a head that comes byte by byte
        would cost as much as a hundred whole ones.
        """
        received = self.trailing_data[0]
        found = _END_OF_HEAD.search(received, max(0, self._searched - 2))
        self._searched = 0 if found else len(received)
        return received[: found.end()] if found else b""

    def _refuse(self, complaint: str) -> None:
        if complaint:
            self.complaint = complaint
            raise h11.RemoteProtocolError(complaint)

    def send_with_data_passthrough(self, event: h11.Event) -> list[bytes] | None:
        """Return the bytes of an event; use our reason phrase for a response, if there is one."""
        if isinstance(event, h11.Response) and self.reason:
            event = h11.Response(
                status_code=event.status_code, headers=event.headers, reason=self.reason
            )
        return super().send_with_data_passthrough(event)


def _fault_of_head(head: bytes) -> str:
    """Return what is wrong with the lines of a head."""
    if _BARE_LINE_FEED.search(head):
        return "a line of the head ends with LF alone: end every line with CR LF"
    if _FOLDED_LINE.search(head):
        return "a header field goes on in a second line: send every field in one line"
    if len(_LENGTH.findall(head)) > 1:
        return (
            "the head has two fields for the length of the body: "
            "send one Content-Length, or Transfer-Encoding, and not both"
        )
    return ""


def _fault_of_framing(request: h11.Request) -> str:
    is_chunked = any(name == b"transfer-encoding" for name, _ in request.headers)
    if is_chunked and request.http_version < b"1.1":
        return "HTTP/1.0 has no Transfer-Encoding: send Content-Length, or a later version of HTTP"
    return ""
