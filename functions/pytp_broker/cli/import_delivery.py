"""Receive the content of a file: onto the disk, with every digest that we need."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from tempfile import TemporaryFile
from typing import IO

from pytp_broker.cli.sources.source import Source, SourceError, Stream
from pytp_broker.content import Opened
from pytp_broker.errors import InvalidUpload
from pytp_broker.index.digests import SHA256
from pytp_broker.index.importing import MAX_FILE_BYTES, Delivery
from pytp_broker.index.offers import Offer

Count = Callable[[int], object]


@contextmanager
def delivered(offer: Offer, source: Source, count: Count) -> Iterator[Delivery]:
    """Fetch a file into a temporary one; ``count`` is told how many bytes arrive.

    Nothing reads the source again after that, so a file that changes meanwhile changes nothing. The
    system removes the temporary file, even if the process is killed. Raises SourceError, or
    InvalidUpload for a file that is empty or too large.
    """
    with TemporaryFile() as file:
        stream = source.fetch(offer)
        digests, size = _receive(stream, {SHA256, *offer.digests}, file, count)
        moment = offer.uploaded_at or stream.modified_at or datetime.now(UTC)
        # A time in the future would hide the file from installers that exclude newer ones.
        yield Delivery(Opened(file, size), digests, min(moment, datetime.now(UTC)))


def _receive(
    stream: Stream, algorithms: set[str], file: IO[bytes], count: Count
) -> tuple[dict[str, str], int]:
    hashes = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
    size = 0
    with closing(stream.pieces) as pieces:
        for piece in pieces:
            size += len(piece)
            if size > MAX_FILE_BYTES:
                raise InvalidUpload("the file has more than 5 GB, and S3 takes no larger one")
            for each in hashes.values():
                each.update(piece)
            _write(file, piece)
            count(len(piece))
    if not size:
        raise InvalidUpload("the file is empty")
    _write(file, b"")
    return {name: each.hexdigest() for name, each in hashes.items()}, size


def _write(file: IO[bytes], piece: bytes) -> None:
    """Write a piece; an empty one writes what is still in memory."""
    try:
        file.write(piece)
        if not piece:
            file.flush()
    except OSError as error:
        raise SourceError(f"cannot be kept in the temporary folder: {error.strerror}") from None
