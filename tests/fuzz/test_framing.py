"""The ends of requests, beside h11, which another project wrote and many servers use.

We may refuse what h11 takes, because it is lenient in places. But what it refuses, we refuse, and
of what both take, both must find the same requests with the same bodies: otherwise a proxy that
reads like h11 could be led to see another request than we do.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import h11
from hypothesis import given
from hypothesis import strategies as st

from pytp_broker.local.framing import MAX_BYTES, Body, FramingError, HeadReader


def mostly(good: list[bytes], odd: list[bytes]) -> st.SearchStrategy[bytes]:
    """Return good values most of the time, so that a whole request often has one odd thing."""
    return st.integers(0, 15).flatmap(lambda n: st.sampled_from(odd if n == 0 else good))


METHODS = mostly([b"GET", b"POST", b"HEAD", b"CONNECT"], [b"get", b"G T", b"", b"G(", b"\xe9"])
TARGETS = mostly([b"/", b"/a?b", b"*", b"http://x/"], [b"/\x7f", b"/\xff", b"", b"/ ", b"/\t"])
VERSIONS = mostly(
    [b"HTTP/1.1"] * 5 + [b"HTTP/1.0"], [b"HTTP/1.2", b"HTTP/2.0", b"http/1.1", b"HTTP/1.1 "]
)
ENDS = mostly([b"\r\n"], [b"\n", b"\r", b"\r\r\n", b"\r\n ", b"\n\r\n", b"\x0b\r\n"])
SEPARATORS = mostly([b": ", b":", b":\t "], [b" : ", b"\t:", b": \r\n ", b"", b"=", b"\x00: "])
SIZES = mostly(
    [b"content-length: 5\r\n", b"Content-Length:3\r\n", b"transfer-encoding: Chunked\r\n", b""],
    [
        *(b"content-length%b %b\r\n" % (b":", each) for each in (b"5, 5", b"5,6", b"+5", b"-1")),
        *(b"content-length: %b\r\n" % each for each in (b"05", b"5 5", b"0x5", b"\xb2", b"")),
        *(b"transfer-encoding: %b\r\n" % each for each in (b"xchunked", b"gzip, chunked", b"")),
        *(
            b"transfer-encoding%b chunked\r\n" % each
            for each in (b" :", b"\t:", b":\r\n", b":\x0b")
        ),
        *(b"content-length%b 5\r\n" % each for each in (b" :", b"\x00:", b":\x0c", b"\xa0:")),
        b"content-length: 5\r\ncontent-length: 5\r\n",
        b"content-length: 5\r\ntransfer-encoding: chunked\r\n",
        b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        b"content-length: " + b"1" * 21 + b"\r\n",
    ],
)
NAMES = mostly([b"Connection", b"Expect", b"Upgrade", b"X"], [b"X ", b"\x00", b" X", b"\xe9", b""])
VALUES = mostly(
    [b"x", b"close", b"keep-alive, Close", b"100-continue", b"websocket", b"a b", b"\xe9", b""],
    [b"a\x0bb", b"a\x00", b"a\rb", b"a\nb", b"a\x7f", b"\x85", b"a\x1fb"],
)
fields = st.tuples(NAMES, SEPARATORS, VALUES, ENDS).map(b"".join)
hosts = mostly([b"Host: x\r\n"], [b"", b"Host: x\r\nHost: y\r\n", b"Host : x\r\n"])
chunks = mostly(
    [b"3\r\nabc\r\n", b"A\r\n0123456789\r\n", b"3;x=y\r\nabc\r\n", b"3 \r\nabc\r\n"],
    [
        *(b"3\nabc\n", b"3\r\nabcd\r\n", b"3\r\nab\r\n", b"-3\r\nabc\r\n", b"0x3\r\nabc\r\n"),
        *(b"3;\x00\r\nabc\r\n", b"3;\n\r\nabc\r\n", b"3\r\nabc\n0\r\n\r\n", b"3\r\nabc", b"\r\n"),
        *(
            b" 3\r\nabc\r\n",
            b"3_\r\nabc\r\n",
            b"3\r\nabc\r\r\n",
            b"3 ;x\r\nabc\r\n",
            b"3\r\nabcx\r\n",
        ),
    ],
)
lasts = mostly(
    [b"0\r\n\r\n", b"00;x\r\n\r\n", b"0\r\nX: y\r\n\r\n"],
    [b"0\r\nX: y\n\n", b"0\r\n X\r\n\r\n", b"0\r\nX : y\r\n\r\n", b"0\r\n", b"0\n\n", b""],
)
chunked = st.tuples(st.lists(chunks, max_size=3).map(b"".join), lasts).map(b"".join)
bodies = st.sampled_from([b"", b"123", b"12345"]) | chunked
requests = st.tuples(
    *(METHODS, st.just(b" "), TARGETS, st.just(b" "), VERSIONS, ENDS),
    *(hosts, SIZES, st.lists(fields, max_size=2).map(b"".join), ENDS, bodies),
).map(b"".join)
streams = st.lists(requests, min_size=1, max_size=3).map(b"".join)


@dataclass
class Found:
    """A request, as far as it was read."""

    method: bytes
    target: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""
    is_whole: bool = False


def split(octets: bytes, cuts: list[int]) -> Iterator[bytes]:
    """Yield the bytes in pieces, as they may arrive."""
    edges = sorted({min(cut, len(octets)) for cut in cuts} | {0, len(octets)})
    for start, end in pairwise(edges):
        yield octets[start:end]


class Ours:
    """Our reader of requests; nothing is read after a request that ends its connection."""

    def __init__(self) -> None:
        self.found: list[Found] = []
        self._heads = HeadReader()
        self._received = bytearray()
        self._body: Body | None = None
        self._is_last = False

    def read(self, octets: bytes) -> None:
        """Read what has come; raise FramingError."""
        self._received += octets
        while self._received and self._read_part():
            pass

    def _read_part(self) -> bool:
        if self._body is None and not self._is_last:
            head = self._heads.take(self._received)
            if head is not None:
                self._body, self._is_last = head.body, head.is_last
                self.found.append(Found(head.method, head.target, head.fields))
        if self._body is None:
            return False
        self.found[-1].body += self._body.take(self._received)
        self.found[-1].is_whole = self._body.is_whole
        self._body = None if self._body.is_whole else self._body
        return self._body is None


class Theirs:
    """h11, which answers each request so that it reads the next."""

    def __init__(self) -> None:
        self.found: list[Found] = []
        self._connection = h11.Connection(h11.SERVER)

    def read(self, octets: bytes) -> None:
        """Read what has come; raise RemoteProtocolError."""
        if (
            self._connection.our_state is h11.IDLE
            or self._connection.our_state is h11.SEND_RESPONSE
        ):
            self._connection.receive_data(octets)
            while self._read_event():
                pass

    def _read_event(self) -> bool:
        event = self._connection.next_event()
        if isinstance(event, h11.Request):
            self.found.append(Found(event.method, event.target, list(event.headers)))
        elif isinstance(event, h11.Data):
            self.found[-1].body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            self.found[-1].is_whole = True
            return self._answer()
        return event is not h11.NEED_DATA

    def _answer(self) -> bool:
        self._connection.send(h11.Response(status_code=404, headers=[("content-length", "0")]))
        self._connection.send(h11.EndOfMessage())
        if self._connection.our_state is h11.DONE:
            self._connection.start_next_cycle()
        return self._connection.our_state is h11.IDLE


def refuses(reader: Ours | Theirs, pieces: Iterator[bytes]) -> bool:
    try:
        for piece in pieces:
            reader.read(piece)
    except (FramingError, h11.RemoteProtocolError):
        return True
    return False


@given(streams, st.lists(st.integers(0, 300), max_size=4))
def test_what_h11_refuses_we_refuse_and_the_rest_we_read_alike(
    octets: bytes, cuts: list[int]
) -> None:
    ours, theirs = Ours(), Theirs()
    we_refuse = refuses(ours, split(octets, cuts))
    they_refuse = refuses(theirs, split(octets, cuts))

    assert we_refuse or not they_refuse
    seen = ours.found if not we_refuse else [each for each in ours.found if each.is_whole]
    assert [comparable(each) for each in seen] == [
        comparable(each) for each in theirs.found[: len(seen)]
    ]
    assert we_refuse or len(ours.found) == len(theirs.found)


@given(st.lists(fields, min_size=1, max_size=3).map(b"".join), st.integers(1, 2000))
def test_a_head_with_many_fields_and_one_bad_byte_is_refused_at_once(
    lines: bytes, count: int
) -> None:
    """An expression that can match a text in several ways would not end here."""
    many = (lines.replace(b"\r\n\r\n", b"\r\n") * count)[: MAX_BYTES - 100]

    assert refuses(Ours(), iter([b"GET / HTTP/1.1\r\nHost: x\r\n" + many + b"\x01\r\n\r\n"]))


def comparable(found: Found) -> Found:
    """Return a request without what h11 changes: it writes the coding in lower case."""
    fields = [
        (name, value.lower() if name == b"transfer-encoding" else value)
        for name, value in found.fields
    ]
    return replace(found, fields=fields)


def test_most_streams_of_the_search_are_read() -> None:
    """Without this, a reader that refuses everything would pass."""
    octets = b"POST /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc" * 2
    ours, theirs = Ours(), Theirs()

    assert not refuses(ours, iter([octets]))
    assert not refuses(theirs, iter([octets]))
    assert ours.found == theirs.found
    assert [each.body for each in ours.found] == [b"abc", b"abc"]
