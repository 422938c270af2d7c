"""What a receipt, a timestamp and an attestation cost an upload, in time and in bytes.

One deployment publishes small wheels through its upload function: without receipts, as no real
deployment does; with them; with a timestamp of an authority on loopback; and with an attestation.
The ways take turns, so that a growing store is equally slow for each. Trust the differences; the
milliseconds depend on the machine. Run it with `make bench`. It asserts only that every upload
succeeds.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from statistics import median
from typing import Any, Final
from unittest.mock import patch

import pytest

from pytp_broker.aws.dynamodb.operating import DynamoStore
from pytp_broker.aws.kms_keys import KmsKeys
from pytp_broker.aws.kms_signer import KmsSigner
from pytp_broker.aws.s3 import S3Files
from pytp_broker.aws.s3_listings import S3Listings
from pytp_broker.content import read_all
from pytp_broker.index import preparing
from pytp_broker.local.folder_signer import open_signer as open_folder_signer
from pytp_broker.provenance.attester import AttestationQuestion, AttestationStatus
from pytp_broker.provenance.checking import Subject, accept_receipt
from pytp_broker.provenance.dsse import Envelope
from pytp_broker.provenance.signing import Signer
from pytp_broker.provenance.sigstore_checks import SigstoreAttester
from pytp_broker.registries import Timestamping
from pytp_broker.services import Index
from pytp_broker.stamping import make_stamper
from pytp_broker.storage.cache import ConfigurationCache, ReceiptKeyCache
from pytp_broker.storage.file_folder import FolderFiles
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.file_store import FileStore, receipt_key
from pytp_broker.storage.protocols import Store
from pytp_broker.storage.sqlite import SqliteStore
from tests.support.claims import captured
from tests.support.deployment import HOST
from tests.support.distributions import Distribution, Fields, fields, wheel
from tests.support.emulator import Emulator, create_bucket, create_table
from tests.support.shelf import Shelf
from tests.support.signing import NOW
from tests.support.sigstores import Sigstore, github
from tests.support.time_authority import TimeAuthority, serving

ROUNDS: Final = 60
CHECKS: Final = 100
PUBLISHER: Final = {
    "kind": "GitHub",
    "repository": "octo-org/widgets",
    "workflow": "release.yml",
    "environment": None,
}

WITHOUT: Final = "without a receipt"
RECEIPT: Final = "with a receipt"
TIMESTAMP: Final = "with a receipt and a timestamp"
ATTESTATION: Final = "with a receipt and an attestation"


@dataclass(frozen=True)
class Spent:
    """What one upload took: from its request to its answer, and on this process's processor."""

    seconds: float
    processor_seconds: float


@dataclass(frozen=True)
class Engine:
    """A deployment whose store and files are real."""

    shelf: Shelf
    store: Store
    files: FileStore

    def index_with(self, authority: Timestamping) -> Index:
        """Return the same index with a time-stamping authority."""
        configuration = replace(self.store.load_configuration(), timestamping=authority)
        return replace(
            self.shelf.index,
            configurations=ConfigurationCache(lambda: configuration),
            stamper=make_stamper(lambda: NOW, only_public=False),
        )

    def find(self, distribution: Distribution) -> PublishedFile:
        file = self.store.find_entry("acme", "widgets", distribution.filename).file
        assert file is not None
        return file

    def read_receipt(self, file: PublishedFile) -> bytes:
        assert file.receipt_sha256 is not None
        key = receipt_key(file.registry, file.receipt_sha256, file.filename)
        with self.files.open(key) as content:
            return read_all(content)


