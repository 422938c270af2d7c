"""The form of attestations (PEP 740): what can be checked without a library.

A client sends a JSON array of them with a file. Each is a signed in-toto statement about that file,
with the certificate of its signer. Whether the signature is good is for an ``Attester`` to say.
"""

import base64
from collections.abc import Mapping
from typing import Any, Final

from packaging.utils import parse_sdist_filename, parse_wheel_filename

from pytp_broker.names import MAX_FILE_NAME_CHARACTERS
from pytp_broker.provenance.receipts import STATEMENT
from pytp_broker.redaction import printable
from pytp_broker.strict_json import parse_json

PUBLISH: Final = "https://docs.pypi.org/attestations/publish/v1"
SLSA: Final = "https://slsa.dev/provenance/v1"
PREDICATE_TYPES: Final = (PUBLISH, SLSA)
# An attestation takes about 10 KiB, and one of a matrix with many jobs twice as much.
MAX_BYTES: Final = 256 * 1024
_VERSION: Final = 1
# Each takes a few KiB, and PyPI's have one.
_MAX_ENTRIES: Final = 4


class MalformedAttestationsError(ValueError):
    """The bytes are not attestations of this file; the message says why and what is expected."""


def check_form(octets: bytes, filename: str, sha256: str) -> None:
    """Check that these are one or two attestations of a file; raise MalformedAttestationsError.

    The errors never repeat more than a short text of what was sent.
    """
    kinds: list[str] = []
    attestations = _read_array(octets)
    for number, attestation in enumerate(attestations):
        try:
            statement = _read_statement(attestation)
            kinds.append(_read_kind(statement))
            _check_subject(statement, filename, sha256)
        except MalformedAttestationsError as mistake:
            place = f"attestation {number + 1} of {len(attestations)}"
            raise MalformedAttestationsError(f"{place}: {mistake}") from None
    if len(set(kinds)) < len(kinds):
        raise MalformedAttestationsError(f"two attestations have the predicate type {kinds[0]}")


def _read_array(octets: bytes) -> list[Any]:
    if len(octets) > MAX_BYTES:
        raise MalformedAttestationsError(f"they have more than {MAX_BYTES // 1024} KiB")
    try:
        document = parse_json(octets)
    except ValueError:
        raise MalformedAttestationsError("they are not strict JSON") from None
    if not isinstance(document, list):
        raise MalformedAttestationsError("they must be a JSON array of attestation objects")
    if not 1 <= len(document) <= len(PREDICATE_TYPES):
        raise MalformedAttestationsError(
            f"the array must have one or two attestations, not {len(document)}: leave the "
            "attestations out if there are none"
        )
    return document


def _read_statement(attestation: object) -> Mapping[str, Any]:
    """Return the statement that an attestation has signed."""
    members = _object(attestation, "the attestation")
    if members.get("version") != _VERSION or isinstance(members["version"], bool):
        raise MalformedAttestationsError("its `version` must be 1")
    _check_material(_object(members.get("verification_material"), "its `verification_material`"))
    envelope = _object(members.get("envelope"), "its `envelope`")
    _bytes(envelope, "signature")
    try:
        statement = parse_json(_bytes(envelope, "statement"))
    except MalformedAttestationsError:
        raise
    except ValueError:
        raise MalformedAttestationsError("its statement is not strict JSON") from None
    return _object(statement, "its statement")


def _check_material(material: Mapping[str, Any]) -> None:
    _bytes(material, "certificate")
    entries = material.get("transparency_entries")
    if not isinstance(entries, list) or len(entries) > _MAX_ENTRIES:
        raise MalformedAttestationsError(
            f"its `transparency_entries` must be a list of at most {_MAX_ENTRIES} objects"
        )
    for entry in entries:
        _object(entry, "an entry of its `transparency_entries`")


def _read_kind(statement: Mapping[str, Any]) -> str:
    if statement.get("_type") != STATEMENT:
        raise MalformedAttestationsError(f"its statement must have the `_type` {STATEMENT}")
    kind = statement.get("predicateType")
    if kind not in PREDICATE_TYPES:
        seen = printable(kind) if isinstance(kind, str) else "none"
        raise MalformedAttestationsError(
            f"its predicate type must be one of {', '.join(PREDICATE_TYPES)}, not `{seen}`"
        )
    return str(kind)


def _check_subject(statement: Mapping[str, Any], filename: str, sha256: str) -> None:
    subjects = statement.get("subject")
    if not isinstance(subjects, list) or len(subjects) != 1:
        raise MalformedAttestationsError("its statement must have exactly one subject")
    subject = _object(subjects[0], "its subject")
    name = subject.get("name")
    if not isinstance(name, str) or not _is_same_file(name, filename):
        seen = printable(name) if isinstance(name, str) else "nothing"
        raise MalformedAttestationsError(f"it is about `{seen}`, and the file is `{filename}`")
    digest = _object(subject.get("digest"), "the `digest` of its subject").get("sha256")
    if digest != sha256:
        raise MalformedAttestationsError(
            f"it is about a file of another sha256, and that of `{filename}` is {sha256}"
        )


def _is_same_file(one: str, other: str) -> bool:
    """Say whether two file names mean one distribution (PEP 740 compares what they say)."""
    try:
        return one == other or parse_name(one) == parse_name(other)
    except ValueError:
        return False


def parse_name(filename: str) -> object:
    """Return what the name of a distribution says, however it is spelled; raise ValueError.

    A wheel's three lists of tags are multiplied, so a name of some kilobytes would take minutes.
    """
    if len(filename) > MAX_FILE_NAME_CHARACTERS:
        raise ValueError("too long")
    is_wheel = filename.endswith(".whl")
    return parse_wheel_filename(filename) if is_wheel else parse_sdist_filename(filename)


def _object(value: object, place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise MalformedAttestationsError(f"{place} must be a JSON object")
    return value


def _bytes(members: Mapping[str, Any], name: str) -> bytes:
    text = members.get(name)
    try:
        octets = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except ValueError:
        octets = b""
    if not octets:
        raise MalformedAttestationsError(f"its `{name}` must be base64 of at least one byte")
    return octets
