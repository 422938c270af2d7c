"""The staged bytes of a session: where they are, and how they are kept or removed."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from pytp_broker.errors import Conflict, StoreUnavailable
from pytp_broker.names import METADATA_SUFFIX
from pytp_broker.services import Index
from pytp_broker.storage.file_store import staged_key
from pytp_broker.storage.sessions import Session, StagedFile

# A session of a thousand files has two thousand keys. One after the other would take longer than a
# function of AWS may.
_MANY: Final = 20
_THREADS: Final = 16


def content_key_of(session: Session, file: StagedFile) -> str:
    """Return the key of the bytes of an upload; no other upload has it."""
    return staged_key(session.registry, file.upload_id, file.filename)


def keep_all(session: Session, files: Iterable[StagedFile], index: Index) -> None:
    """Let the store keep the bytes of files that become visible next; raise Conflict."""
    try:
        _for_each_key(session, files, index.files.keep)
    except KeyError:
        raise Conflict(
            "the store has lost bytes of this session: delete its files and send them again"
        ) from None


def drop_all(session: Session, index: Index) -> None:
    """Remove the bytes of every file of a session, as far as the store lets us."""
    _drop(session, session.files.values(), index)


def drop(session: Session, file: StagedFile, index: Index) -> None:
    """Remove the bytes of one upload and of its metadata file, as far as the store lets us."""
    _drop(session, [file], index)


def _drop(session: Session, files: Iterable[StagedFile], index: Index) -> None:
    # Nobody can reach the bytes any more, and the bucket removes what is not kept by itself. So the
    # request has done its work even if the store does not answer now.
    with suppress(StoreUnavailable):
        _for_each_key(session, files, index.files.drop)


def _for_each_key(
    session: Session, files: Iterable[StagedFile], call: Callable[[str], None]
) -> None:
    contents = [content_key_of(session, file) for file in files]
    keys = [key for content in contents for key in (content, content + METADATA_SUFFIX)]
    if len(keys) <= _MANY:
        for key in keys:
            call(key)
        return
    with ThreadPoolExecutor(_THREADS, "staged") as threads:
        list(threads.map(call, keys))
