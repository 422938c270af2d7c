"""What a client says of a file before it sends it: name, size, digests and mechanism (PEP 694)."""

import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from packaging.version import Version

from pytp_broker.errors import InvalidUpload, PayloadTooLarge, UnsupportedMechanism
from pytp_broker.file_sizes import write_size
from pytp_broker.index.digests import ALGORITHMS, SHA256
from pytp_broker.index.distributions import Distribution, check_same, parse_filename
from pytp_broker.names import NormalizedName
from pytp_broker.redaction import printable
from pytp_broker.services import Index
from pytp_broker.storage.sessions import Session

PUT: Final = "vnd-pytp-s3-put"
POST_BYTES: Final = "http-post-bytes"
# The mechanism that the server prefers comes first.
MECHANISMS: Final = (PUT, POST_BYTES)

# Each digest takes a pass over the file.
_MAX_HASHES: Final = 5
_HEX: Final = frozenset(string.hexdigits)


@dataclass(frozen=True, slots=True)
class Announcement:
    """A file that a client wants to upload, as its request describes it."""

    filename: str
    size: int
    hashes: Mapping[str, object]
    mechanism: str


def read_distribution(announced: Announcement, session: Session) -> Distribution:
    """Return what the file's name says, if it is of the session's release; raise InvalidUpload."""
    distribution = parse_filename(announced.filename)
    project, version = NormalizedName(session.project), Version(session.version)
    check_same(distribution, project, version, "session")
    return distribution


def check_mechanism(announced: Announcement) -> None:
    """Check that we offer the mechanism; raise UnsupportedMechanism."""
    if announced.mechanism not in MECHANISMS:
        raise UnsupportedMechanism(
            f"the mechanism `{printable(announced.mechanism)}` is not one of "
            f"{', '.join(MECHANISMS)}"
        )


def check_size(announced: Announcement, max_file_size: int, index: Index) -> None:
    """Check the size of the file; raise InvalidUpload or PayloadTooLarge."""
    size = announced.size
    if size <= 0:
        raise InvalidUpload("the file is empty: `size` must be at least 1")
    if size > max_file_size:
        raise PayloadTooLarge(
            f"`{announced.filename}` is larger than this registry takes, which is "
            f"{write_size(max_file_size)}: ask its operator for a larger `max_file_size`"
        )
    if announced.mechanism == POST_BYTES and size > index.max_upload_bytes:
        raise PayloadTooLarge(
            f"by {POST_BYTES} a file may have at most {write_size(index.max_upload_bytes)} here: "
            f"send it by {PUT}"
        )


def read_hashes(announced: Announcement) -> dict[str, str]:
    """Return the digests of the file in lower case; raise InvalidUpload.

    The sha256 must be one of them, because it says which bytes the upload may have.
    """
    if len(announced.hashes) > _MAX_HASHES:
        raise InvalidUpload(f"the member `hashes` may have at most {_MAX_HASHES} digests")
    if SHA256 not in announced.hashes:
        raise InvalidUpload(f"the member `hashes` must have the file's `{SHA256}`")
    return {name: _read_hash(name, digest) for name, digest in announced.hashes.items()}


def _read_hash(name: str, digest: object) -> str:
    if name not in ALGORITHMS:
        raise InvalidUpload(f"the hash `{printable(name)}` is not one of {', '.join(ALGORITHMS)}")
    digits = 2 * ALGORITHMS[name]().digest_size
    if not isinstance(digest, str) or len(digest) != digits or set(digest) - _HEX:
        raise InvalidUpload(f"the hash `{name}` must have {digits} hexadecimal digits")
    return digest.lower()
