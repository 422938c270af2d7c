"""List the issuers that the broker knows, or show one."""

import argparse
from typing import Final

from pytp_broker.cli import actions
from pytp_broker.cli.command import CommandError
from pytp_broker.cli.items import issuer_item
from pytp_broker.cli.listing import (
    Column,
    add_json_argument,
    print_item,
    print_list,
    write_count,
)
from pytp_broker.cli.named import advise
from pytp_broker.cli.operator import Operator
from pytp_broker.redaction import printable

_DOING: Final = "read the issuers"
_COLUMNS: Final = (
    Column("issuer", "url"),
    Column("provider", "provider"),
    Column("enabled", "enabled"),
    Column("built in", "built_in"),
    Column("registries", "registries", write_count),
)


run = actions.run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    named = actions.add_actions(parser)
    listing = actions.add_action(named, "list", list_all, "list the issuers", doing=_DOING)
    showing = actions.add_action(
        named, "show", show, "show an issuer with its settings", doing=_DOING
    )
    showing.add_argument("url", metavar="URL", help="the issuer's URL")
    for action in (listing, showing):
        add_json_argument(action)


def list_all(arguments: argparse.Namespace, operator: Operator) -> int:
    """Print every issuer."""
    configuration = operator.store.load_configuration()
    found = sorted(configuration.issuers.values(), key=lambda issuer: issuer.url)
    print_list((issuer_item(each, configuration) for each in found), _COLUMNS, arguments)
    return 0


def show(arguments: argparse.Namespace, operator: Operator) -> int:
    """Print one issuer."""
    configuration = operator.store.load_configuration()
    issuer = configuration.issuers.get(arguments.url)
    if issuer is None:
        advice = advise(arguments.url, configuration.issuers, "the issuers are")
        raise CommandError(f"there is no issuer `{printable(arguments.url)}`; {advice}")
    print_item(issuer_item(issuer, configuration), arguments)
    return 0