@pytest.fixture(params=["SQLite and a folder", "an emulator of DynamoDB and S3"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    print(f"\n--- {request.param}")
    if request.param.startswith("SQLite"):
        with closing(SqliteStore(tmp_path / "broker.sqlite3")) as embedded:
            own = open_folder_signer(tmp_path, embedded, lambda: NOW)
            yield start(embedded, FolderFiles(tmp_path / "files"), own)
        return
    emulator: Emulator = request.getfixturevalue("emulator")
    dynamodb, s3 = emulator.client("dynamodb"), emulator.client("s3")
    bucket = create_bucket(s3)
    store = DynamoStore(dynamodb, create_table(dynamodb), S3Listings(lambda: s3, bucket))
    kms = emulator.client("kms")
    key = KmsKeys(lambda: kms, "bench").make(NOW - timedelta(days=1))
    assert store.save_receipt_key(key, None)
    signer = KmsSigner(lambda: kms, ReceiptKeyCache(store.list_receipt_keys), lambda: NOW)
    yield start(store, S3Files(s3, bucket), signer)


def start(store: Store, files: FileStore, signer: Signer) -> Engine:
    shelf = Shelf()
    tokens = shelf.store.list_tokens(shelf.now)
    store.apply(shelf.configuration, shelf.publishers)
    for record in tokens:
        store.add_token(record)
    shelf.store, shelf.files, shelf.signer = store, files, signer  # type: ignore[assignment]
    shelf.start()
    return Engine(shelf, store, files)


def test_an_upload_with_what_proves_it(engine: Engine) -> None:
    sigstore, plain = Sigstore(), engine.shelf.index
    identity = github(captured("github"))
    times: dict[str, list[Spent]] = {}
    with serving(TimeAuthority(lambda: NOW)) as url:
        stamping = engine.index_with(Timestamping(url))
        for number in range(ROUNDS):
            for way in (WITHOUT, RECEIPT, TIMESTAMP, ATTESTATION):
                engine.shelf.index = stamping if way == TIMESTAMP else plain
                distribution = make_wheel(number, way)
                more = {}
                if way == ATTESTATION:
                    text = sigstore.attest(distribution.filename, distribution.sha256, identity)
                    more["attestations"] = text
                with as_way(way):
                    spent = publish(engine.shelf, distribution, more)
                times.setdefault(way, []).append(spent)
    show_times({way: each[5:] for way, each in times.items()})  # the first rounds warm up
    show_sizes(engine)


def make_wheel(number: int, way: str) -> Distribution:
    return wheel(version=f"1.{number}.{len(way)}")


def as_way(way: str) -> AbstractContextManager[Any]:
    """Return the context in which uploads have no receipt, or one that changes nothing."""
    if way != WITHOUT:
        return nullcontext()
    return patch.object(preparing, "certify", lambda file, *_: file)


def publish(shelf: Shelf, distribution: Distribution, more: Mapping[str, str]) -> Spent:
    sent: Fields = fields(distribution, **more)
    started, at_work = time.perf_counter(), time.process_time()
    answer = shelf.publish(distribution, sent)
    spent = Spent(time.perf_counter() - started, time.process_time() - at_work)
    assert answer.status == HTTPStatus.OK, answer.body
    return spent


def show_times(times: Mapping[str, list[Spent]]) -> None:
    print(f"{'milliseconds of an upload':36} in all     more   of the processor     more")
    for way, each in times.items():
        numbers: list[float] = []
        for name in ("seconds", "processor_seconds"):
            found = [getattr(spent, name) * 1000 for spent in each]
            base = [getattr(spent, name) * 1000 for spent in times[WITHOUT]]
            more = [one - other for one, other in zip(found, base, strict=True)]
            numbers += [median(found), median(more)]
        print(
            f"{way:36} {numbers[0]:6.1f} {numbers[1]:+8.1f} {numbers[2]:18.1f} {numbers[3]:+8.1f}"
        )


def show_sizes(engine: Engine) -> None:
    file = engine.find(make_wheel(ROUNDS - 1, RECEIPT))
    stamped = engine.find(make_wheel(ROUNDS - 1, TIMESTAMP))
    record = json.dumps(file.document())
    bare = json.dumps(replace(file, receipt_sha256=None).document())
    receipt, with_timestamp = engine.read_receipt(file), engine.read_receipt(stamped)
    print(f"{'receipt':36} {len(receipt):6,} bytes")
    print(f"{'receipt with a timestamp':36} {len(with_timestamp):6,} bytes")
    print(f"{'its hash in the record of the file':36} {len(record) - len(bare):6,} bytes")


def test_verification(tmp_path: Path) -> None:
    """How long it takes to check what was published, without any network."""
    sigstore, distribution = Sigstore(), wheel()
    text = sigstore.attest(distribution.filename, distribution.sha256, github(captured("github")))
    question = AttestationQuestion(text, distribution.filename, distribution.sha256, PUBLISHER)
    attester = SigstoreAttester(sigstore.write_trusted_root(tmp_path / "trusted_root.json"))
    state = attester.verify(question)
    assert state.status is AttestationStatus.VERIFIED, state.reason
    show_check("verify an attestation", lambda: attester.verify(question))
    print(f"{'attestation':36} {len(text):6,} bytes")

    authority, shelf = TimeAuthority(lambda: NOW), Shelf()
    shelf.publish(distribution)
    file = shelf.store.find_entry("acme", "widgets", distribution.filename).file
    assert file is not None
    assert file.receipt_sha256 is not None
    key = receipt_key("acme", file.receipt_sha256, file.filename)
    with shelf.files.open(key) as content:
        receipt = read_all(content)
    keys, subject = shelf.signer.published(HOST), Subject(file.filename, file.sha256)
    show_check("verify a receipt", lambda: accept_receipt(receipt, keys, subject, NOW))
    stamped = replace(
        envelope := Envelope.read(receipt),
        timestamp=authority.stamp(envelope.signature.octets),
    ).write()
    roots = [authority.root]
    show_check(
        "verify a receipt and its timestamp",
        lambda: accept_receipt(stamped, keys, subject, NOW, roots),
    )


def show_check(what: str, act: Any) -> None:
    times = []
    for _ in range(CHECKS):
        started = time.perf_counter()
        act()
        times.append(time.perf_counter() - started)
    print(f"{what:36} median {median(times) * 1000:6.2f} ms")
