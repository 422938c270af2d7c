"""Publish receipts: the registry's statement of which file it has taken, and from whom.

A receipt is an in-toto Statement v1 with a predicate of our own, whose URL has its JSON Schema.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final, Self

from pytp_broker.provenance.dsse import canonical
from pytp_broker.strict_json import parse_json

STATEMENT: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://pytp-broker.github.io/pytp-broker/publish-receipt/v1"
_FIRST_YEAR: Final = 1970
_LAST_YEAR: Final = 9000


class MalformedReceiptError(ValueError):
    """The bytes are not a publish receipt; the message says why."""


class ForeignStatementError(MalformedReceiptError):
    """The bytes are an in-toto statement of another kind."""


class Kind(Enum):
    """How a file came: from a trusted publisher's job, from an operator, or by an import."""

    JOB = "job"
    OPERATOR = "operator"
    IMPORT = "import"


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """Who published a file, as far as everybody may know.

    ``claims`` are the signed claims that were recorded, and ``pins`` the immutable ids that the
    trusted publishers expect. Only a job has these, an ``issuer`` and a ``provider``. An operator's
    name and the source of an import are in the audit record alone.
    """

    kind: Kind
    issuer: str | None = None
    provider: str | None = None
    claims: Mapping[str, str] = field(default_factory=dict)
    pins: Mapping[str, str] = field(default_factory=dict)
    publishers: tuple[str, ...] = ()
    run_url: str | None = None
    reason: str | None = None
    token_hash: str | None = None

    def document(self) -> dict[str, Any]:
        """Return what is known as JSON types."""
        known: dict[str, Any] = {
            "kind": self.kind.value,
            "issuer": self.issuer,
            "provider": self.provider,
            "claims": dict(self.claims),
            "pins": dict(self.pins),
            "publishers": list(self.publishers),
            "runUrl": self.run_url,
            "reason": self.reason,
            "tokenHash": self.token_hash,
        }
        return {name: value for name, value in known.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """One file that a registry of a deployment has taken.

    ``host`` is the deployment's own name. ``signed_at`` is when the receipt was made; an imported
    file has the ``uploaded_at`` of its source. ``audit_sha256`` is the hash of the audit record.
    """

    filename: str
    sha256: str
    size: int
    host: str
    registry: str
    project: str
    version: str
    uploaded_at: datetime
    signed_at: datetime
    publication: Publication
    audit_sha256: str | None = None

    def write(self) -> bytes:
        """Return the statement; the same receipt has always the same bytes."""
        predicate = {
            "registry": {"host": self.host, "name": self.registry},
            "project": self.project,
            "version": self.version,
            "size": self.size,
            "uploadedAt": write_time(self.uploaded_at),
            "signedAt": write_time(self.signed_at),
            "publication": self.publication.document(),
        }
        if self.audit_sha256 is not None:
            predicate["auditRecord"] = {"digest": {"sha256": self.audit_sha256}}
        return canonical(
            {
                "_type": STATEMENT,
                "subject": [{"name": self.filename, "digest": {"sha256": self.sha256}}],
                "predicateType": PREDICATE_TYPE,
                "predicate": predicate,
            }
        )

    @classmethod
    def read(cls, octets: bytes) -> Self:
        """Return the receipt that is written as these bytes.

        Members that we do not know are ignored. Raises ForeignStatementError for a statement of
        another kind, and MalformedReceiptError.
        """
        statement = _Members.parse(octets)
        _check_kind(statement)
        subject = _one_subject(statement)
        predicate = statement.object("predicate")
        registry = predicate.object("registry")
        return cls(
            filename=subject.text("name"),
            sha256=subject.object("digest").text("sha256"),
            size=predicate.number("size"),
            host=registry.text("host"),
            registry=registry.text("name"),
            project=predicate.text("project"),
            version=predicate.text("version"),
            uploaded_at=predicate.time("uploadedAt"),
            signed_at=predicate.time("signedAt"),
            publication=_read_publication(predicate.object("publication")),
            audit_sha256=_read_audit(predicate),
        )


def write_time(time: datetime) -> str:
    """Return a time as the receipts and their keys have it: ISO 8601 in UTC."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def read_time(text: str) -> datetime:
    """Return the time that ``write_time`` wrote; raise ValueError, also without a time zone."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("no time zone")
    # Near the ends of the calendar, adding a leeway or changing the time zone would overflow.
    if not _FIRST_YEAR <= time.year <= _LAST_YEAR:
        raise ValueError("too long ago, or too far in the future")
    return time


class _Members:
    """The members of a JSON object, each read as the type that it must have."""

    def __init__(self, document: Mapping[str, Any], place: str = "") -> None:
        self._document, self._place = document, place

    @classmethod
    def parse(cls, octets: bytes) -> Self:
        try:
            document = parse_json(octets)
        except ValueError:
            raise MalformedReceiptError("it is not strict JSON") from None
        if not isinstance(document, dict):
            raise MalformedReceiptError("it is not a JSON object")
        return cls(document)

    def has(self, name: str) -> bool:
        return name in self._document

    def value(self, name: str, kind: type) -> Any:  # noqa: ANN401 - of the type `kind`
        value = self._document.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise MalformedReceiptError(f"its `{self._place}{name}` is missing or of another type")
        return value

    def text(self, name: str) -> str:
        text: str = self.value(name, str)
        return text

    def optional_text(self, name: str) -> str | None:
        return self.text(name) if self.has(name) else None

    def number(self, name: str) -> int:
        number: int = self.value(name, int)
        return number

    def object(self, name: str) -> "_Members":
        return _Members(self.value(name, dict), f"{self._place}{name}.")

    def texts(self, name: str) -> Mapping[str, str]:
        if not self.has(name):
            return {}
        members: Mapping[str, Any] = self.value(name, dict)
        inner = _Members(members, f"{self._place}{name}.")
        return {each: inner.text(each) for each in members}

    def names(self, name: str) -> tuple[str, ...]:
        found = tuple(self.value(name, list)) if self.has(name) else ()
        if not all(isinstance(each, str) for each in found):
            raise MalformedReceiptError(f"its `{self._place}{name}` is not a list of texts")
        return found

    def time(self, name: str) -> datetime:
        try:
            return read_time(self.text(name))
        except MalformedReceiptError:
            raise
        except ValueError:
            raise MalformedReceiptError(f"its `{self._place}{name}` is not a time") from None


def _check_kind(statement: _Members) -> None:
    if statement.text("_type") != STATEMENT:
        raise ForeignStatementError("it is not an in-toto Statement v1")
    if statement.text("predicateType") != PREDICATE_TYPE:
        raise ForeignStatementError("its `predicateType` is not that of a publish receipt")


def _one_subject(statement: _Members) -> _Members:
    subjects = statement.value("subject", list)
    if len(subjects) != 1 or not isinstance(subjects[0], dict):
        raise MalformedReceiptError("it must have exactly one subject")
    return _Members(subjects[0], "subject.")


def _read_publication(members: _Members) -> Publication:
    try:
        kind = Kind(members.text("kind"))
    except MalformedReceiptError:
        raise
    except ValueError:
        raise MalformedReceiptError("its `predicate.publication.kind` is unknown") from None
    return Publication(
        kind=kind,
        issuer=members.optional_text("issuer"),
        provider=members.optional_text("provider"),
        claims=members.texts("claims"),
        pins=members.texts("pins"),
        publishers=members.names("publishers"),
        run_url=members.optional_text("runUrl"),
        reason=members.optional_text("reason"),
        token_hash=members.optional_text("tokenHash"),
    )


def _read_audit(predicate: _Members) -> str | None:
    if not predicate.has("auditRecord"):
        return None
    return predicate.object("auditRecord").object("digest").text("sha256")
