"""Verify the attestations of a file (PEP 740) for the publisher that its receipt names."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from threading import Lock
from typing import Any, Final

from pytp_broker.client.verifying.evidence import MAX_PROVENANCE_BYTES, Evidence
from pytp_broker.client.verifying.outcome import NotVerifiedError
from pytp_broker.client.verifying.targets import Target
from pytp_broker.errors import StoreUnavailable
from pytp_broker.provenance.attester import (
    AttestationQuestion,
    Attester,
)
from pytp_broker.provenance.publishers import describe_publisher
from pytp_broker.provenance.receipts import Receipt
from pytp_broker.provenance.trusted_roots import SHIPPED_ROOT
from pytp_broker.strict_json import parse_json

_MAX_BUNDLES: Final = 10
_NO_LIBRARY: Final = "install 'pytp-broker[attestations]' to check them"
_VERSION: Final = 1


class Status(Enum):
    """What is known of a file's attestations, by our own verification."""

    NONE = "none"
    VERIFIED = "verified"
    UNVERIFIED = "unverified"
    REFUSED = "refused"
    NOT_CHECKED = "not-checked"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of a file's attestations, and why it is not more."""

    status: Status
    reason: str = ""
    may_pass: bool = False

    @property
    def is_verified(self) -> bool:
        """Say whether every attestation is good and of the publisher that the receipt names."""
        return self.status is Status.VERIFIED

    @property
    def said(self) -> str:
        """Return the finding in words."""
        words = self.status.value.replace("-", " ")
        return f"{words}: {self.reason}" if self.reason else words

    @property
    def refusal(self) -> NotVerifiedError | None:
        """Return why the file is not verified, if its attestations are wrong."""
        if self.status is not Status.REFUSED:
            return None
        return NotVerifiedError(
            "wrong-attestations", f"its attestations are refused: {self.reason}"
        )


NONE: Final = Finding(Status.NONE)


@dataclass(frozen=True, slots=True)
class AttestationChecks:
    """Verifies the attestations of files with what ``find_attester`` returns, if that is something.

    It is called for the first file with attestations, because the library takes a second to load.
    """

    find_attester: Callable[[], Attester | None]
    # The library does not say that two threads may use it at once.
    lock: Lock = field(default_factory=Lock)

    def check(self, target: Target, receipt: Receipt, evidence: Evidence) -> Finding:
        """Return what is known of a file's attestations."""
        try:
            octets = evidence.find_provenance(target)
        except NotVerifiedError as error:
            return Finding(Status.NOT_CHECKED, str(error), error.may_pass)
        if octets is None:
            return NONE
        try:
            bundles = _read_bundles(octets)
        except ValueError as error:
            return Finding(Status.REFUSED, f"the provenance object {error}")
        with self.lock:
            attester = self.find_attester()
            if attester is None:
                return Finding(Status.NOT_CHECKED, _NO_LIBRARY)
            found = [_check_bundle(attester, each, target, receipt) for each in bundles]
        return max(found, key=lambda finding: _SEVERITY.index(finding.status))


def find_sigstore(trusted_root: Path | None) -> Attester | None:
    """Return what verifies attestations by a trusted root of Sigstore; None without its library."""
    try:
        from pytp_broker.provenance.sigstore_checks import SigstoreAttester
    except ModuleNotFoundError:
        return None
    return SigstoreAttester(trusted_root or SHIPPED_ROOT)


def _read_bundles(octets: bytes) -> list[list[Any]]:
    """Return the attestations of each bundle; raise ValueError with what is wrong with them."""
    if len(octets) > MAX_PROVENANCE_BYTES:
        raise ValueError(f"has more than {MAX_PROVENANCE_BYTES:,} bytes")
    try:
        document: Any = parse_json(octets)
    except ValueError:
        raise ValueError("is not strict JSON") from None
    if not isinstance(document, dict) or document.get("version") != _VERSION:
        raise ValueError("is not one of PEP 740, version 1")
    entries = document.get("attestation_bundles")
    if not isinstance(entries, list) or not 0 < len(entries) <= _MAX_BUNDLES:
        raise ValueError(f"must have 1 to {_MAX_BUNDLES} bundles")
    return [_read_attestations(entry) for entry in entries]


def _read_attestations(entry: Any) -> list[Any]:  # noqa: ANN401 - from outside
    members = entry if isinstance(entry, dict) else {}
    attestations = members.get("attestations")
    if not isinstance(attestations, list) or not attestations:
        raise ValueError("has a bundle without attestations")
    return attestations


def _check_bundle(
    attester: Attester, attestations: Sequence[Any], target: Target, receipt: Receipt
) -> Finding:
    """Verify attestations of one bundle for the job that the receipt names.

    The provenance object names a publisher too, but nobody has signed that.
    """
    publication = receipt.publication
    named = {"issuer": publication.issuer, "provider": publication.provider}
    known = {name: text for name, text in named.items() if text is not None}
    publisher = describe_publisher({**publication.pins, **publication.claims, **known})
    question = AttestationQuestion(
        json.dumps(attestations), target.filename, target.sha256, publisher
    )
    try:
        state = attester.verify(question)
    except StoreUnavailable as error:
        return Finding(Status.NOT_CHECKED, error.detail)
    return Finding(Status(state.status.value), state.reason)


# What one bundle says counts for all, if it is further to the right.
_SEVERITY: Final = (Status.VERIFIED, Status.UNVERIFIED, Status.NOT_CHECKED, Status.REFUSED)
