"""Attestations of a file: verified by a library, and compared with the receipt."""

import json
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from pytp_broker.client.verifying import attestations
from pytp_broker.client.verifying.attestations import (
    AttestationChecks,
    Finding,
    Status,
    find_sigstore,
)
from pytp_broker.client.verifying.evidence import MAX_PROVENANCE_BYTES, Trusted
from pytp_broker.client.verifying.kept_evidence import KeptEvidence
from pytp_broker.client.verifying.targets import Target, target_named
from pytp_broker.errors import StoreUnavailable
from pytp_broker.provenance.attester import (
    AttestationQuestion,
    AttestationState,
    AttestationStatus,
)
from pytp_broker.provenance.receipts import Kind, Publication
from tests.support.claims import captured
from tests.support.distributions import wheel
from tests.support.proofs import JOB, SigningRegistry
from tests.support.sigstores import Sigstore, github

GITHUB = {
    "kind": "GitHub",
    "repository": "octo-org/widgets",
    "workflow": "release.yml",
    "environment": "release",
}
SIGSTORE = Sigstore()
GOOD = AttestationState(AttestationStatus.VERIFIED)


@dataclass
class Attester:
    """Answers what a test wants, and keeps what it was asked."""

    answers: list[AttestationState | StoreUnavailable]
    asked: list[AttestationQuestion] = field(default_factory=list)

    def verify(self, question: AttestationQuestion) -> AttestationState:
        self.asked.append(question)
        answer = self.answers.pop(0)
        if isinstance(answer, StoreUnavailable):
            raise answer
        return answer


@pytest.fixture
def target(tmp_path: Path) -> Target:
    found = target_named(wheel().filename, wheel().sha256, None, "here", tmp_path)
    assert isinstance(found, Target)
    return found


def provenance(*publishers: Any, **changes: Any) -> bytes:
    bundles = [{"publisher": each, "attestations": [{"version": 1}]} for each in publishers]
    return json.dumps({"version": 1, "attestation_bundles": bundles} | changes).encode()


def check(
    target: Target,
    octets: bytes | None,
    *answers: AttestationState | StoreUnavailable,
    publication: Publication = JOB,
) -> Finding:
    if octets is not None:
        (target.folder / f"{target.filename}.provenance").write_bytes(octets)
    registry = SigningRegistry()
    receipt = registry.receipt(wheel(), publication=publication)
    checks = AttestationChecks(lambda: Attester([*answers]))
    return checks.check(target, receipt, KeptEvidence(Trusted(registry.keys()), None))


def test_good_attestations_of_the_publisher_are_verified(target: Target) -> None:
    assert check(target, provenance(GITHUB), GOOD) == Finding(Status.VERIFIED)


def test_the_library_is_asked_about_this_file_and_this_publisher(target: Target) -> None:
    attester = Attester([GOOD])
    (target.folder / f"{target.filename}.provenance").write_bytes(provenance(GITHUB))
    registry = SigningRegistry()

    AttestationChecks(lambda: attester).check(
        target, registry.receipt(wheel()), KeptEvidence(Trusted(registry.keys()), None)
    )

    assert attester.asked == [
        AttestationQuestion('[{"version": 1}]', wheel().filename, wheel().sha256, GITHUB)
    ]


def test_a_file_may_have_no_attestations(target: Target) -> None:
    assert check(target, None) == attestations.NONE


def test_without_the_library_nothing_is_said_to_be_good(target: Target) -> None:
    (target.folder / f"{target.filename}.provenance").write_bytes(provenance(GITHUB))
    registry = SigningRegistry()
    evidence = KeptEvidence(Trusted(registry.keys()), None)

    finding = AttestationChecks(lambda: None).check(target, registry.receipt(wheel()), evidence)

    assert finding.status is Status.NOT_CHECKED
    assert finding.said == "not checked: install 'pytp-broker[attestations]' to check them"
    assert not finding.is_verified


def test_attestations_that_cannot_be_read_are_not_checked(target: Target) -> None:
    (target.folder / f"{target.filename}.provenance").mkdir()

    assert check(target, None).status is Status.NOT_CHECKED


def test_a_library_that_fails_checks_nothing(target: Target) -> None:
    finding = check(target, provenance(GITHUB), StoreUnavailable("not now"))

    assert finding == Finding(Status.NOT_CHECKED, "not now")


