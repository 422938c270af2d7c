"""The store for the bytes of distributions: each is kept under its hash and written once."""

from typing import Protocol

from pytp_broker.names import METADATA_SUFFIX
from pytp_broker.storage.content import Content
from pytp_broker.storage.file_records import PublishedFile


class FileStore(Protocol):
    """Content-addressed bytes. Every method raises StoreUnavailable when the store fails."""

    def save(self, key: str, content: Content, sha256: str) -> None:
        """Store the bytes under the key; the same key always has the same bytes.

        ``sha256`` is the hash of the content, which a store may check but need not compute again.
        """

    def read(self, key: str) -> bytes:
        """Return the bytes; raise KeyError when there are none."""

    def download_url(self, key: str, filename: str) -> str | None:
        """Return a short-lived URL of the bytes, or None if the caller must ``read`` them."""


class Bin(Protocol):
    """Takes the bytes of deleted files: nobody can read them, and after some time they are gone."""

    def discard(self, key: str) -> None:
        """Take the bytes under a key, if there are any; raise StoreUnavailable."""


def content_key(registry: str, sha256: str, filename: str) -> str:
    """Return the key of a distribution."""
    return f"files/{registry}/{sha256}/{filename}"


def metadata_key(registry: str, sha256: str, filename: str) -> str:
    """Return the key of a distribution's METADATA or PKG-INFO (PEP 658)."""
    return content_key(registry, sha256, filename) + METADATA_SUFFIX


def keys_of(file: PublishedFile) -> tuple[str, str]:
    """Return the keys of a file and of its metadata file.

    No other file has these keys, because they contain its registry, its hash and its name.
    """
    place = (file.registry, file.sha256, file.filename)
    return content_key(*place), metadata_key(*place)
