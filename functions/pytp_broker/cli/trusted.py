"""List and show those whom registries trust: publishers, which upload, and readers."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from pytp_broker.cli import actions
from pytp_broker.cli.command import CommandError
from pytp_broker.cli.listing import Column, Item, add_json_argument, print_item, print_list
from pytp_broker.cli.named import advise, choose_registry
from pytp_broker.cli.operator import Operator
from pytp_broker.redaction import printable
from pytp_broker.registries import Configuration
from pytp_broker.storage.plan import Setup
from pytp_broker.trust.built_in import with_built_in
from pytp_broker.trust.publishers import TrustedPublisher


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of those who are trusted: what it is called, and how it is listed and shown."""

    name: str
    is_reader: bool
    columns: tuple[Column, ...]
    describe: Callable[[TrustedPublisher, Configuration], Item]


def add_arguments(parser: argparse.ArgumentParser, kind: Kind) -> None:
    """Declare the arguments of the command for a kind."""
    named, doing = actions.add_actions(parser), f"read the {kind.name}s"
    list_kind, show_kind = partial(list_all, kind), partial(show, kind)
    listing = actions.add_action(named, "list", list_kind, f"list the {kind.name}s", doing=doing)
    listing.add_argument("--registry", metavar="NAME", help=f"only {kind.name}s of this registry")
    summary = f"show a {kind.name} that is or was trusted"
    showing = actions.add_action(named, "show", show_kind, summary, doing=doing)
    showing.add_argument(
        "id", metavar="ID", help=f"the {kind.name}'s id, as in audit records and in other lists"
    )
    for action in (listing, showing):
        add_json_argument(action)


def list_all(kind: Kind, arguments: argparse.Namespace, operator: Operator) -> int:
    """Print all of a kind, or those of a registry."""
    setup = operator.store.load_setup()
    configuration = with_built_in(setup.configuration)
    wanted = arguments.registry
    if wanted is not None:
        choose_registry(wanted, configuration)
    found = [each for each in _ordered(setup, kind) if wanted in {None, each.registry}]
    items = (kind.describe(each, configuration) for each in found)
    print_list(items, kind.columns, arguments)
    return 0


def _ordered(setup: Setup, kind: Kind) -> list[TrustedPublisher]:
    found = (each for each in setup.publishers.values() if each.is_reader is kind.is_reader)
    return sorted(found, key=lambda each: (each.registry, each.projects, each.publisher_id))


def show(kind: Kind, arguments: argparse.Namespace, operator: Operator) -> int:
    """Print one of a kind, and what operators did with it."""
    setup, wanted = operator.store.load_setup(), arguments.id
    present = {each.publisher_id: each for each in setup.publishers.values()}.get(wanted)
    history = _read_history(wanted, operator)
    if present is None and not history:
        raise CommandError(_nobody(setup, kind, wanted))
    if present is not None and present.is_reader is not kind.is_reader:
        other = "reader" if present.is_reader else "publisher"
        raise CommandError(f"`{wanted}` is the id of a {other}: `{other} show` shows it")
    described = kind.describe(present, with_built_in(setup.configuration)) if present else {}
    print_item({"id": wanted, "removed": not present, **described, "history": history}, arguments)
    return 0


def _nobody(setup: Setup, kind: Kind, wanted: str) -> str:
    known = [each.publisher_id for each in _ordered(setup, kind)]
    return (
        f"no {kind.name} has the id `{printable(wanted)}`, and no operator's record names it; "
        f"{advise(wanted, known, f'the {kind.name}s are')}"
    )


def _read_history(publisher_id: str, operator: Operator) -> Sequence[Item]:
    """Return what operators' records say of an id; it is all that is left of who was removed.

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
