"""Make a token for a person, list the tokens that have not expired, show one, or burn them."""

import argparse
from datetime import UTC, datetime
from typing import Final

from pytp_broker.cli import actions, token_create
from pytp_broker.cli.command import MISUSED, CommandError, say
from pytp_broker.cli.items import token_item
from pytp_broker.cli.listing import (
    Column,
    Item,
    add_json_argument,
    print_item,
    print_list,
    write,
)
from pytp_broker.cli.named import find_registry
from pytp_broker.cli.operator import Operator
from pytp_broker.cli.token_burning import burn_tokens, refuse_identity_tokens, summary_of
from pytp_broker.redaction import printable
from pytp_broker.tokens import TokenRecord

_DOING: Final = "read the tokens"


class _Places(Column):
    """The column that shows the projects of an upload token, and the registry of a read token."""

    def text(self, item: Item) -> str:
        """Return where the token is good."""
        return write(item["projects"] or item["registries"])


_COLUMNS: Final = (
    Column("token", "hash"),
    Column("state", "state"),
    Column("for", "permissions"),
    Column("expires", "expires_at"),
    Column("publishers", "publishers"),
    Column("person", "person"),
    _Places("where", "projects"),
)

run = actions.run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "A token is named by the beginning of its hash, as in audit records. Several options "
        "select the tokens that match all of them."
    )
    named = actions.add_actions(parser)
    _add_create(named)
    _add_list(named)
    _add_show(named)
    _add_burn(named)


def _add_create(named: actions.Actions) -> None:
    action = actions.add_action(
        named,
        "create",
        token_create.create,
        "make a token for a person, to read or to publish one project",
        doing="make the token",
        is_for_writing=True,
    )
    token_create.add_arguments(action)


def _add_list(named: actions.Actions) -> None:
    summary = "list the tokens that have not expired"
    action = actions.add_action(named, "list", list_selected, summary, doing=_DOING)
    add_json_argument(action)
    _add_selection(action)


def _add_show(named: actions.Actions) -> None:
    summary = "show a token that has not expired"
    action = actions.add_action(named, "show", show, summary, doing=_DOING)
    action.add_argument("hash", metavar="HASH", help="the beginning of the token's hash")
    add_json_argument(action)


def _add_burn(named: actions.Actions) -> None:
    summary = "burn tokens before they expire, and keep an audit record of it"
    action = actions.add_action(named, "burn", burn, summary, doing=_DOING, is_for_writing=True)
    _add_selection(action)
    action.add_argument("--all", action="store_true", help="burn every token")
    action.add_argument(
        "--identity-tokens",
        action="store_true",
        help="with --all: also refuse identity tokens that were issued before now, as a store that "
        "was restored from a backup must",
    )
    action.add_argument(
        "--dry-run", action="store_true", help="print what would be burned, and burn nothing"
    )


def _add_selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--prefix", metavar="HASH", default="", help="only tokens whose hash begins with this"
    )
    parser.add_argument("--publisher", metavar="ID", help="only tokens of this publisher")
    parser.add_argument("--registry", metavar="NAME", help="only tokens for this registry")


def list_selected(arguments: argparse.Namespace, operator: Operator) -> int:
    """Print the selected tokens."""
    print_list(map(token_item, _select(arguments, operator)), _COLUMNS, arguments)
    return 0


def show(arguments: argparse.Namespace, operator: Operator) -> int:
    """Print the one token whose hash begins so."""
    found = _begin_with(arguments.hash, operator)
    if len(found) != 1:
        asked = f"the hash of {'more than one' if found else 'no'} token begins with"
        raise CommandError(
            f"{asked} `{printable(arguments.hash)}`; `token list` has those that have not expired"
        )
    print_item(token_item(found[0]), arguments)
    return 0


def burn(arguments: argparse.Namespace, operator: Operator) -> int:
    """Burn the selected tokens that are not burned yet, and print a line for each."""
    if not (arguments.prefix or arguments.publisher or arguments.registry or arguments.all):
        raise CommandError(
            "name the tokens to burn: with --prefix, --publisher, --registry or --all", MISUSED
        )
    if arguments.identity_tokens and not arguments.all:
        raise CommandError("--identity-tokens goes with --all", MISUSED)
    if arguments.dry_run:
        _foretell(arguments, operator)
        return 0
    if arguments.identity_tokens:
        refuse_identity_tokens(operator)
    burn_tokens(_select(arguments, operator), operator)
    return 0


def _foretell(arguments: argparse.Namespace, operator: Operator) -> None:
    if arguments.identity_tokens:
        say("would refuse identity tokens that were issued before now")
    live = [record for record in _select(arguments, operator) if record.burned_at is None]
    for record in live:
        say(f"would burn {summary_of(record)}")
    if not live:
        say("no tokens to burn")


def _select(arguments: argparse.Namespace, operator: Operator) -> list[TokenRecord]:
    found = [
        record
        for record in _begin_with(arguments.prefix, operator)
        if arguments.publisher in {None, *record.publisher_ids}
        and arguments.registry in {None, *record.registries}
    ]
    if arguments.registry is not None and not found:
        # A registry that was removed may still have tokens, but a misspelt one has none.
        find_registry(arguments.registry, operator)
    return found


def _begin_with(prefix: str, operator: Operator) -> list[TokenRecord]:
    tokens = operator.store.list_tokens(datetime.now(UTC))
    return [record for record in tokens if record.token_hash.startswith(prefix.lower())]
