"""List the registries, or show one with its settings."""

import argparse
from typing import Final

from pytp_broker.cli import actions
from pytp_broker.cli.items import registry_item
from pytp_broker.cli.listing import (
    Column,
    add_json_argument,
    print_item,
    print_list,
    write_count,
)
from pytp_broker.cli.named import choose_registry
from pytp_broker.cli.operator import Operator

_DOING: Final = "read the registries"
_COLUMNS: Final = (
    Column("registry", "name"),
    Column("owner", "owner"),
    Column("enabled", "enabled"),
    Column("access", "access"),
    Column("audience", "audience"),
    Column("hosts", "hosts"),
    Column("issuers", "issuers", write_count),
)


run = actions.run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    named = actions.add_actions(parser)
    listing = actions.add_action(named, "list", list_all, "list the registries", doing=_DOING)
    showing = actions.add_action(
        named, "show", show, "show a registry with its settings", doing=_DOING
    )
    showing.add_argument("registry", metavar="REGISTRY", help="the registry's name")
    for action in (listing, showing):
        add_json_argument(action)


def list_all(arguments: argparse.Namespace, operator: Operator) -> int:
    """Print every registry."""
    configuration = operator.store.load_configuration()
    found = sorted(configuration.registries.values(), key=lambda registry: registry.name)
    items = (registry_item(each, configuration, operator.host or "") for each in found)
    print_list(items, _COLUMNS, arguments)
    return 0


def show(arguments: argparse.Namespace, operator: Operator) -> int:
    """Print one registry."""
    configuration = operator.store.load_configuration()
    registry = choose_registry(arguments.registry, configuration)
    print_item(registry_item(registry, configuration, operator.host or ""), arguments)
    return 0