@pytest.mark.parametrize("status", ["unverified", "refused"])
def test_what_the_library_says_is_passed_on(target: Target, status: str) -> None:
    answer = AttestationState(AttestationStatus(status), "because")

    assert check(target, provenance(GITHUB), answer) == Finding(Status(status), "because")


def test_the_worst_of_several_counts(target: Target) -> None:
    bad = AttestationState(AttestationStatus.REFUSED, "because")
    unknown = AttestationState(AttestationStatus.UNVERIFIED)

    finding = check(target, provenance(GITHUB, GITHUB, GITHUB), bad, unknown, GOOD)

    assert finding == Finding(Status.REFUSED, "because")


@pytest.mark.promise("others-attestations")
@pytest.mark.parametrize(
    ("publication", "publisher"),
    [
        (JOB, GITHUB),
        (Publication(kind=Kind.IMPORT), {"kind": "pytp:operator"}),
        (
            replace(JOB, issuer="https://accounts.google.com", claims={"actor": "ci@example.com"}),
            {"kind": "Google", "email": "ci@example.com"},
        ),
        (
            replace(
                JOB,
                issuer="https://oidc.circleci.com",
                claims={"workflow": "pipeline"},
                pins={"project_id": "project"},
            ),
            {"kind": "CircleCI", "project_id": "project", "pipeline_definition_id": "pipeline"},
        ),
    ],
)
def test_attestations_must_be_of_the_publisher_of_the_receipt(
    target: Target, publication: Publication, publisher: dict[str, str]
) -> None:
    """Whatever publisher the index shows beside them."""
    attester = Attester([GOOD])
    shown = provenance({"kind": "GitHub", "repository": "octo-org/evil"})
    (target.folder / f"{target.filename}.provenance").write_bytes(shown)
    registry = SigningRegistry()
    receipt = registry.receipt(wheel(), publication=publication)

    AttestationChecks(lambda: attester).check(
        target, receipt, KeptEvidence(Trusted(registry.keys()), None)
    )

    assert [question.publisher for question in attester.asked] == [publisher]


@pytest.mark.promise("others-attestations")
@pytest.mark.parametrize(
    ("repository", "status"),
    [("octo-org/widgets", Status.VERIFIED), ("octo-org/gadgets", Status.REFUSED)],
)
def test_real_attestations_are_verified_by_a_trusted_root(
    target: Target, repository: str, status: Status
) -> None:
    text = SIGSTORE.attest(wheel().filename, wheel().sha256, github(captured("github")))
    bundle = {"publisher": GITHUB, "attestations": json.loads(text)}
    (target.folder / f"{target.filename}.provenance").write_bytes(
        provenance(attestation_bundles=[bundle])
    )
    root = SIGSTORE.write_trusted_root(target.folder / "root.json")
    registry = SigningRegistry()
    workflow = f"{repository}/.github/workflows/release.yml@refs/tags/v1.0"
    claims = {**JOB.claims, "repository": repository, "workflow": workflow}
    receipt = registry.receipt(wheel(), publication=replace(JOB, claims=claims))

    finding = AttestationChecks(lambda: find_sigstore(root)).check(
        target, receipt, KeptEvidence(Trusted(registry.keys()), None)
    )

    assert finding.status is status, finding
    assert (finding.refusal is None) is (status is Status.VERIFIED)


def test_without_its_library_nothing_verifies_attestations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytp_broker.provenance.sigstore_checks", None)

    assert find_sigstore(None) is None


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (b"{", "is not strict JSON"),
        (b'{"version": 1, "version": 1}', "is not strict JSON"),
        (b"[]", "is not one of PEP 740"),
        (provenance(GITHUB, version=2), "is not one of PEP 740"),
        (provenance(), "must have 1 to 10 bundles"),
        (provenance(*[GITHUB] * 11), "must have 1 to 10 bundles"),
        (provenance(attestation_bundles={}), "must have 1 to 10 bundles"),
        (provenance(attestation_bundles=[1]), "a bundle without"),
        (
            provenance(attestation_bundles=[{"publisher": GITHUB, "attestations": []}]),
            "a bundle without",
        ),
        (b" " * (MAX_PROVENANCE_BYTES + 1), "has more than"),
    ],
)
def test_a_provenance_object_that_is_wrong_is_refused(
    target: Target, octets: bytes, said: str
) -> None:
    finding = check(target, octets)

    assert finding.status is Status.REFUSED
    assert said in finding.reason
