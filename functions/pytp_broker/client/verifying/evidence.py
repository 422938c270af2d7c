"""What speaks for files: the keys of a registry, and a receipt for each file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pytp_broker.client.verifying.offers import Offered
from pytp_broker.client.verifying.outcome import VerifyError
from pytp_broker.client.verifying.targets import HashedRequirement, Target, Unverifiable
from pytp_broker.names import NormalizedName
from pytp_broker.provenance.receipt_keys import KeyDocument
from pytp_broker.strict_json import parse_json

# A deployment that rotates its key each month for a hundred years.
MAX_KEYS_BYTES: Final = 512 * 1024
# Two attestations have 20 KB, and PyPI takes 64 KB for one.
MAX_PROVENANCE_BYTES: Final = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Trusted:
    """Whose receipts count: the keys of a deployment, and the registry that is meant, if any."""

    keys: KeyDocument
    registry: str | None = None


class Evidence(Protocol):
    """Finds receipts. Each method raises NotVerifiedError if there is no answer."""

    @property
    def trusted(self) -> Trusted:
        """Return whose receipts count."""

    def find_receipt(self, target: Target) -> bytes:
        """Return the receipt of a file, as it was found; raise NotVerifiedError without one."""

    def find_provenance(self, target: Target) -> bytes | None:
        """Return the provenance object of a file (PEP 740); None if there is none."""

    def find_files(self, requirement: HashedRequirement) -> Iterator[Target | Unverifiable]:
        """Yield the file of each hash of a requirement."""

    def list_files(self, project: NormalizedName) -> Sequence[Offered]:
        """Return all files of a project."""


def read_keys(octets: bytes, source: str) -> KeyDocument:
    """Return the keys in a document; raise VerifyError if there are none."""
    try:
        document: Any = parse_json(octets)
        keys = KeyDocument.from_document(document if isinstance(document, dict) else {})
    except ValueError as error:
        raise VerifyError(
            f"{source} is not a document with the keys of receipts: {error}", is_misused=False
        ) from None
    if not keys.keys:
        raise VerifyError(f"{source} has no key that we can use", is_misused=False)
    return keys
