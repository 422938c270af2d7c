"""List the trusted publishers, or show one, even if it was removed."""

import argparse
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from pytp_broker.cli import actions
from pytp_broker.cli.command import CommandError
from pytp_broker.cli.items import publisher_item
from pytp_broker.cli.listing import Column, Item, add_json_argument, print_item, print_list
from pytp_broker.cli.named import advise, choose_registry
from pytp_broker.cli.operator import Operator
from pytp_broker.redaction import printable
from pytp_broker.storage.plan import Setup
from pytp_broker.trust.built_in import with_built_in
from pytp_broker.trust.publishers import TrustedPublisher

_DOING: Final = "read the publishers"
_COLUMNS: Final = (
    Column("id", "id"),
    Column("registry", "registry"),
    Column("provider", "provider"),
    Column("identity", "identity"),
    Column("projects", "projects"),
)


run = actions.run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    named = actions.add_actions(parser)
    listing = actions.add_action(
        named, "list", list_all, "list the trusted publishers", doing=_DOING
    )
    listing.add_argument("--registry", metavar="NAME", help="only publishers of this registry")
    showing = actions.add_action(
        named, "show", show, "show a publisher that is or was trusted", doing=_DOING
    )
    showing.add_argument(
        "id", metavar="ID", help="the publisher's id, as in audit records and in `file show`"
    )
    for action in (listing, showing):
        add_json_argument(action)


def list_all(arguments: argparse.Namespace, operator: Operator) -> int:
    """Print every publisher, or those of a registry."""
    setup = operator.store.load_setup()
    configuration = with_built_in(setup.configuration)
    wanted = arguments.registry
    if wanted is not None:
        choose_registry(wanted, configuration)
    found = [each for each in _ordered(setup) if wanted in {None, each.registry}]
    print_list((publisher_item(each, configuration) for each in found), _COLUMNS, arguments)
    return 0


def _ordered(setup: Setup) -> list[TrustedPublisher]:
    return sorted(setup.publishers.values(), key=lambda p: (p.registry, p.projects, p.publisher_id))


def show(arguments: argparse.Namespace, operator: Operator) -> int:
    """Print one publisher, and what operators did with it."""
    setup = operator.store.load_setup()
    known = {each.publisher_id: each for each in setup.publishers.values()}
    publisher, history = known.get(arguments.id), _read_history(arguments.id, operator)
    if publisher is None and not history:
        advice = advise(arguments.id, known, "the publishers are")
        raise CommandError(
            f"no publisher has the id `{printable(arguments.id)}`, and no operator's record names "
            f"it; {advice}"
        )
    present = {} if publisher is None else _present(publisher, setup)
    removed = publisher is None
    print_item({"id": arguments.id, "removed": removed, **present, "history": history}, arguments)
    return 0


def _present(publisher: TrustedPublisher, setup: Setup) -> Item:
    return publisher_item(publisher, with_built_in(setup.configuration))


def _read_history(publisher_id: str, operator: Operator) -> Sequence[Item]:
    """Return what operators' records say of a publisher; it is all that is left of a removed one.

    Records of earlier versions do not name publishers by their ids.
    """
    return [
        {
            "time": datetime.fromisoformat(record["time"]),
            "by": record["by"],
            "change": record["change"],
            "rules": record["rules"],
        }
        for record in operator.store.list_operator_records()
        if record.get("publisher") == publisher_id
    ]
