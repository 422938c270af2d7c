"""Verify the attestations of a file (PEP 740), and compare their publisher with the receipt's."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from threading import Lock
from typing import Any, Final

from pytp_broker.client.verifying.evidence import MAX_PROVENANCE_BYTES, Evidence
from pytp_broker.client.verifying.outcome import NotVerifiedError
from pytp_broker.client.verifying.targets import Target
from pytp_broker.client.verifying.workflows import find_workflow_file
from pytp_broker.errors import StoreUnavailable
from pytp_broker.provenance.attester import (
    AttestationQuestion,
    AttestationStatus,
    Attester,
)
from pytp_broker.provenance.receipts import Publication, Receipt
from pytp_broker.provenance.trusted_roots import SHIPPED_ROOT
from pytp_broker.strict_json import parse_json

# What the issuer of each kind of publisher is, or begins with.
_ISSUERS: Final[Mapping[str, str]] = {
    "CircleCI": "https://oidc.circleci.com/org/",
    "GitHub": "https://token.actions.githubusercontent.com",
    "GitLab": "https://gitlab.com",
    "Google": "https://accounts.google.com",
}
# Members of a publisher that a receipt has too, and the claim that says the same.
_CLAIMS: Final = (
    *(("repository", "repository"), ("vcs_origin", "repository"), ("email", "actor")),
    ("pipeline_definition_id", "workflow"),
)
_WORKFLOWS: Final = ("workflow", "workflow_filepath")
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
class _Bundle:
    """Attestations of one publisher, as the provenance object has them."""

    publisher: Mapping[str, Any]
    attestations: list[Any]


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


def _read_bundles(octets: bytes) -> list[_Bundle]:
    """Return the bundles of a provenance object; raise ValueError with what is wrong with it."""
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
    return [_read_bundle(entry) for entry in entries]


def _read_bundle(entry: Any) -> _Bundle:  # noqa: ANN401 - from outside
    members = entry if isinstance(entry, dict) else {}
    publisher, attestations = members.get("publisher"), members.get("attestations")
    if not isinstance(publisher, dict) or not isinstance(attestations, list) or not attestations:
        raise ValueError("has a bundle without a publisher or without attestations")
    if not isinstance(publisher.get("kind"), str):
        raise ValueError("has a publisher without a kind")  # noqa: TRY004 - as all others
    return _Bundle(publisher, attestations)


def _check_bundle(attester: Attester, bundle: _Bundle, target: Target, receipt: Receipt) -> Finding:
    text = json.dumps(bundle.attestations)
    question = AttestationQuestion(text, target.filename, target.sha256, bundle.publisher)
    try:
        state = attester.verify(question)
    except StoreUnavailable as error:
        return Finding(Status.NOT_CHECKED, error.detail)
    if state.status is AttestationStatus.VERIFIED:
        return _compare(bundle.publisher, receipt)
    return Finding(Status(state.status.value), state.reason)


def _compare(publisher: Mapping[str, Any], receipt: Receipt) -> Finding:
    """Return VERIFIED if the publisher is the job of the receipt: the index may name any."""
    publication = receipt.publication
    begin, shared = _ISSUERS.get(publisher["kind"]), list(_shared(publisher, publication))
    if begin is None or publication.issuer is None or not shared:
        return Finding(Status.UNVERIFIED, "the receipt names no job to compare the publisher with")
    if not _is_of(publication.issuer, begin):
        return _other_publisher(f"of the kind `{publisher['kind']}`")
    for said, claimed in shared:
        if claimed is None or said.lower() != claimed.lower():
            return _other_publisher(f"of `{said}`")
    return Finding(Status.VERIFIED)


def _is_of(issuer: str, begin: str) -> bool:
    return issuer.startswith(begin) if begin.endswith("/") else issuer == begin


def _shared(
    publisher: Mapping[str, Any], publication: Publication
) -> Iterator[tuple[str, str | None]]:
    """Yield what the publisher says, and what the receipt says in its place."""
    claimed = [(member, publication.claims.get(claim)) for member, claim in _CLAIMS]
    claimed += [(member, find_workflow_file(publication)) for member in _WORKFLOWS]
    for member, text in claimed:
        if isinstance(publisher.get(member), str):
            yield publisher[member], text


def _other_publisher(what: str) -> Finding:
    return Finding(Status.REFUSED, f"they are {what}, and the receipt names another publisher")


# What one bundle says counts for all, if it is further to the right.
_SEVERITY: Final = (Status.VERIFIED, Status.UNVERIFIED, Status.NOT_CHECKED, Status.REFUSED)
