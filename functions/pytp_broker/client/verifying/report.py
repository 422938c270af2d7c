"""Say what became of each file: in words for people, and as a JSON document for programs.

Every text from outside is made safe to show, also in the document: a program may print it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pytp_broker.client.verifying.history import History
from pytp_broker.client.verifying.history_report import describe_history, lines_of_history
from pytp_broker.client.verifying.verifier import Verdict
from pytp_broker.provenance.receipts import Kind, Receipt, write_time
from pytp_broker.redaction import legible, printable

VERSION: Final = 1
_MAX_CHARACTERS: Final = 1000
_BY: Final = {
    Kind.JOB: "by a job of",
    Kind.OPERATOR: "by an operator of the registry, not by a trusted publisher",
    Kind.IMPORT: "by an import of an operator, not by a trusted publisher",
}
# The claims that are shown, with their words.
_SHOWN: Final = (
    ("repository", "repository"),
    ("sha", "commit"),
    ("workflow", "workflow"),
    ("environment", "environment"),
    ("ref", "ref"),
    ("actor", "started by"),
)


@dataclass(frozen=True, slots=True)
class Report:
    """The verdicts on all files, and the names of what the user wanted to leave out.

    ``histories`` compare releases of verified files with those before them.
    """

    verdicts: Sequence[Verdict]
    unchecked: Sequence[str] = ()
    histories: Sequence[History] = ()

    @property
    def is_verified(self) -> bool:
        """Say whether there are files, and all of them are verified."""
        return bool(self.verdicts) and all(each.is_verified for each in self.verdicts)

    @property
    def may_pass(self) -> bool:
        """Say whether all that failed may succeed later."""
        errors = [each.error for each in self.verdicts if each.error is not None]
        return bool(errors) and all(error.may_pass for error in errors)

    def document(self) -> dict[str, Any]:
        """Return everything as JSON types."""
        document: dict[str, Any] = _safe(
            {
                "version": VERSION,
                "verified": self.is_verified,
                "files": [_document(each) for each in self.verdicts],
                "unchecked": [*self.unchecked],
                "releases": [describe_history(each) for each in self.histories],
            }
        )
        return document

    def lines(self) -> Iterator[str]:
        """Yield everything in words, line by line."""
        for verdict in self.verdicts:
            yield from _lines(verdict)
        for history in self.histories:
            yield from lines_of_history(history)
        yield self._summary()
        if self.unchecked:
            yield f"not checked, because of --project: {len(self.unchecked)} others"

    def _summary(self) -> str:
        good = sum(each.is_verified for each in self.verdicts)
        return f"{good} of {len(self.verdicts)} files verified"


def _document(verdict: Verdict) -> dict[str, Any]:
    error, receipt = verdict.error, verdict.receipt
    return {
        "filename": verdict.filename,
        "source": verdict.source,
        "sha256": verdict.sha256,
        "verified": verdict.is_verified,
        "reason": None if error is None else error.reason,
        "detail": None if error is None else str(error),
        "expected": verdict.is_expected,
        "receipt": None if receipt is None else _describe(receipt),
        "timestampedAt": verdict.timestamped_at and write_time(verdict.timestamped_at),
        "attestations": {
            "status": verdict.attestations.status.value,
            "reason": verdict.attestations.reason,
        },
    }


def _describe(receipt: Receipt) -> dict[str, Any]:
    return {
        "registry": {"host": receipt.host, "name": receipt.registry},
        "project": receipt.project,
        "version": receipt.version,
        "size": receipt.size,
        "uploadedAt": write_time(receipt.uploaded_at),
        "signedAt": write_time(receipt.signed_at),
        "publication": receipt.publication.document(),
    }


def _lines(verdict: Verdict) -> Iterator[str]:
    name, error = printable(verdict.filename, _MAX_CHARACTERS), verdict.error
    if error is None:
        yield f"{name}: verified"
    else:
        yield f"{name}: NOT VERIFIED: {error.reason}: {legible(str(error))}"
    if verdict.receipt is not None:
        for label, text in _facts(verdict, verdict.receipt):
            yield f"  {label:13}{text}"


def _facts(verdict: Verdict, receipt: Receipt) -> Iterator[tuple[str, str]]:
    publication = receipt.publication
    yield "registry", _shown(f"{receipt.host}/{receipt.registry}")
    by = _BY[publication.kind]
    if publication.kind is Kind.JOB:
        by = f"{by} {_shown(publication.issuer or 'an unknown issuer')}"
    yield "published", f"{_minute(receipt.uploaded_at)} {by}"
    if verdict.timestamped_at is not None:
        yield "timestamp", f"{_minute(verdict.timestamped_at)}, by an authority that you trust"
    for claim, label in _SHOWN:
        if text := publication.claims.get(claim):
            yield label, _shown(text)
    if publication.run_url:
        yield "run", _shown(publication.run_url)
    if publication.reason:
        yield "because", _shown(publication.reason)
    yield "attestations", legible(verdict.attestations.said)
    if verdict.is_expected is not None:
        yield "policy", "met" if verdict.is_expected else "NOT MET"


def _shown(text: str) -> str:
    return printable(text, _MAX_CHARACTERS)


def _minute(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M UTC}"


def _safe(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a JSON value whose texts are safe to show."""
    if isinstance(value, str):
        return str(legible(value))
    if isinstance(value, dict):
        return {_safe(name): _safe(member) for name, member in value.items()}
    return [_safe(each) for each in value] if isinstance(value, list) else value
