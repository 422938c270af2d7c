"""Read attestations (PEP 740) strictly, and check that each one's statement is about the file."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pytp_broker.provenance.attestations import MAX_BYTES, PREDICATE_TYPES, parse_name
from pytp_broker.provenance.attester import AttestationQuestion
from pytp_broker.provenance.judgement import Reason, RefusedError
from pytp_broker.provenance.receipts import STATEMENT
from pytp_broker.redaction import printable
from pytp_broker.strict_json import parse_json

_MEMBERS: Final = {
    "": {"version", "verification_material", "envelope"},
    "verification_material": {"certificate", "transparency_entries"},
    "envelope": {"statement", "signature"},
}


@dataclass(frozen=True, slots=True)
class Sent:
    """An attestation whose statement is about the file; nothing else of it is checked yet."""

    document: Mapping[str, Any]
    certificate: bytes
    log_id: bytes | None


def read_sent(question: AttestationQuestion) -> Sequence[Sent]:
    """Return the attestations; raise RefusedError."""
    documents = [_check_members(each) for each in _read_array(question.attestations)]
    kinds = [_check_statement(each, question) for each in documents]
    if len(set(kinds)) != len(kinds):
        raise RefusedError(Reason.DUPLICATE, "two attestations have the same predicate type")
    return [_take_apart(each) for each in documents]


def _read_array(text: str) -> Sequence[Any]:
    if len(text) > MAX_BYTES:
        raise RefusedError(Reason.TOO_LARGE, f"they have more than {MAX_BYTES} characters")
    array = _parse(text.encode(errors="replace"), "they are")
    if not isinstance(array, list) or not 1 <= len(array) <= len(PREDICATE_TYPES):
        raise _malformed("they are not an array of one or two attestations")
    return array


def _parse(octets: bytes, subject: str) -> object:
    try:
        return parse_json(octets)
    except ValueError:
        raise _malformed(f"{subject} not strict JSON") from None


def _check_members(document: object) -> Mapping[str, Any]:
    """Return the attestation, which has at least the members that PEP 740 says.

    A later version of the format may add more of them. But the envelope has what is signed, so
    nothing stands beside it: neither a second signature nor another statement.
    """
    if not isinstance(document, dict):
        raise _malformed("an attestation is not an object")
    for name, members in _MEMBERS.items():
        part = document[name] if name else document
        if not isinstance(part, dict) or not part.keys() >= members:
            raise _malformed(f"`{name or 'attestation'}` lacks a member of PEP 740")
    if document["envelope"].keys() != _MEMBERS["envelope"]:
        raise _malformed("its `envelope` has more than a statement and its signature")
    if document["version"] != 1 or document["version"] is True:
        raise _malformed("its `version` is not 1")
    return document


def _check_statement(document: Mapping[str, Any], question: AttestationQuestion) -> str:
    """Return the predicate's type; raise RefusedError unless it is about the file."""
    statement = _parse(_decode(document["envelope"], "statement"), "its statement is")
    if not isinstance(statement, dict) or statement.get("_type") != STATEMENT:
        raise RefusedError(Reason.FOREIGN_STATEMENT, "its statement is not an in-toto Statement v1")
    kind = statement.get("predicateType")
    if not isinstance(kind, str) or kind not in PREDICATE_TYPES:
        shown = printable(str(kind))
        raise RefusedError(Reason.FOREIGN_PREDICATE, f"its predicate type `{shown}` is not known")
    _check_subject(statement.get("subject"), question)
    return kind


def _check_subject(subjects: object, question: AttestationQuestion) -> None:
    match subjects:
        case [{"name": str(name), "digest": dict(digest)}]:
            pass
        case _:
            raise RefusedError(
                Reason.WRONG_SUBJECT, "its statement does not have one subject with a digest"
            )
    if not _is_same_file(name, question.filename):
        raise RefusedError(
            Reason.WRONG_SUBJECT, f"its statement is about the file `{printable(name)}`"
        )
    if digest.get("sha256") != question.sha256:
        raise RefusedError(
            Reason.WRONG_DIGEST,
            f"its statement is about another content than that with sha256 {question.sha256}",
        )


def _is_same_file(one: str, other: str) -> bool:
    """Say whether both names mean one distribution; raise RefusedError if one is no name."""
    try:
        return parse_name(one) == parse_name(other)
    except ValueError:
        raise RefusedError(
            Reason.WRONG_SUBJECT, f"`{printable(one)}` is not the name of a distribution"
        ) from None


def _take_apart(document: Mapping[str, Any]) -> Sent:
    material = document["verification_material"]
    certificate = _decode(material, "certificate")
    _decode(document["envelope"], "signature")
    match material["transparency_entries"]:
        case [{"logId": {"keyId": str(log_id)}}]:
            return Sent(document, certificate, _decode({"keyId": log_id}, "keyId"))
        case []:
            return Sent(document, certificate, None)
        case [_, _, *_]:
            raise RefusedError(Reason.SEVERAL_ENTRIES, "it has more than one log entry")
        case _:
            raise _malformed("its log entry has no log")


def _decode(document: Mapping[str, Any], name: str) -> bytes:
    text = document[name]
    try:
        if isinstance(text, str) and text:
            # Older clients break the lines.
            return base64.b64decode(text.replace("\n", ""), validate=True)
    except ValueError:
        pass
    raise _malformed(f"its `{name}` is not base64")


def _malformed(sentence: str) -> RefusedError:
    return RefusedError(Reason.MALFORMED, sentence)
