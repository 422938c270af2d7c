"""Publish receipts as bytes: one form, every member, and which bytes are not a receipt."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import jsonschema
import pytest

from pytp_broker.provenance.dsse import canonical
from pytp_broker.provenance.receipts import (
    PREDICATE_TYPE,
    ForeignStatementError,
    Kind,
    MalformedReceiptError,
    Publication,
    Receipt,
    read_time,
    write_time,
)
from tests.support.released import ROOT

NOW = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)
SCHEMA = json.loads((ROOT / "docs/publish-receipt/v1/schema.json").read_text())
JOB = Publication(
    kind=Kind.JOB,
    issuer="https://token.actions.githubusercontent.com",
    provider="github",
    claims={"repository": "octo-org/widgets", "run": "1"},
    pins={"repository_owner_id": "9919"},
    publishers=("p-1", "p-2"),
    run_url="https://github.com/octo-org/widgets/actions/runs/1",
    token_hash="0123456789ab",
)
RECEIPT = Receipt(
    filename="widgets-1.0.tar.gz",
    sha256="0a" * 32,
    size=1234,
    host="packages.example.com",
    registry="acme",
    project="widgets",
    version="1.0",
    uploaded_at=NOW,
    signed_at=NOW + timedelta(seconds=1),
    publication=JOB,
    audit_sha256="0b" * 32,
)
OPERATOR = replace(
    RECEIPT,
    publication=Publication(kind=Kind.OPERATOR, reason="the CI is down", token_hash="0" * 12),
)
IMPORT = replace(RECEIPT, publication=Publication(kind=Kind.IMPORT), audit_sha256=None)
EVERY = pytest.mark.parametrize("receipt", [RECEIPT, OPERATOR, IMPORT], ids=["job", "op", "import"])


def statement(change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return the statement of the receipt after a change of it."""
    document = json.loads(RECEIPT.write())
    change(document)
    return json.dumps(document).encode()


def setting(path: str, value: Any) -> Callable[[dict[str, Any]], object]:
    """Return what sets a member, such as `predicate.size`."""
    *places, name = path.split(".")

    def change(document: Any) -> None:
        for place in places:
            document = document[int(place) if place.isdigit() else place]
        document[name] = value

    return change


def without(path: str) -> Callable[[dict[str, Any]], object]:
    *places, name = path.split(".")

    def change(document: Any) -> None:
        for place in places:
            document = document[int(place) if place.isdigit() else place]
        del document[name]

    return change


@EVERY
def test_a_receipt_is_read_as_it_was_written(receipt: Receipt) -> None:
    assert Receipt.read(receipt.write()) == receipt


@EVERY
def test_a_receipt_is_as_its_schema_says(receipt: Receipt) -> None:
    document = json.loads(receipt.write())

    jsonschema.Draft202012Validator(SCHEMA).validate(document["predicate"])


@EVERY
def test_a_receipt_has_one_form(receipt: Receipt) -> None:
    assert receipt.write() == canonical(json.loads(receipt.write()))


def test_the_type_of_the_predicate_is_the_folder_of_its_schema() -> None:
    assert SCHEMA["$id"] == f"{PREDICATE_TYPE}/schema.json"
    assert PREDICATE_TYPE.endswith("/pytp-broker/publish-receipt/v1")


@pytest.mark.parametrize(
    "change",
    [
        without("predicate.size"),
        setting("predicate.size", 0),
        setting("predicate.size", "1234"),
        setting("predicate.uploadedAt", "yesterday"),
        setting("predicate.project", "Widgets"),
        setting("predicate.publication.kind", "friend"),
        setting("predicate.publication.reason", "no reason"),
        setting("predicate.publication.tokenHash", "pytp_0"),
        setting("predicate.publication.claims", {"run": 1}),
        setting("predicate.publication.runUrl", "javascript:alert(1)"),
        without("predicate.publication.issuer"),
        setting("predicate.auditRecord", {}),
    ],
)
def test_the_schema_refuses_what_no_receipt_says(
    change: Callable[[dict[str, Any]], object],
) -> None:
    predicate = json.loads(statement(change))["predicate"]

    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(predicate)


@pytest.mark.parametrize("kind", ["operator", "import"])
def test_the_schema_lets_a_job_alone_have_a_job(kind: str) -> None:
    predicate = json.loads(statement(setting("predicate.publication.kind", kind)))["predicate"]

    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(predicate)


def test_members_of_later_versions_are_ignored() -> None:
    def add(document: dict[str, Any]) -> None:
        document["novel"] = document["predicate"]["novel"] = {"a": 1}
        document["predicate"]["publication"]["novel"] = ["a"]

    assert Receipt.read(statement(add)) == RECEIPT


