"""What a command lists or shows: tables for people, and JSON for scripts.

An item is one thing that is there, as JSON types and times. A table shows some of its members in a
few columns; ``--json`` prints all of them.
"""

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from pytp_broker.cli.command import note
from pytp_broker.cli.printed_tables import print_pairs, print_table
from pytp_broker.redaction import legible

# A member is a text, a number, a truth, a time, None, or a list or an object of such.
Item: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its title, and the member that it shows."""

    title: str
    member: str
    write: Callable[[Any], str] | None = None

    def text(self, item: Item) -> str:
        """Return what the column says of an item."""
        value = item[self.member]
        return write(value) if self.write is None else self.write(value)


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """Declare the option for scripts."""
    parser.add_argument(
        "--json", action="store_true", help="print JSON instead of a table, for scripts"
    )


def print_list(
    items: Iterable[Item], columns: Sequence[Column], arguments: argparse.Namespace
) -> None:
    """Print a table of items, or a JSON list with one object on a line."""
    if arguments.json:
        _print_json_list(items)
        return
    rows = [[column.text(item) for column in columns] for item in items]
    print_table([column.title for column in columns], rows)
    if not rows:
        note("there is nothing to list")


def print_item(item: Item, arguments: argparse.Namespace) -> None:
    """Print all members of an item, one below the other, or as one JSON object."""
    if arguments.json:
        print(json.dumps(json_of(item), indent=2))
    else:
        print_pairs([(name, write(value)) for name, value in _told(item)])


def _told(item: Item) -> Iterator[tuple[str, Any]]:
    """Yield the members about which an item says something."""
    return ((name, value) for name, value in item.items() if value not in (None, [], {}))


def _print_json_list(items: Iterable[Item]) -> None:
    print("[", end="")
    for number, item in enumerate(items):
        print(",\n " if number else "", json.dumps(json_of(item)), sep="", end="")
    print("]")


def json_of(value: Any) -> Any:  # noqa: ANN401 - any JSON type
    """Return a value as JSON types, with every text made safe to show."""
    if isinstance(value, str):
        return _legible(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, Mapping):
        return {_legible(name): json_of(each) for name, each in value.items()}
    return [json_of(each) for each in value] if isinstance(value, list | tuple) else value


def write(value: Any) -> str:  # noqa: ANN401 - any member of an item
    """Return a value as a table shows it: each part of a list or an object on a line."""
    if isinstance(value, Mapping):
        parts = [f"{_legible(name)} {write_line(each)}" for name, each in _told(value)]
    elif isinstance(value, list | tuple):
        parts = [write_line(each) for each in value]
    else:
        parts = [_write_part(value)]
    return "\n".join(parts)


def _write_part(value: str | int | datetime | None) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}Z"
        case _:
            return _legible(value)


def write_line(value: Any) -> str:  # noqa: ANN401 - any member of an item
    """Return a value on one line."""
    return ", ".join(write(value).split("\n"))


def write_count(value: Sequence[Any]) -> str:
    """Return how many there are."""
    return f"{len(value):,}"


def _legible(text: str) -> str:
    return legible(text, len(text))
