"""List the keys that sign receipts, show one, make a new one, or revoke one."""

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from pytp_broker.cli import actions
from pytp_broker.cli.command import MISUSED, CommandError, note, say
from pytp_broker.cli.key_changes import revoke as revoke_key
from pytp_broker.cli.key_changes import rotate as rotate_key
from pytp_broker.cli.listing import Column, Item, add_json_argument, print_item, print_list
from pytp_broker.cli.named import read_key_reason
from pytp_broker.cli.operator import Operator
from pytp_broker.provenance.receipt_keys import ReceiptKey, signing_key
from pytp_broker.provenance.receipts import read_time, write_time
from pytp_broker.redaction import printable

_DOING: Final = "read the keys of receipts"
_CHANGING: Final = "change the keys of receipts"
_COLUMNS: Final = (
    Column("key", "key_id"),
    Column("state", "state"),
    Column("signs from", "not_before"),
    Column("until", "not_after"),
    Column("revoked since", "revoked_since"),
    Column("where", "location"),
)
_NOTHING_SIGNS: Final = (
    "no key signs now, and nothing is published until you run `pytp-broker receipt-key rotate`"
)

run = actions.run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    named = actions.add_actions(parser)
    summary = "list the keys that sign receipts or did so, from the oldest to the newest"
    listing = actions.add_action(named, "list", list_all, summary, doing=_DOING)
    showing = actions.add_action(named, "show", show, "show a key", doing=_DOING)
    summary = "make a key that signs from now on, and let those before it end"
    rotating = actions.add_action(
        named, "rotate", rotate, summary, doing=_CHANGING, is_for_writing=True
    )
    rotating.add_argument(
        "--kms-key",
        metavar="KEY",
        help="the id or ARN of a key of KMS that you have made, instead of a new one; with --table "
        "it is needed",
    )
    summary = "revoke a key: only its receipts with an earlier timestamp still count"
    revoking = actions.add_action(
        named, "revoke", revoke, summary, doing=_CHANGING, is_for_writing=True
    )
    _add_revoke_arguments(revoking)
    for action in (showing, revoking):
        action.add_argument("key", metavar="KEY", help="the key's id, or how it begins")
    for action in (listing, showing, rotating, revoking):
        add_json_argument(action)


def _add_revoke_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--reason",
        required=True,
        metavar="TEXT",
        help="why, in one line for everybody who verifies receipts",
    )
    parser.add_argument(
        "--since",
        type=_time,
        metavar="TIME",
        help="since when it may be in wrong hands, in ISO 8601 with a time zone (default: now)",
    )


def _time(text: str) -> datetime:
    try:
        return read_time(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{printable(text)} is not a time with a time zone, such as 2026-11-29T12:00:00Z"
        ) from None


def list_all(arguments: argparse.Namespace, operator: Operator) -> int:
    """Print every key."""
    keys, now = operator.store.list_receipt_keys(), datetime.now(UTC)
    print_list((_item(key, keys, now) for key in keys), _COLUMNS, arguments)
    return 0


def show(arguments: argparse.Namespace, operator: Operator) -> int:
    """Print one key."""
    keys = operator.store.list_receipt_keys()
    print_item(_item(_find(arguments.key, keys), keys, datetime.now(UTC)), arguments)
    return 0


def rotate(arguments: argparse.Namespace, operator: Operator) -> int:
    """Make a key, and print it."""
    if arguments.kms_key is not None and arguments.data is not None:
        raise CommandError("--kms-key is for a broker on AWS: leave it out", MISUSED)
    key = rotate_key(operator, datetime.now(UTC))
    if arguments.json:
        _print_changed(key, arguments, operator)
    else:
        say(f"the key {key.key_id} signs from {write_time(key.not_before)} on")
    return 0


def revoke(arguments: argparse.Namespace, operator: Operator) -> int:
    """Revoke a key, and print it; warn if no key signs then."""
    why, now = read_key_reason(arguments.reason), datetime.now(UTC)
    key = _find(arguments.key, operator.store.list_receipt_keys())
    since = arguments.since or now
    if since > now:
        raise CommandError(f"--since {write_time(since)} is in the future", MISUSED)
    if key.revocation is not None and key.revocation.since <= since:
        text = write_time(key.revocation.since)
        raise CommandError(f"the key {key.key_id} is revoked already, since {text}")
    revoked = revoke_key(key, since, why, operator)
    if arguments.json:
        _print_changed(revoked, arguments, operator)
    else:
        say(f"the key {key.key_id} is revoked since {write_time(since)}")
    if signing_key(operator.store.list_receipt_keys(), now) is None:
        note(_NOTHING_SIGNS)
    return 0


def _print_changed(key: ReceiptKey, arguments: argparse.Namespace, operator: Operator) -> None:
    keys = operator.store.list_receipt_keys()
    print_item(_item(key, keys, datetime.now(UTC)), arguments)


def _find(beginning: str, keys: Sequence[ReceiptKey]) -> ReceiptKey:
    found = [key for key in keys if key.key_id.startswith(beginning)]
    if len(found) != 1 or not beginning:
        raise CommandError(
            f"{len(found) or 'no'} keys begin with `{printable(beginning)}`: "
            "look at `pytp-broker receipt-key list`"
        )
    return found[0]


def _item(key: ReceiptKey, keys: Sequence[ReceiptKey], now: datetime) -> Item:
    """Return a key: what it is for, and what became of it."""
    revocation = key.revocation
    return {
        "key_id": key.key_id,
        "state": _state_of(key, keys, now),
        "not_before": key.not_before,
        "not_after": key.not_after,
        "revoked_since": revocation and revocation.since,
        "reason": revocation and revocation.reason,
        "location": key.location or "the data folder",
        "jwk": key.jwk(),
    }


def _state_of(key: ReceiptKey, keys: Sequence[ReceiptKey], now: datetime) -> str:
    if key.revocation is not None:
        return "revoked"
    if now < key.not_before:
        return "begins"
    if key == signing_key(keys, now):
        return "signs"
    return "ends" if key.signs_at(now) else "ended"