@pytest.mark.parametrize(
    "change",
    [
        setting("_type", "https://in-toto.io/Statement/v0.1"),
        setting("predicateType", "https://docs.pypi.example.com/attestations/publish/v1"),
        setting("predicateType", f"{PREDICATE_TYPE}/"),
        setting("predicateType", PREDICATE_TYPE.replace("v1", "v2")),
    ],
)
def test_a_statement_of_another_kind_is_foreign(
    change: Callable[[dict[str, Any]], object],
) -> None:
    with pytest.raises(ForeignStatementError):
        Receipt.read(statement(change))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("_type"), "`_type` is missing"),
        (without("predicateType"), "`predicateType` is missing"),
        (without("subject"), "`subject` is missing"),
        (setting("subject", []), "exactly one subject"),
        (setting("subject", [{}, {}]), "exactly one subject"),
        (setting("subject", ["widgets"]), "exactly one subject"),
        (setting("subject.0.name", 1), "`subject.name`"),
        (without("subject.0.digest"), "`subject.digest`"),
        (setting("subject.0.digest", {"sha512": "0"}), "`subject.digest.sha256`"),
        (without("predicate"), "`predicate` is missing"),
        (setting("predicate", []), "`predicate` is missing or of another type"),
        (setting("predicate.registry", "acme"), "`predicate.registry`"),
        (without("predicate.registry.host"), "`predicate.registry.host`"),
        (without("predicate.registry.name"), "`predicate.registry.name`"),
        (without("predicate.project"), "`predicate.project`"),
        (setting("predicate.version", 1.0), "`predicate.version`"),
        (setting("predicate.size", True), "`predicate.size`"),
        (setting("predicate.size", 1.5), "`predicate.size`"),
        (setting("predicate.size", None), "`predicate.size`"),
        (setting("predicate.uploadedAt", 1), "`predicate.uploadedAt` is missing"),
        (setting("predicate.uploadedAt", "yesterday"), "`predicate.uploadedAt` is not a time"),
        (setting("predicate.uploadedAt", "2026-11-22T12:00:00"), "is not a time"),
        (setting("predicate.signedAt", "0001-01-01T00:00:00Z"), "is not a time"),
        (setting("predicate.signedAt", "9999-12-31T23:59:59-12:00"), "is not a time"),
        (without("predicate.publication"), "`predicate.publication`"),
        (without("predicate.publication.kind"), "`predicate.publication.kind` is missing"),
        (setting("predicate.publication.kind", "friend"), "kind` is unknown"),
        (setting("predicate.publication.issuer", 1), "`predicate.publication.issuer`"),
        (setting("predicate.publication.issuer", None), "`predicate.publication.issuer`"),
        (setting("predicate.publication.claims", []), "`predicate.publication.claims`"),
        (setting("predicate.publication.claims", {"run": 1}), "publication.claims.run`"),
        (setting("predicate.publication.pins", "9919"), "`predicate.publication.pins`"),
        (setting("predicate.publication.publishers", "p-1"), "publication.publishers`"),
        (setting("predicate.publication.publishers", [1]), "publishers` is not a list of texts"),
        (setting("predicate.publication.runUrl", []), "`predicate.publication.runUrl`"),
        (setting("predicate.publication.tokenHash", 1), "`predicate.publication.tokenHash`"),
        (setting("predicate.auditRecord", "hash"), "`predicate.auditRecord`"),
        (setting("predicate.auditRecord", {"digest": {}}), "auditRecord.digest.sha256`"),
    ],
)
def test_a_malformed_statement_is_refused_and_its_member_is_named(
    change: Callable[[dict[str, Any]], object], words: str
) -> None:
    with pytest.raises(MalformedReceiptError, match=words):
        Receipt.read(statement(change))


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"", "not strict JSON"),
        (b"\xff\xfe", "not strict JSON"),
        (b'{"_type":"a","_type":"b"}', "not strict JSON"),
        (b"[" * 100_000, "not strict JSON"),
        (b"[]", "not a JSON object"),
        (b'"receipt"', "not a JSON object"),
    ],
)
def test_what_is_not_a_strict_object_is_no_receipt(octets: bytes, words: str) -> None:
    with pytest.raises(MalformedReceiptError, match=words):
        Receipt.read(octets)


def test_times_are_written_in_utc_with_microseconds() -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=2))).replace(microsecond=0)

    assert write_time(elsewhere) == "2026-11-22T12:00:00.000000Z"
    assert read_time(write_time(NOW)) == NOW
