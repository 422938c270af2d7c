"""The receipts of imported files: who signs them, and which record they name."""

import hashlib
import stat

import pytest

from pytp_broker.provenance.checking import Subject, check_receipt
from pytp_broker.provenance.dsse import canonical
from pytp_broker.provenance.receipt_keys import KeyDocument
from pytp_broker.provenance.receipts import Receipt
from pytp_broker.services import utc_now
from pytp_broker.storage.file_folder import FolderFiles
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.file_store import receipt_key
from tests.support.deployment import HOST
from tests.support.distributions import sdist, wheel
from tests.support.fakes import stored_bytes
from tests.support.importing import Move, move

__all__ = ["move"]


def receipt_of(move: Move, file: PublishedFile, host: str = HOST) -> Receipt:
    """Return the receipt of an imported file, after every check that a consumer makes."""
    keys = {key.key_id: key for key in move.store.list_receipt_keys()}
    key = receipt_key(file.registry, str(file.receipt_sha256), file.filename)
    octets = stored_bytes(FolderFiles(move.data / "files"), key)
    subject = Subject(file.filename, file.sha256, file.size, "acme")
    return check_receipt(octets, KeyDocument(host, keys, "acme"), subject, utc_now())


def test_each_file_has_a_receipt_of_a_key_in_the_folder(move: Move) -> None:
    move.put(wheel(), sdist())

    move.folder()

    receipts = [receipt_of(move, file) for file in move.files().values()]
    assert {receipt.publication.kind.value for receipt in receipts} == {"import"}
    assert len(receipts) == 2
    assert move.store.list_receipt_keys()


def test_the_receipts_of_an_import_name_the_record_that_it_begins(move: Move) -> None:
    move.put(wheel(), sdist())

    move.folder()

    begun, ended = move.records()
    kept = {name: fact for name, fact in begun.items() if name not in {"time", "message"}}
    expected = hashlib.sha256(canonical(kept)).hexdigest()
    assert begun["nonce"] == ended["nonce"]
    assert {receipt_of(move, file).audit_sha256 for file in move.files().values()} == {expected}


def test_two_imports_have_two_records(move: Move) -> None:
    move.put(wheel())
    move.folder()
    move.put(sdist())
    move.folder()

    hashes = {receipt_of(move, file).audit_sha256 for file in move.files().values()}

    assert len(hashes) == 2


def test_a_receipt_needs_the_host_of_the_broker(move: Move) -> None:
    move.put(wheel())

    assert move.run(f"--from-folder {move.packages}", host=None) == 2

    assert "the broker's host name is not known here" in move.capsys.readouterr().err
    assert move.files() == {}
    assert move.records() == []


def test_the_host_is_the_one_that_the_operator_names(move: Move) -> None:
    move.put(wheel())

    assert move.run(f"--from-folder {move.packages}", host="Index.Example.com") == 0

    (file,) = move.files().values()
    assert receipt_of(move, file, "index.example.com").host == "index.example.com"


def test_a_host_with_a_scheme_is_a_mistake(move: Move) -> None:
    move.put(wheel())

    assert move.run(f"--from-folder {move.packages}", host="https://index.example.com") == 2
    assert move.files() == {}


def test_nothing_is_imported_with_a_key_that_others_may_read(move: Move) -> None:
    move.put(wheel())
    move.folder()
    (key,) = (move.data / "receipt-keys").glob("*.pem")
    key.chmod(0o644)
    move.put(sdist())

    assert move.run(f"--from-folder {move.packages}") == 1

    assert str(key) in move.capsys.readouterr().err
    assert move.files().keys() == {wheel().filename}
    key.chmod(stat.S_IRUSR | stat.S_IWUSR)
    assert move.run(f"--from-folder {move.packages}") == 0
    assert move.files().keys() == {wheel().filename, sdist().filename}


@pytest.mark.parametrize("name", ["wheel", "sdist"])
def test_a_file_that_is_imported_again_keeps_its_receipt(move: Move, name: str) -> None:
    file = {"wheel": wheel(), "sdist": sdist()}[name]
    move.put(file)
    move.folder()
    before = move.files()[file.filename].receipt_sha256

    move.folder()

    assert move.files()[file.filename].receipt_sha256 == before is not None
