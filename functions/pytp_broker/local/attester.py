"""Verify attestations in the server's own process, if the library for it is installed."""

from pathlib import Path
from typing import Final

from pytp_broker.provenance.attester import (
    AttestationQuestion,
    AttestationState,
    AttestationStatus,
    Attester,
)
from pytp_broker.provenance.judgement import Reason, UnverifiedError

_NO_LIBRARY: Final = UnverifiedError(
    Reason.NO_LIBRARY, "this server has no library for attestations"
)


class LocalAttester:
    """An Attester that imports the library when it is first asked."""

    def __init__(self, *trusted_roots: Path) -> None:
        self._trusted_roots = trusted_roots
        self._attester: Attester | None = None

    def verify(self, question: AttestationQuestion) -> AttestationState:
        """Return what is known of the attestations; raise StoreUnavailable without a root."""
        if self._attester is None:
            try:
                from pytp_broker.provenance.sigstore_checks import SigstoreAttester
            except ModuleNotFoundError:
                return AttestationState(AttestationStatus.UNVERIFIED, str(_NO_LIBRARY))
            self._attester = SigstoreAttester(*self._trusted_roots)
        return self._attester.verify(question)
