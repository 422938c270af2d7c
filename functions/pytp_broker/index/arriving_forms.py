"""Read a form while it arrives: find its parts and hash its file, so that nobody waits for that."""

from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Any, Self

from pytp_broker.content import Hashed, Opened
from pytp_broker.http.form_data import ArrivedForm, FoundPart, PartFinder
from pytp_broker.index.digests import begin_hashes
from pytp_broker.index.forms import CONTENT, algorithms_of, read_boundary


class ArrivingForm:
    """Takes the bytes of a form in order: first ``begin``, then ``add``.

    A form that is malformed arrives like any other. It is refused when it is read.
    """

    def __init__(self, boundary: str) -> None:
        """Raise ValueError for a boundary that no form may have."""
        self._boundary = boundary
        self._finder = PartFinder(boundary)
        self._file: FoundPart | None = None
        self._hashes: dict[str, Any] = {}
        self._hashed = 0

    @classmethod
    def of(cls, content_type: str) -> Self | None:
        """Return a form of this type that begins to arrive.

        None if the type is another one, or has a boundary that no form may have.
        """
        boundary = read_boundary(content_type)
        try:
            return None if boundary is None else cls(boundary)
        except ValueError:
            return None

    def begin(self, octets: bytes) -> int | None:
        """Take the first bytes, at least ``form_data.FIRST_BYTES``; return where the file begins.

        None if nothing of it has come. It is not hashed then, wherever it begins later.
        """
        for part, piece in self._parts(octets):
            if self._file is None and part.segment.name == CONTENT:
                names = {each.segment.name or "" for each in self._finder.found}
                self._file, self._hashes = part, begin_hashes(algorithms_of(names))
            self._take(part, piece)
        return None if self._file is None else self._file.start

    def add(self, octets: bytes) -> None:
        """Take the next bytes."""
        for part, piece in self._parts(octets):
            self._take(part, piece)

    def arrived(self, head: bytes, file: IO[bytes], size: int) -> ArrivedForm:
        """Return the whole form: what comes before the file, and an open file with the rest.

        If ``begin`` found no file, nothing comes before, and the open file has everything.
        """
        hashed = None if self._file is None else Hashed(self._hashed, self._hashes)
        return ArrivedForm(head, Opened(file, size, hashed), self._boundary, self._finder)

    def _parts(self, octets: bytes) -> Iterator[tuple[FoundPart, bytes]]:
        with suppress(ValueError):
            yield from self._finder.pieces(octets)

    def _take(self, part: FoundPart, piece: bytes) -> None:
        if part is self._file:
            self._hashed += len(piece)
            for each in self._hashes.values():
                each.update(piece)
