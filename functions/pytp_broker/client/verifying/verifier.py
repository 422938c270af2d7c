"""Verify files: a receipt of the registry for each, its attestations, and what the user expects."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from packaging.version import InvalidVersion, Version

from pytp_broker.client.publishing.parallel import in_parallel
from pytp_broker.client.verifying.attestations import NONE, AttestationChecks, Finding
from pytp_broker.client.verifying.evidence import Evidence
from pytp_broker.client.verifying.outcome import NotVerifiedError
from pytp_broker.client.verifying.policy import Policy
from pytp_broker.client.verifying.targets import HashedRequirement, Meant, Target, Unverifiable
from pytp_broker.names import normalize
from pytp_broker.provenance.checking import Accepted, ReceiptRefusedError, Subject, accept_receipt
from pytp_broker.provenance.receipts import Receipt

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

# Files that are asked about at the same time.
AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one file. It is verified only if there is no ``error``.

    ``receipt`` is there if it is good, also if the user expects another publisher. ``sha256`` is
    None if nobody knows it. ``is_expected`` is None without a policy. ``timestamped_at`` is when
    the receipt existed, if a time-stamping authority that the user trusts says so.
    """

    filename: str
    source: str
    sha256: str | None = None
    receipt: Receipt | None = None
    attestations: Finding = NONE
    is_expected: bool | None = None
    error: NotVerifiedError | None = None
    timestamped_at: datetime | None = None

    @property
    def is_verified(self) -> bool:
        """Say whether everything that was asked for holds."""
        return self.error is None and self.receipt is not None


@dataclass(frozen=True, slots=True)
class Verifier:
    """Verifies files by some evidence, at the time of ``now``.

    ``timestamp_roots`` are the time-stamping authorities that the user trusts.
    """

    evidence: Evidence
    checks: AttestationChecks
    policy: Policy | None
    now: Callable[[], datetime]
    timestamp_roots: Sequence["Certificate"] = ()

    def verify(self, meant: Sequence[Meant]) -> list[Verdict]:
        """Return a verdict for each file that is meant; several at the same time."""
        found: list[list[Verdict]] = [[] for _ in meant]
        calls = [partial(self._judge, each, found[at]) for at, each in enumerate(meant)]
        in_parallel(calls, AT_ONCE)
        return [verdict for each in found for verdict in each]

    def read_receipt(self, target: Target) -> Receipt:
        """Return the receipt of a file if it is good; raise NotVerifiedError."""
        return self._check_receipt(target).receipt

    def read_attested_receipt(self, target: Target) -> Receipt:
        """Return a file's receipt if it and the attestations are good; raise NotVerifiedError."""
        receipt = self.read_receipt(target)
        finding = self.checks.check(target, receipt, self.evidence)
        if not finding.is_verified:
            why = f"the attestations of {target.filename} are not verified here: {finding.said}"
            raise NotVerifiedError("wrong-attestations", why)
        return receipt

    def _judge(self, each: Meant, verdicts: list[Verdict]) -> None:
        if not isinstance(each, HashedRequirement):
            verdicts.append(self._judge_file(each))
            return
        try:
            verdicts += map(self._judge_file, self.evidence.find_files(each))
        except NotVerifiedError as error:
            verdicts.append(Verdict(each.project, each.source, error=error))

    def _judge_file(self, each: Target | Unverifiable) -> Verdict:
        if isinstance(each, Unverifiable):
            return Verdict(each.name, each.source, error=each.error)
        known = partial(Verdict, each.filename, each.source, each.sha256)
        try:
            accepted = self._check_receipt(each)
        except NotVerifiedError as error:
            return known(error=error)
        receipt = accepted.receipt
        finding = self.checks.check(each, receipt, self.evidence)
        difference, is_expected = self._compare(each, receipt, finding)
        return known(receipt, finding, is_expected, difference, accepted.timestamped_at)

    def _check_receipt(self, target: Target) -> Accepted:
        trusted = self.evidence.trusted
        subject = Subject(target.filename, target.sha256, target.size, trusted.registry)
        octets = self.evidence.find_receipt(target)
        try:
            accepted = accept_receipt(
                octets, trusted.keys, subject, self.now(), self.timestamp_roots
            )
        except ReceiptRefusedError as error:
            raise NotVerifiedError(error.reason, str(error)) from None
        _check_release(accepted.receipt, target)
        return accepted

    def _compare(
        self, target: Target, receipt: Receipt, finding: Finding
    ) -> tuple[NotVerifiedError | None, bool | None]:
        """Return what is wrong with a file that the registry has taken, and if it is expected."""
        error, is_expected = None, None
        if self.policy is not None:
            error = self.policy.compare(target.project, receipt, finding)
            is_expected = error is None
        return finding.refusal or error, is_expected


def _check_release(receipt: Receipt, target: Target) -> None:
    """Check that the receipt has the project and the version that the file's name has.

    A policy is by project, and it must not be the one of another project.
    """
    try:
        is_same_version = Version(receipt.version) == target.version
    except InvalidVersion:
        is_same_version = False
    if normalize(receipt.project) != target.project or not is_same_version:
        raise NotVerifiedError(
            "wrong-release", f"the receipt is for {receipt.project} {receipt.version}"
        )
