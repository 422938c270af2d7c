"""Keep what verified files, so that the same files can be verified later without a network."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from pytp_broker.client.verifying.evidence import Evidence, Trusted
from pytp_broker.client.verifying.kept_evidence import PROVENANCE_SUFFIX, RECEIPT_SUFFIX
from pytp_broker.client.verifying.offers import Offered
from pytp_broker.client.verifying.outcome import VerifyError
from pytp_broker.client.verifying.targets import HashedRequirement, Target, Unverifiable
from pytp_broker.client.verifying.verifier import Verdict
from pytp_broker.names import NormalizedName
from pytp_broker.redaction import printable

KEYS_FILE: Final = "keys.json"


@dataclass(frozen=True, slots=True)
class SavedEvidence:
    """Evidence of an index; ``save`` writes what verified some files into a folder."""

    found: Evidence
    _octets: dict[str, bytes] = field(default_factory=dict)

    @property
    def trusted(self) -> Trusted:
        """Return whose receipts count."""
        return self.found.trusted

    def find_receipt(self, target: Target) -> bytes:
        """Return the receipt of a file; raise NotVerifiedError."""
        octets = self.found.find_receipt(target)
        self._octets[target.filename + RECEIPT_SUFFIX] = octets
        return octets

    def find_provenance(self, target: Target) -> bytes | None:
        """Return the provenance object of a file; None if there is none."""
        octets = self.found.find_provenance(target)
        if octets is not None:
            self._octets[target.filename + PROVENANCE_SUFFIX] = octets
        return octets

    def find_files(self, requirement: HashedRequirement) -> Iterator[Target | Unverifiable]:
        """Yield the file of each hash of a requirement."""
        return self.found.find_files(requirement)

    def list_files(self, project: NormalizedName) -> Sequence[Offered]:
        """Return all files of a project; raise NotVerifiedError."""
        return self.found.list_files(project)

    def save(self, folder: Path, verdicts: Iterable[Verdict]) -> None:
        """Write the keys, and the receipts of files that are verified; raise VerifyError."""
        names = [verdict.filename for verdict in verdicts if verdict.is_verified]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Later they are for this registry alone.
            keys = replace(self.trusted.keys, registry=self.trusted.registry).document()
            (folder / KEYS_FILE).write_text(f"{json.dumps(keys, indent=2)}\n")
            for name in names:
                for suffix in (RECEIPT_SUFFIX, PROVENANCE_SUFFIX):
                    if (octets := self._octets.get(name + suffix)) is not None:
                        (folder / (name + suffix)).write_bytes(octets)
        except OSError as error:
            shown = printable(str(folder))
            raise VerifyError(f"--save {shown}: {error.strerror}", is_misused=False) from None
