"""What an operator's commands change about the keys of receipts, with a record of each change."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

from pytp_broker.audit.facts import KeyChange
from pytp_broker.audit.operations import ReceiptKeyChange
from pytp_broker.cli.command import CommandError, note, say
from pytp_broker.cli.operator import Operator
from pytp_broker.errors import StoreUnavailable
from pytp_broker.provenance.receipt_keys import OVERLAP, ReceiptKey
from pytp_broker.provenance.receipts import write_time

_NONE_YET: Final = (
    "the broker has no key of receipts yet, and nothing is published without one: name its stack "
    "instead of its table, or run `pytp-broker receipt-key rotate`"
)
_CHANGED_MEANWHILE: Final = (
    "another command has changed the key {} meanwhile: look at `pytp-broker receipt-key list`, and "
    "run the command again"
)


def register_first(operator: Operator) -> None:
    """Register the key that a deployment came with, unless there is a key; say what was done."""
    maker = operator.key_maker
    if maker is None or operator.store.list_receipt_keys():
        return
    key = maker.make_first(datetime.now(UTC) - maker.lead)
    if key is None:
        note(_NONE_YET)
        return
    _register(key, operator)
    say(f"the first key of receipts is {key.key_id}")


def rotate(operator: Operator, now: datetime) -> ReceiptKey:
    """Make a key that signs from now on, and let those before it end; return it.

    If a key signs now, the new one begins only when it is known everywhere. If the command is
    interrupted, the newest key signs and the others have no end: run it again.
    """
    maker = operator.key_maker
    assert maker is not None  # noqa: S101 - every broker that a command opens has one
    before = operator.store.list_receipt_keys()
    has_another = any(key.signs_at(now) for key in before)
    key = maker.make(now + maker.delay if has_another else now - maker.lead)
    try:
        _register(key, operator)
    except StoreUnavailable:
        if key.location:
            note(f"{key.location} is made, but not registered: name it with --kms-key next time")
        raise
    for old in _that_go_on(before, key):
        ended = old.ended(key.not_before)
        assert ended.not_after is not None  # noqa: S101 - it was ended
        _change(old, ended, "ended", ended.not_after, operator)
    return key


def revoke(key: ReceiptKey, since: datetime, why: str, operator: Operator) -> ReceiptKey:
    """Say that a key may be in wrong hands since a time; return it."""
    revoked = key.revoked(since, why)
    _change(key, revoked, "revoked", since, operator, why)
    return revoked


def _that_go_on(keys: Iterable[ReceiptKey], new: ReceiptKey) -> Iterator[ReceiptKey]:
    end = new.not_before + OVERLAP
    for key in keys:
        is_ending = key.not_after is not None and key.not_after <= end
        if not is_ending and key.revocation is None and key.key_id != new.key_id:
            yield key


def _register(key: ReceiptKey, operator: Operator) -> None:
    _change(None, key, "registered", key.not_before, operator)


def _change(  # noqa: PLR0913, PLR0917 - all that a change has
    present: ReceiptKey | None,
    key: ReceiptKey,
    change: KeyChange,
    time: datetime,
    operator: Operator,
    why: str | None = None,
) -> None:
    """Keep a record, then save the key; raise CommandError if it is another one meanwhile."""
    event = ReceiptKeyChange(
        by=operator.name,
        key_id=key.key_id,
        key_change=change,
        key_time=write_time(time),
        why=why,
    )
    operator.record(event.accepted())
    if not operator.store.save_receipt_key(key, present):
        raise CommandError(_CHANGED_MEANWHILE.format(key.key_id))
