"""Receipts: every file that becomes visible has one, which says who published it."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
import pytest

from pytp_broker.content import Held
from pytp_broker.index.digests import SHA256
from pytp_broker.index.importing import Delivery, Transfer, check_name, commit, store_delivery
from pytp_broker.index.offers import Offer
from pytp_broker.index.receipts import (
    MAX_PUBLISHERS,
    certify_all,
    describe_publication,
    hash_record,
)
from pytp_broker.making import Making
from pytp_broker.minting import make_to_upload
from pytp_broker.names import normalize
from pytp_broker.provenance.dsse import MAX_ENVELOPE_BYTES, Envelope
from pytp_broker.provenance.receipts import Kind, Receipt
from pytp_broker.storage.file_store import receipt_key
from pytp_broker.storage.sessions import SessionStatus
from pytp_broker.trust.providers import PROVIDERS
from pytp_broker.trust.providers.model import Role
from tests.support.deployment import HOST
from tests.support.distributions import (
    SDIST_NAME,
    WHEEL_NAME,
    Distribution,
    fields,
    form,
    metadata,
    sdist,
    wheel,
)
from tests.support.fakes import MemoryFiles, stored_bytes
from tests.support.receipts import AUDIT, notary, read_receipt
from tests.support.released import ROOT
from tests.support.samples import file as file_sample
from tests.support.shelf import IDENTITY, Shelf
from tests.support.signing import GITHUB, NOW
from tests.support.uploading import Uploader
from tests.support.world import World

SCHEMA = json.loads((ROOT / "docs/publish-receipt/v1/schema.json").read_text())
JOB = {
    "issuer": GITHUB,
    "provider": "github",
    "repository": "octo-org/widgets",
    "run": "11855712345",
    "sha": "f00d",
    "repository_owner_id": "9919",
    "publishers": "p-widgets, p-more",
    "token_hash": "0123456789ab",
}


@pytest.fixture
def client() -> Uploader:
    """Return a client of an index in memory, with nothing published."""
    return Uploader(Shelf())


def receipt_of(shelf: Shelf, filename: str = WHEEL_NAME) -> Receipt:
    return read_receipt(shelf.store.files["acme", filename], shelf.files, shelf.now)


def check_predicate(receipt: Receipt) -> None:
    """Check that a receipt is as the documented schema says."""
    validator = jsonschema.Draft202012Validator(SCHEMA)
    validator.validate(json.loads(receipt.write())["predicate"])


def emergency(shelf: Shelf) -> str:
    """Return the credentials of a token with which an operator lets somebody publish."""
    making = Making("user olive", reason="the CI is down")
    made = make_to_upload("acme", "widgets", making, timedelta(minutes=15), shelf.now)
    shelf.store.add_operators_token(made.record)
    return shelf.basic(made.token)


def import_wheel(shelf: Shelf) -> None:
    at = datetime(2015, 1, 1, tzinfo=UTC)
    distribution = check_name(Offer(WHEEL_NAME, "", {}), normalize("widgets"))
    delivery = Delivery(Held(wheel().content), {SHA256: wheel().sha256}, at)
    transfer = Transfer("acme", "https://old.example.com/simple/", "user olive", AUDIT)
    file = store_delivery(distribution, delivery, transfer, notary(shelf.files))
    assert commit(file, shelf.store)


# What a receipt says


def test_the_receipt_of_an_upload_says_what_and_who(shelf: Shelf) -> None:
    shelf.publish(wheel())

    receipt = receipt_of(shelf)

    assert (receipt.filename, receipt.sha256) == (WHEEL_NAME, wheel().sha256)
    assert receipt.size == len(wheel().content)
    assert (receipt.host, receipt.registry) == (HOST, "acme")
    assert (receipt.project, receipt.version) == ("widgets", "1.0")
    assert (receipt.uploaded_at, receipt.signed_at) == (NOW, NOW)
    assert receipt.publication.kind is Kind.JOB
    assert receipt.publication.issuer == GITHUB
    assert receipt.publication.claims == IDENTITY
    assert receipt.publication.publishers == ("p-widgets",)
    assert receipt.publication.token_hash == shelf.token.hash[:12]
    check_predicate(receipt)


def test_a_receipt_names_the_file_record_that_names_it(shelf: Shelf) -> None:
    shelf.publish(wheel())

    file = shelf.store.files["acme", WHEEL_NAME]
    key = receipt_key("acme", str(file.receipt_sha256), WHEEL_NAME)

    assert stored_bytes(shelf.files, key)


def test_a_job_is_described_by_provider_pins_and_run() -> None:
    publication = describe_publication(JOB)

    assert publication.provider == "github"
    assert publication.claims == {
        "repository": "octo-org/widgets",
        "sha": "f00d",
        "run": "11855712345",
    }
    assert publication.pins == {"repository_owner_id": "9919"}
    assert publication.publishers == ("p-widgets", "p-more")
    assert publication.run_url == "https://github.com/octo-org/widgets/actions/runs/11855712345"
    assert publication.token_hash == "0123456789ab"


def test_a_job_that_an_earlier_version_admitted_has_no_provider() -> None:
    publication = describe_publication({"issuer": GITHUB, "repository": "octo-org/widgets"})

    assert (publication.kind, publication.provider, publication.run_url) == (Kind.JOB, None, None)
    assert (publication.pins, publication.publishers) == ({}, ())


def test_a_provider_that_this_version_does_not_know_is_named_all_the_same() -> None:
    publication = describe_publication({**JOB, "provider": "novel"})

    assert (publication.provider, publication.run_url, publication.pins) == ("novel", None, {})


def test_the_names_of_pins_are_not_those_of_other_members() -> None:
    """All of them stand beside each other in the record of a file."""
    others = {"issuer", "provider", "publishers", "token_hash", "operator", "reason"}
    others |= {"imported_by", "imported_from"}
    for provider in PROVIDERS.values():
        pins = {each.name for each in provider.fields_of(Role.PIN)}
        assert pins.isdisjoint(provider.recorded)
        assert others.isdisjoint(pins)
        assert others.isdisjoint(provider.recorded)


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_claim_that_a_provider_records_is_in_the_receipt(name: str) -> None:
    provider = PROVIDERS[name]
    pins = {each.name: "9919" for each in provider.fields_of(Role.PIN)}
    claims = dict.fromkeys(provider.recorded, "widgets")

    publication = describe_publication(
        {"issuer": "https://ci.example.com", "provider": name, **pins, **claims}
    )

    assert (publication.claims, publication.pins) == (claims, pins)


def test_a_receipt_never_grows_beyond_what_verifiers_read() -> None:
    ids = ", ".join(f"{number:032x}" for number in range(10_000))
    publication = describe_publication({**JOB, "publishers": ids})
    files = MemoryFiles()

    (file,) = certify_all(
        [file_sample(published_by={**JOB, "publishers": ids})], AUDIT, notary(files)
    )

    assert len(publication.publishers) == MAX_PUBLISHERS
    key = receipt_key("acme", str(file.receipt_sha256), file.filename)
    assert len(files.contents[key]) < MAX_ENVELOPE_BYTES // 10 * 2


def test_the_exchange_keeps_the_provider_and_the_ids_that_publishers_expect(
    world: World,
) -> None:
    world.mint(world.token())

    (record,) = world.store.tokens.values()

    assert record.provider == "github"
    assert record.pins == {"repository_owner_id": "9919", "repository_id": "70107786"}


@pytest.mark.promise("public-receipt")
def test_an_operators_receipt_says_why_and_not_who(shelf: Shelf) -> None:
    assert shelf.post(form(wheel()), emergency(shelf)).status == 200

    receipt = receipt_of(shelf)

    assert receipt.publication.kind is Kind.OPERATOR
    assert receipt.publication.reason == "the CI is down"
    assert receipt.publication.issuer is None
    assert b"olive" not in receipt.write()
    check_predicate(receipt)


@pytest.mark.promise("public-receipt")
def test_the_receipt_of_an_import_says_neither_who_nor_from_where(shelf: Shelf) -> None:
    import_wheel(shelf)

    receipt = receipt_of(shelf)

    assert receipt.publication.document() == {"kind": "import"}
    assert (receipt.uploaded_at.year, receipt.signed_at) == (2015, NOW)
    assert receipt.audit_sha256 == AUDIT
    assert b"olive" not in receipt.write()
    assert b"old.example.com" not in receipt.write()
    check_predicate(receipt)


# The page


def test_the_receipt_shown_on_the_page_is_one() -> None:
    page = (ROOT / "docs/receipts.md").read_text()
    (shown,) = re.findall(r"<!-- receipt statement -->\n```json\n(.*?)```", page, re.DOTALL)
    receipt = Receipt.read(shown.encode())

    check_predicate(receipt)
    assert json.loads(receipt.write()) == json.loads(shown)
    assert (
        describe_publication(
            {
                **receipt.publication.claims,
                **receipt.publication.pins,
                "issuer": str(receipt.publication.issuer),
                "provider": str(receipt.publication.provider),
                "publishers": ", ".join(receipt.publication.publishers),
                "token_hash": str(receipt.publication.token_hash),
            }
        )
        == receipt.publication
    )


# The audit record


@pytest.mark.promise("receipt-of-its-record")
def test_a_receipt_has_the_hash_of_the_record_of_its_upload(shelf: Shelf) -> None:
    shelf.publish(wheel())

    assert receipt_of(shelf).audit_sha256 == hash_record(shelf.record)


@pytest.mark.promise("receipt-of-its-record")
def test_the_receipts_of_a_session_have_the_hash_of_the_record_of_its_publish(
    client: Uploader,
) -> None:
    session = client.begin()
    client.stage(session, wheel(), sdist())

    assert client.publish(session).status == 201

    record = client.shelf.records[-1]
    hashes = {receipt_of(client.shelf, name).audit_sha256 for name in (WHEEL_NAME, SDIST_NAME)}
    assert record.facts["action"] == "publish"
    assert hashes == {hash_record(record)}


@pytest.mark.promise("receipt-of-its-record")
def test_nobody_can_guess_a_record_from_its_hash(shelf: Shelf) -> None:
    """An address is one of four billion, which a computer tries in minutes."""
    shelf.publish(wheel())
    shelf.publish(wheel(version="2.0"))

    first, second = (str(record.facts["nonce"]) for record in shelf.records)

    assert len(first) == len(second) == 32
    assert first != second
    assert first.encode() not in receipt_of(shelf).write()


def test_a_refused_upload_has_no_nonce(shelf: Shelf) -> None:
    shelf.publish(wheel("gadgets"))

    assert "nonce" not in shelf.record.facts


# No receipt, no file


@pytest.mark.promise("no-file-without-receipt")
def test_nothing_is_published_without_a_signature(shelf: Shelf) -> None:
    shelf.signer.fail_next("sign")

    answer = shelf.publish(wheel())

    assert answer.status == 503
    assert answer.headers["Retry-After"]
    assert shelf.filenames == []
    assert shelf.publish(wheel()).status == 200
    assert receipt_of(shelf).filename == WHEEL_NAME


def test_a_single_use_token_survives_a_signer_that_is_down(shelf: Shelf) -> None:
    token = shelf.mint(feature="single-use-token", lookup_id="7" * 32)
    shelf.signer.fail_next("sign")

    statuses = [shelf.post(form(wheel()), shelf.basic(token)).status for _ in range(2)]

    assert statuses == [503, 200]


@pytest.mark.promise("no-file-without-receipt")
def test_nothing_is_published_if_the_receipt_cannot_be_stored(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = shelf.files.save

    def save_no_receipt(key: str, content: Any, sha256: str) -> None:
        if key.startswith("receipts/"):
            shelf.files.fail_next("save")
        save(key, content, sha256)

    monkeypatch.setattr(shelf.files, "save", save_no_receipt)

    assert shelf.publish(wheel()).status == 503
    assert shelf.filenames == []


@pytest.mark.promise("no-file-without-receipt")
def test_a_session_whose_files_cannot_be_signed_stays_as_it_was(client: Uploader) -> None:
    session = client.begin()
    client.stage(session, wheel(), sdist())
    client.shelf.signer.fail_next("sign")

    answer = client.publish(session)

    assert answer.status == 503
    assert client.shelf.filenames == []
    assert not client.shelf.store.reserved
    stored = client.shelf.store.sessions[session["session-token"]]
    assert stored.status is SessionStatus.OPEN
    assert client.publish(session).status == 201
    assert {receipt_of(client.shelf, name).project for name in client.shelf.filenames} == {
        "widgets"
    }


def test_the_receipt_of_a_session_is_dated_by_its_publish(client: Uploader) -> None:
    session = client.begin()
    client.stage(session, wheel())
    client.shelf.now += timedelta(seconds=60)

    client.publish(session)

    receipt = receipt_of(client.shelf)
    assert receipt.uploaded_at == receipt.signed_at == NOW + timedelta(seconds=60)


def test_a_file_that_is_staged_by_the_legacy_api_gets_its_receipt_when_it_is_published(
    client: Uploader,
) -> None:
    shelf = client.shelf
    staged = shelf.post(form(wheel(), fields(wheel(), staged="true")))
    assert not [key for key in shelf.files.contents if key.startswith("receipts/")]

    assert client.publish(staged.json).status == 201

    assert receipt_of(shelf).publication.claims == IDENTITY


def test_many_files_get_their_receipts_in_their_order() -> None:
    files = MemoryFiles()
    names = [f"widgets-1.{number}.tar.gz" for number in range(40)]

    certified = certify_all([file_sample(name) for name in names], AUDIT, notary(files))

    assert [file.filename for file in certified] == names
    assert [read_receipt(file, files).filename for file in certified] == names


@pytest.mark.parametrize("number", [1, 40])
def test_one_receipt_that_cannot_be_made_is_enough(number: int) -> None:
    maker = notary(MemoryFiles())
    signer: Any = maker.signer
    signer.fail_next("sign")

    with pytest.raises(Exception, match="does not answer"):
        certify_all([file_sample(f"widgets-1.{n}.tar.gz") for n in range(number)], AUDIT, maker)


def test_the_same_file_again_keeps_its_receipt(shelf: Shelf) -> None:
    shelf.publish(wheel())
    before = shelf.store.files["acme", WHEEL_NAME].receipt_sha256

    shelf.publish(wheel())

    assert shelf.store.files["acme", WHEEL_NAME].receipt_sha256 == before
    assert len([key for key in shelf.files.contents if key.startswith("receipts/")]) == 1


def every_token(shelf: Shelf) -> Iterator[str]:
    yield shelf.token.reveal()
    yield emergency(shelf)


@pytest.mark.promise("public-receipt")
def test_no_receipt_holds_a_token(shelf: Shelf) -> None:
    text = metadata("widgets", "1.0", "Summary: plain")
    shelf.publish(wheel(text=text))

    (octets,) = (o for key, o in shelf.files.contents.items() if key.startswith("receipts/"))
    payload = Envelope.read(octets).payload
    assert not any(token.encode() in payload for token in every_token(shelf))


def test_a_record_of_an_earlier_version_stays_readable(shelf: Shelf) -> None:
    shelf.publish(wheel())
    file = shelf.store.files["acme", WHEEL_NAME]

    assert replace(file, receipt_sha256=None).document().keys() < file.document().keys()
    assert type(file).from_document({**file.document(), "novel": 1}) == file


def test_other_bytes_have_another_receipt(shelf: Shelf) -> None:
    def receipt(distribution: Distribution) -> str | None:
        shelf.publish(distribution)
        return shelf.store.files["acme", distribution.filename].receipt_sha256

    assert receipt(wheel()) != receipt(sdist())
