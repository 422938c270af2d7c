"""The store for the bytes of distributions: a key is written once, and its bytes never change."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from pytp_broker.content import Content
from pytp_broker.names import METADATA_SUFFIX
from pytp_broker.storage.file_records import PublishedFile

# What the keys of uploads to a publishing session begin with. They stay there once they are
# published, so publishing copies nothing.
STAGED: Final = "staged/"
# How long a client may begin to send the bytes of a target.
TARGET_LIFETIME: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a client puts the bytes of one upload, with PUT and exactly these headers.

    ``url`` carries its own right. It may be relative to the root of the host that the client uses.
    """

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Stored:
    """What a store says about the bytes under a key; ``sha256`` is None if it does not know it."""

    size: int
    sha256: str | None


class FileStore(Protocol):
    """Store of bytes by key. Every method raises StoreUnavailable when the store fails."""

    def save(self, key: str, content: Content, sha256: str) -> None:
        """Store the bytes under the key; the same key always has the same bytes.

        ``sha256`` is the hash of the content, which a store may check but need not compute again.
        """

    def open(self, key: str) -> AbstractContextManager[Content]:
        """Return the content, of which only what is asked for is read; KeyError if there is none.

        The context, or the call, raises KeyError. Reading raises StoreUnavailable.
        """

    def download_url(self, key: str, filename: str) -> str | None:
        """Return a short-lived URL of the bytes, or None if the caller must ``open`` them."""

    def upload_target(self, key: str, size: int, sha256: str, now: datetime) -> Target:
        """Return where a client may put bytes of this size and hash under a staged key, once.

        A store that takes other bytes nevertheless would show it in ``find``.
        """

    def find(self, key: str) -> Stored | None:
        """Return what is stored under a key, or None."""

    def keep(self, key: str) -> None:
        """Take the mark off staged bytes by which the store removes what nobody publishes.

        Call it before the file becomes visible; a second call changes nothing. Raises KeyError when
        there are no bytes.
        """

    def drop(self, key: str) -> None:
        """Give up staged bytes that are not kept, if there are any; the store removes them soon."""


class Bin(Protocol):
    """Takes the bytes of deleted files: nobody can read them, and after some time they are gone."""

    def discard(self, key: str) -> None:
        """Take the bytes under a key, if there are any; raise StoreUnavailable."""


def content_key(registry: str, sha256: str, filename: str) -> str:
    """Return the key of a distribution that came with one request."""
    return f"files/{registry}/{sha256}/{filename}"


def metadata_key(registry: str, sha256: str, filename: str) -> str:
    """Return the key of a distribution's METADATA or PKG-INFO (PEP 658)."""
    return content_key(registry, sha256, filename) + METADATA_SUFFIX


def staged_key(registry: str, upload_id: str, filename: str) -> str:
    """Return the key of a distribution that came by a file upload session.

    Publishing does not move the bytes. Each upload has bytes of its own, so those of a canceled one
    can be removed at once.
    """
    return f"{STAGED}{registry}/{upload_id}/{filename}"


def receipt_key(registry: str, sha256: str, filename: str) -> str:
    """Return the key of a receipt with this hash."""
    return f"receipts/{registry}/{sha256}/{filename}"


def attestations_key(registry: str, sha256: str, filename: str) -> str:
    """Return the key of attestations with this hash."""
    return f"attestations/{registry}/{sha256}/{filename}"


def keys_of(file: PublishedFile) -> tuple[str, str]:
    """Return the keys of a file and of its metadata file.

    No other file has these keys, because they contain its registry, its name, and its hash or the
    id of its upload.
    """
    if file.upload_id is None:
        content = content_key(file.registry, file.sha256, file.filename)
    else:
        content = staged_key(file.registry, file.upload_id, file.filename)
    return content, content + METADATA_SUFFIX


def check_staged(key: str) -> None:
    """Raise ValueError unless a key is one of a staged upload."""
    if not key.startswith(STAGED):
        raise ValueError("not the key of a staged upload")
