"""Keys of receipts in the data folder: who may read them, and what signs when one is lost."""

import stat
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from pytp_broker.errors import StoreUnavailable
from pytp_broker.local.folder_signer import FolderSigner, open_signer
from pytp_broker.local.key_folder import KeyFolder
from pytp_broker.provenance.receipt_keys import ReceiptKey
from pytp_broker.storage.sqlite import SqliteStore
from tests.support.receipt_signing import make_private_key
from tests.support.signing import NOW, rsa_key


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(tmp_path / "broker.sqlite3")) as opened:
        yield opened


def opened(data: Path, store: SqliteStore, *, may_replace: bool = False) -> FolderSigner:
    return open_signer(data, store, lambda: NOW, may_replace=may_replace)


def file_of(data: Path, key: ReceiptKey) -> Path:
    return data / "receipt-keys" / f"{key.key_id}.pem"


def refusal(signer: FolderSigner) -> str:
    """Return what the operator learns when nothing can be signed; callers learn nothing of it."""
    with pytest.raises(StoreUnavailable) as refused:
        signer.sign(b"a receipt")
    assert refused.value.detail == "the registry cannot sign a receipt now; try again later"
    return refused.value.operator_detail


def test_the_first_start_makes_a_key_that_its_public_key_verifies(
    tmp_path: Path, store: SqliteStore
) -> None:
    signature = opened(tmp_path, store).sign(b"a receipt")

    (key,) = store.list_receipt_keys()
    assert (signature.key_id, key.not_before, key.location) == (key.key_id, NOW, "")
    private_key = KeyFolder(tmp_path).load(key)
    private_key.public_key().verify(signature.octets, b"a receipt", ec.ECDSA(SHA256()))


@pytest.mark.promise("readable-key")
def test_nobody_but_its_owner_can_read_the_private_key(tmp_path: Path, store: SqliteStore) -> None:
    opened(tmp_path, store)

    (key,) = store.list_receipt_keys()
    assert stat.S_IMODE(file_of(tmp_path, key).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "receipt-keys").stat().st_mode) == 0o700


def test_the_next_start_signs_with_the_same_key(tmp_path: Path, store: SqliteStore) -> None:
    first = opened(tmp_path, store).sign(b"a receipt")

    again = opened(tmp_path, store).sign(b"a receipt")

    assert again.key_id == first.key_id
    assert len(store.list_receipt_keys()) == 1


def test_the_newest_key_in_force_signs(tmp_path: Path, store: SqliteStore) -> None:
    signer = opened(tmp_path, store)
    newest = KeyFolder(tmp_path).make(NOW)
    to_come = KeyFolder(tmp_path).make(NOW + timedelta(seconds=1))
    (first,) = store.list_receipt_keys()
    store.save_receipt_key(first.ended(NOW - timedelta(days=1)), first)
    for key in (newest, to_come):
        store.save_receipt_key(key, None)

    assert signer.sign(b"a receipt").key_id == newest.key_id


@pytest.mark.promise("revoked-key")
def test_a_revoked_key_signs_nothing_more(tmp_path: Path, store: SqliteStore) -> None:
    signer = opened(tmp_path, store)
    (key,) = store.list_receipt_keys()

    store.save_receipt_key(key.revoked(NOW, "lost"), key)

    assert "no key of receipts is in force" in refusal(signer)
    assert "receipt-key rotate" in refusal(signer)


def test_another_start_does_not_replace_a_revoked_key_by_itself(
    tmp_path: Path, store: SqliteStore
) -> None:
    opened(tmp_path, store)
    (key,) = store.list_receipt_keys()
    store.save_receipt_key(key.revoked(NOW, "lost"), key)

    opened(tmp_path, store)

    assert len(store.list_receipt_keys()) == 1


def test_a_missing_file_is_told_with_its_path_and_the_cure(
    tmp_path: Path, store: SqliteStore
) -> None:
    opened(tmp_path, store)
    (key,) = store.list_receipt_keys()
    file_of(tmp_path, key).unlink()

    told = refusal(opened(tmp_path, store))

    assert told.startswith(f"{file_of(tmp_path, key)} is missing; restore it from a backup")
    assert told.endswith(f"pytp-broker receipt-key rotate --data {tmp_path}")
    assert len(store.list_receipt_keys()) == 1


def test_on_a_shared_store_a_server_without_a_file_makes_a_key_of_its_own(
    tmp_path: Path, store: SqliteStore
) -> None:
    one, another = tmp_path / "one", tmp_path / "another"
    first = opened(one, store, may_replace=True)

    second = opened(another, store, may_replace=True)

    assert first.sign(b"a receipt").key_id != second.sign(b"a receipt").key_id
    opened(one, store, may_replace=True)
    opened(another, store, may_replace=True)
    assert len(store.list_receipt_keys()) == 2


@pytest.mark.promise("readable-key")
@pytest.mark.parametrize("mode", [0o604, 0o602, 0o601, 0o666])
def test_a_file_that_other_users_may_use_is_refused(
    tmp_path: Path, store: SqliteStore, mode: int
) -> None:
    signer = opened(tmp_path, store)
    (key,) = store.list_receipt_keys()

    file_of(tmp_path, key).chmod(mode)

    assert f"other users may read {file_of(tmp_path, key)}" in refusal(signer)
    assert "receipt-key revoke" in refusal(signer)


def test_a_group_may_read_the_file_as_in_a_volume_of_kubernetes(
    tmp_path: Path, store: SqliteStore
) -> None:
    signer = opened(tmp_path, store)
    (key,) = store.list_receipt_keys()

    file_of(tmp_path, key).chmod(0o660)

    assert signer.sign(b"a receipt").key_id == key.key_id


def _pem(private_key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: str = "") -> bytes:
    encryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    return private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is not a private key in PEM"),
        (b"\x00" * 4096, "is not a private key in PEM"),
        (_pem(make_private_key(), "secret"), "is not a private key in PEM"),
        (_pem(make_private_key()), "is the private key of another key"),
        (_pem(rsa_key("key-1")), "is the private key of another key"),
        (_pem(ec.generate_private_key(ec.SECP384R1())), "is the private key of another key"),
    ],
)
def test_a_file_with_anything_else_is_refused(
    tmp_path: Path, store: SqliteStore, content: bytes, told: str
) -> None:
    signer = opened(tmp_path, store)
    (key,) = store.list_receipt_keys()

    file_of(tmp_path, key).write_bytes(content)

    assert told in refusal(signer)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, store: SqliteStore) -> None:
    signer = opened(tmp_path, store)
    (key,) = store.list_receipt_keys()
    file_of(tmp_path, key).unlink()
    file_of(tmp_path, key).mkdir()

    assert f"{file_of(tmp_path, key)} cannot be read: Is a directory" in refusal(signer)
