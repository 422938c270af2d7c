"""List the upload tokens that have not expired, and burn them."""

import argparse
from collections.abc import Callable
from datetime import UTC, datetime

from pytp_broker.audit.operations import OperatorBurn
from pytp_broker.audit.record import hash_prefix
from pytp_broker.cli import target
from pytp_broker.cli.command import MISUSED, CommandError, say
from pytp_broker.cli.operator import Operator
from pytp_broker.redaction import and_more, printable
from pytp_broker.tokens import TokenRecord


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "A token is named by the beginning of its hash, as in audit records. Several options "
        "select the tokens that match all of them."
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    for name, act, summary in (
        ("find", find, "list the tokens that have not expired"),
        ("burn", burn, "burn tokens before they expire, and keep an audit record of it"),
    ):
        action = actions.add_parser(name, help=summary, description=summary)
        _add_selection(action)
        action.set_defaults(act=act)
    actions.choices["burn"].add_argument("--all", action="store_true", help="burn every token")
    actions.choices["burn"].add_argument(
        "--dry-run", action="store_true", help="print what would be burned, and burn nothing"
    )


def _add_selection(parser: argparse.ArgumentParser) -> None:
    target.add_arguments(parser)
    parser.add_argument(
        "--prefix", metavar="HASH", default="", help="only tokens whose hash begins with this"
    )
    parser.add_argument("--publisher", metavar="ID", help="only tokens of this publisher")
    parser.add_argument("--registry", metavar="NAME", help="only tokens for this registry")


def run(arguments: argparse.Namespace) -> int:
    """Find or burn; raise CommandError."""
    act: Callable[[argparse.Namespace, Operator], int] = arguments.act
    with target.opened(arguments, "read the tokens") as operator:
        return act(arguments, operator)


def find(arguments: argparse.Namespace, operator: Operator) -> int:
    """Print the selected tokens, a block of lines each."""
    selected = _select(arguments, operator)
    for record in selected:
        first, *others = _describe(record)
        say(first, *(f"  {line}" for line in others))
    if not selected:
        say("no tokens")
    return 0


def burn(arguments: argparse.Namespace, operator: Operator) -> int:
    """Burn the selected tokens that are not burned yet, and print a line for each."""
    if not (arguments.prefix or arguments.publisher or arguments.registry or arguments.all):
        raise CommandError(
            "name the tokens to burn: with --prefix, --publisher, --registry or --all", MISUSED
        )
    live = [record for record in _select(arguments, operator) if record.burned_at is None]
    for record in live:
        if arguments.dry_run:
            say(f"would burn {_summary(record)}")
        elif operator.store.burn_token(
            record.lookup_id, record.token_hash, None, datetime.now(UTC)
        ):
            _record_burn(record, operator)
            say(f"burned {_summary(record)}")
        else:  # another command or the holder burned it after we looked
            say(f"already burned {_summary(record)}")
    if not live:
        say("no tokens to burn")
    return 0


def _record_burn(record: TokenRecord, operator: Operator) -> None:
    event = OperatorBurn(
        by=operator.name,
        token_hash=hash_prefix(record.token_hash),
        burned=True,
        projects=record.places,
        project_count=record.project_count,
    )
    operator.record(event.accepted())


def _select(arguments: argparse.Namespace, operator: Operator) -> list[TokenRecord]:
    return [
        record
        for record in operator.store.list_tokens(datetime.now(UTC))
        if record.token_hash.startswith(arguments.prefix.lower())
        and arguments.publisher in {None, *record.publisher_ids}
        and arguments.registry in {None, *record.registries}
    ]


def _summary(record: TokenRecord) -> str:
    return f"{hash_prefix(record.token_hash)} for {and_more(record.places, record.project_count)}"


def _describe(record: TokenRecord) -> list[str]:
    identity = (f"{name} {printable(text)}" for name, text in sorted(record.identity.items()))
    return [
        _summary(record),
        f"publishers  {', '.join(record.publisher_ids)}",
        f"issuer      {record.issuer}",
        f"identity    {', '.join(identity)}",
        f"issued      {record.issued_at.isoformat()}",
        f"expires     {record.expires_at.isoformat()}",
        f"state       {_state(record)}",
    ]


def _state(record: TokenRecord) -> str:
    if record.burned_at is not None:
        return f"burned {record.burned_at.isoformat()}"
    if record.used_for is not None:
        return f"used for {printable(record.used_for, 400)}"
    return "live, single use" if record.is_single_use else "live"
