"""The content of an object in S3, of which only those ranges are fetched that are read.

Each request costs a round trip, so we fetch more than is asked for: a little at first, because a
reader of a zip's directory jumps; then more and more while a reader goes on. Only the last fetched
range is kept in memory.
"""

from dataclasses import dataclass
from typing import Any, Final

from pytp_broker.aws.api.errors import CallError
from pytp_broker.aws.api.s3 import S3
from pytp_broker.content import Content, Held
from pytp_broker.errors import StoreUnavailable

# How much is fetched at a place that nobody has read yet, and at most when a reader goes on.
FIRST_BYTES: Final = 64 * 1024
MOST_BYTES: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Range:
    start: int
    octets: bytes

    @property
    def end(self) -> int:
        return self.start + len(self.octets)


class Ranged:
    """Content of an object, which must not change. Two threads must not read it at the same time.

    ``beginning`` is the answer to a request for the object's first bytes.
    """

    def __init__(self, fetch: "Fetch", size: int, beginning: bytes) -> None:
        self._fetch = fetch
        self._held = _Range(0, beginning)
        self._ahead = FIRST_BYTES
        self.size = size

    def read_at(self, offset: int, length: int) -> memoryview:
        """Return the bytes at an offset; fewer at the end. Raises StoreUnavailable."""
        end = min(offset + length, self.size)
        if end <= offset:
            return memoryview(b"")
        if not self._held.start <= offset <= end <= self._held.end:
            self._ahead = self._look_ahead(offset)
            last = min(offset + max(length, self._ahead), self.size)
            self._held = _Range(offset, self._fetch.range(offset, last))
        start = offset - self._held.start
        return memoryview(self._held.octets)[start : start + end - offset]

    def _look_ahead(self, offset: int) -> int:
        """Return how much to fetch: more than before if the reader has gone on from there."""
        more = min(2 * self._ahead, MOST_BYTES)
        goes_on = self._held.start <= offset <= self._held.end + more
        return more if goes_on else FIRST_BYTES


class Fetch:
    """Fetches ranges of one object, and notices if it has been replaced."""

    def __init__(self, client: S3, bucket: str, key: str) -> None:
        self._client = client
        self._key = key
        self._object: dict[str, Any] = {"Bucket": bucket, "Key": key}

    def open(self) -> Content:
        """Return the object's content; raise KeyError or StoreUnavailable."""
        try:
            answer, octets = self._get(0, FIRST_BYTES)
        except CallError as error:
            if error.code == "InvalidRange":  # no byte is there: the object is empty
                return Held(b"")
            if error.code == "NoSuchKey":
                raise KeyError(self._key) from None
            raise _unreadable(error) from None
        self._object["IfMatch"] = answer["ETag"]
        return Ranged(self, int(answer["ContentRange"].rpartition("/")[2]), octets)

    def range(self, start: int, end: int) -> bytes:
        """Return the bytes between two offsets; raise StoreUnavailable."""
        try:
            _, octets = self._get(start, end)
        except CallError as error:
            raise _unreadable(error) from None
        if len(octets) != end - start:
            raise StoreUnavailable(_UNREADABLE, operator_detail="GetObject: another length")
        return octets

    def _get(self, start: int, end: int) -> tuple[Any, bytes]:
        answer: Any = self._client.get_object(**self._object, Range=f"bytes={start}-{end - 1}")
        return answer, answer["Body"].read()


_UNREADABLE: Final = "the stored files cannot be read now; try again"


def _unreadable(error: CallError) -> StoreUnavailable:
    return StoreUnavailable(_UNREADABLE, operator_detail=error.cause)
