"""`pytp-broker receipt-key`, and the first key that `apply` registers."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
import time_machine

from pytp_broker.aws.kms_keys import KmsKeys
from pytp_broker.cli.key_changes import register_first
from pytp_broker.cli.operator import Operator
from pytp_broker.errors import StoreUnavailable
from pytp_broker.provenance.receipt_keys import OVERLAP, ReceiptKey
from pytp_broker.provenance.receipts import write_time
from pytp_broker.storage.protocols import Store
from tests.support.audit import check
from tests.support.desk import NOW, Desk, documented_members
from tests.support.emulator import REGION
from tests.support.fakes import MemoryStore
from tests.support.receipt_signing import make_private_key, receipt_key_of

PAGE = (Path(__file__).parents[3] / "docs/receipt-keys.md").read_text()
DAY = timedelta(days=1)
DELAY = KmsKeys.delay


@pytest.fixture(autouse=True)
def _clock(desk: Desk) -> Iterator[None]:
    """Let the clock stand still while the operator of ``desk`` types."""
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def kms_key(desk: Desk) -> str:
    """Return the option that names a key of KMS where one is needed."""
    if desk.options.startswith("--data"):
        return ""
    client = boto3.client("kms", region_name=REGION)
    made = client.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    client.close()
    return f"--kms-key {made['KeyMetadata']['KeyId']}"


@pytest.fixture
def keys(desk: Desk) -> list[ReceiptKey]:
    """Return two keys of the broker: one that has ended, and one that signs."""
    old = receipt_key_of(make_private_key("old"), NOW - 9 * DAY).ended(NOW - DAY)
    present = receipt_key_of(make_private_key("present"), NOW - DAY)
    for key in (old, present):
        assert desk.store.save_receipt_key(key, None)
    return [old, present]


# --- list, show -----------------------------------------------------------------------------------


def test_list_shows_which_key_signs(desk: Desk, keys: list[ReceiptKey]) -> None:
    old, present = keys

    assert [line.split()[:2] for line in desk.type("receipt-key list").splitlines()] == [
        ["key", "state"],
        [old.key_id, "ended"],
        [present.key_id, "signs"],
    ]


def test_every_state_of_a_key_has_a_name(desk: Desk, keys: list[ReceiptKey]) -> None:
    _, present = keys
    desk.store.save_receipt_key(present.ended(NOW), present)
    for name, begin in (("next", NOW + DAY), ("now", NOW), ("lost", NOW - DAY)):
        key = receipt_key_of(make_private_key(name), begin)
        desk.store.save_receipt_key(key.revoked(NOW, "lost") if name == "lost" else key, None)

    states = [each["state"] for each in desk.read("receipt-key list")]

    assert sorted(states) == ["begins", "ended", "ends", "revoked", "signs"]


def test_show_prints_all_about_a_key_that_is_named_by_its_beginning(
    desk: Desk, keys: list[ReceiptKey]
) -> None:
    _, present = keys

    shown = desk.read(f"receipt-key show {present.key_id[:12]}")

    assert set(shown) == documented_members("Receipt key", PAGE)
    assert shown == {
        "key_id": present.key_id,
        "state": "signs",
        "not_before": present.not_before.isoformat(),
        "not_after": None,
        "revoked_since": None,
        "reason": None,
        "location": "the data folder",
        "jwk": present.jwk(),
    }


@pytest.mark.parametrize("beginning", ["''", "nothing"])
def test_a_key_that_is_not_there_is_told(
    desk: Desk, keys: list[ReceiptKey], beginning: str
) -> None:
    seen = desk.type(f"receipt-key show {beginning}")

    assert "look at `pytp-broker receipt-key list`" in seen
    assert seen.endswith("exit 1\n")
    assert len(keys) == len(desk.store.list_receipt_keys())


# --- rotate ---------------------------------------------------------------------------------------


def test_the_first_rotation_makes_a_key_that_signs_at_once(desk: Desk, kms_key: str) -> None:
    seen = desk.type(f"receipt-key rotate {kms_key}")

    (key,) = desk.store.list_receipt_keys()
    assert seen == f"the key {key.key_id} signs from {write_time(key.not_before)} on\n"
    assert key.signs_at(NOW)
    assert bool(key.location) == bool(kms_key)


def test_the_new_key_signs_before_the_old_one_ends(
    desk: Desk, keys: list[ReceiptKey], kms_key: str
) -> None:
    old, present = keys

    made = desk.read(f"receipt-key rotate {kms_key}")

    kept = {key.key_id: key for key in desk.store.list_receipt_keys()}
    new = kept[made["key_id"]]
    # A new key of KMS is not known everywhere at once; until then the old one signs.
    assert new.not_before == (NOW + DELAY if kms_key else NOW)
    assert made["state"] == ("begins" if kms_key else "signs")
    assert kept[present.key_id].not_after == new.not_before + OVERLAP
    assert kept[old.key_id] == old, "it has ended long ago"


def test_a_rotation_lets_a_key_that_has_not_begun_end_too(
    desk: Desk, keys: list[ReceiptKey], kms_key: str
) -> None:
    to_come = receipt_key_of(make_private_key("to come"), NOW + timedelta(minutes=1))
    revoked = receipt_key_of(make_private_key("revoked"), NOW).revoked(NOW, "lost")
    for key in (to_come, revoked):
        desk.store.save_receipt_key(key, None)

    desk.type(f"receipt-key rotate {kms_key}")

    kept = {key.key_id: key for key in desk.store.list_receipt_keys()}
    assert kept[to_come.key_id].not_after is not None
    assert kept[revoked.key_id] == revoked
    assert len(kept) == len(keys) + 3


def test_each_change_of_a_rotation_is_recorded(
    desk: Desk, keys: list[ReceiptKey], kms_key: str
) -> None:
    desk.type(f"receipt-key rotate {kms_key}")

    records = desk.records()
    for record in records:
        check(record)
    new = desk.store.list_receipt_keys()[-1]
    # They have the same time, because the clock stands still.
    assert {(r["event"], r["key_id"], r["key_change"]) for r in records} == {
        ("receipt-key", new.key_id, "registered"),
        ("receipt-key", keys[1].key_id, "ended"),
    }
    assert all(record["by"] == desk.operator for record in records)


def test_the_private_key_of_a_data_folder_is_in_a_file_of_its_own(desk: Desk, kms_key: str) -> None:
    desk.type(f"receipt-key rotate {kms_key}")

    (key,) = desk.store.list_receipt_keys()
    if not kms_key:
        folder = Path(desk.options.split()[1]) / "receipt-keys"
        assert [path.name for path in folder.iterdir()] == [f"{key.key_id}.pem"]


def test_a_key_that_cannot_be_written_is_told_with_its_place(desk: Desk, kms_key: str) -> None:
    if kms_key:
        seen = desk.type("receipt-key rotate --kms-key nothing")
        assert "NotFoundException" in seen
    else:
        (Path(desk.options.split()[1]) / "receipt-keys").write_text("in the way")
        seen = desk.type("receipt-key rotate")
        assert "receipt-keys" in seen
    assert seen.startswith("cannot change the keys of receipts: ")
    assert seen.endswith("exit 1\n")
    assert list(desk.store.list_receipt_keys()) == []
    assert desk.records() == []


def test_a_key_belongs_to_a_stack_or_is_given(desk: Desk, kms_key: str) -> None:
    seen = desk.type("receipt-key rotate" if kms_key else "receipt-key rotate --kms-key x")

    assert ("or a key of KMS with --kms-key" if kms_key else "leave it out") in seen
    assert list(desk.store.list_receipt_keys()) == []


def test_a_key_that_is_made_and_could_not_be_registered_is_named(
    desk: Desk, kms_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: Any) -> bool:
        raise StoreUnavailable("the store does not answer")

    monkeypatch.setattr(type(desk.store), "save_receipt_key", fail)

    seen = desk.type(f"receipt-key rotate {kms_key}")

    assert ("name it with --kms-key next time" in seen) == bool(kms_key)
    assert "cannot change the keys of receipts: the store does not answer" in seen


def test_a_key_that_another_command_changes_meanwhile_is_left_as_it_is(
    desk: Desk, keys: list[ReceiptKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, present = keys
    save = type(desk.store).save_receipt_key

    def revoke_first(store: Store, key: ReceiptKey, known: ReceiptKey | None) -> bool:
        assert save(store, present.revoked(NOW - DAY, "another reason"), present)
        return save(store, key, known)

    monkeypatch.setattr(type(desk.store), "save_receipt_key", revoke_first)

    seen = desk.type(f"receipt-key revoke {present.key_id} --reason lost")

    assert f"another command has changed the key {present.key_id} meanwhile" in seen
    kept = {key.key_id: key for key in desk.store.list_receipt_keys()}
    assert kept[present.key_id] == present.revoked(NOW - DAY, "another reason")


# --- revoke ---------------------------------------------------------------------------------------


def test_a_revoked_key_says_since_when_and_why(desk: Desk, keys: list[ReceiptKey]) -> None:
    old, _ = keys

    seen = desk.type(f"receipt-key revoke {old.key_id[:10]} --reason 'the disk was stolen'")

    assert seen == f"the key {old.key_id} is revoked since {write_time(NOW)}\n"
    kept = desk.store.list_receipt_keys()[0]
    assert kept == old.revoked(NOW, "the disk was stolen")


def test_who_revoked_a_key_is_recorded(desk: Desk, keys: list[ReceiptKey]) -> None:
    _, present = keys
    desk.type(f"receipt-key revoke {present.key_id} --reason lost")

    (record,) = desk.records()
    check(record)
    del record["time"]
    assert record == {
        "event": "receipt-key",
        "outcome": "accepted",
        "reason": "",
        "by": desk.operator,
        "key_id": present.key_id,
        "key_change": "revoked",
        "key_time": write_time(NOW),
        "why": "lost",
    }


def test_the_operator_is_told_that_nothing_signs_any_more(
    desk: Desk, keys: list[ReceiptKey]
) -> None:
    _, present = keys

    seen = desk.type(f"receipt-key revoke {present.key_id} --reason lost")

    assert "nothing is published until you run `pytp-broker receipt-key rotate`" in seen


def test_a_key_may_be_revoked_since_an_earlier_time_and_then_since_a_still_earlier_one(
    desk: Desk, keys: list[ReceiptKey]
) -> None:
    old, _ = keys
    desk.type(f"receipt-key revoke {old.key_id} --reason lost --since 2026-11-22T11:00:00Z")

    since = "2026-11-22T10:00:00+01:00"
    shown = desk.read(f"receipt-key revoke {old.key_id} --reason lost --since {since}")

    assert (shown["state"], shown["revoked_since"]) == ("revoked", "2026-11-22T09:00:00+00:00")
    seen = desk.type(f"receipt-key revoke {old.key_id} --reason found")
    assert "is revoked already, since 2026-11-22T09:00:00.000000Z" in seen


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--reason lost --since 2026-11-23T12:00:00Z", "is in the future"),
        ("--reason 'two\nlines'", "must be one line"),
        ("--reason ''", "must be one line"),
    ],
)
def test_a_revocation_that_makes_no_sense_is_refused(
    desk: Desk, keys: list[ReceiptKey], options: str, told: str
) -> None:
    seen = desk.type(f"receipt-key revoke {keys[1].key_id} {options}")

    assert told in seen
    assert seen.endswith("exit 2\n")
    assert list(desk.store.list_receipt_keys()) == keys


@pytest.mark.parametrize("since", ["yesterday", "2026-11-22T11:00:00"])
def test_since_needs_a_time_zone(desk: Desk, keys: list[ReceiptKey], since: str) -> None:
    with pytest.raises(SystemExit):
        desk.type(f"receipt-key revoke {keys[1].key_id} --reason lost --since {since}")

    assert "is not a time with a time zone" in desk.capsys.readouterr().err


# --- the first key --------------------------------------------------------------------------------


def operator_of_a_stack(kms: Any) -> Operator:
    """Return an operator at a new stack, whose template has made a key."""
    made = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    maker = KmsKeys(lambda: kms, "pytp-broker", made["KeyMetadata"]["KeyId"])
    return Operator(MemoryStore(), "user olive", key_maker=maker)


def test_apply_registers_the_key_of_the_stack_and_no_other(
    kms: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    operator = operator_of_a_stack(kms)

    register_first(operator)
    register_first(operator)

    (key,) = operator.store.list_receipt_keys()
    assert capsys.readouterr().out == f"the first key of receipts is {key.key_id}\n"
    (record,) = operator.store.list_operator_records()
    assert (record["key_id"], record["key_change"]) == (key.key_id, "registered")


def test_the_first_key_signs_even_if_the_operators_clock_is_ahead(kms: Any) -> None:
    operator = operator_of_a_stack(kms)

    with time_machine.travel(NOW + timedelta(minutes=4)):
        register_first(operator)

    (key,) = operator.store.list_receipt_keys()
    assert key.signs_at(NOW)


def test_apply_on_a_table_says_that_a_key_is_missing(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "broker.toml"
    path.write_text('[[registries]]\nname = "acme"\n')

    seen = desk.type(f"apply --yes --config {path}")

    is_on_aws = not desk.options.startswith("--data")
    assert ("the broker has no key of receipts yet" in seen) == is_on_aws
    assert "no key of receipts" not in desk.type(f"plan --config {path}")


def test_apply_says_nothing_of_keys_if_there_is_one(
    desk: Desk, keys: list[ReceiptKey], tmp_path: Path
) -> None:
    path = tmp_path / "broker.toml"
    path.write_text('[[registries]]\nname = "acme"\n')

    assert desk.type(f"apply --yes --config {path}").endswith("to remove.\napplied\n")
    assert list(desk.store.list_receipt_keys()) == keys
