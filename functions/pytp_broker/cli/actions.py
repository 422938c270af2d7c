"""Actions of a command, such as ``list`` and ``show``: each works on the broker that is named."""

import argparse
from collections.abc import Callable
from typing import Any, TypeAlias

from pytp_broker.cli import target
from pytp_broker.cli.operator import Operator

Act: TypeAlias = Callable[[argparse.Namespace, Operator], int]
# argparse has no public name for what its `add_subparsers` returns.
Actions: TypeAlias = Any


def add_actions(parser: argparse.ArgumentParser) -> Actions:
    """Declare that a command has actions."""
    return parser.add_subparsers(title="actions", metavar="ACTION", required=True)


def add_action(  # noqa: PLR0913 - all that is known about an action
    actions: Actions,
    name: str,
    act: Act,
    summary: str,
    *,
    doing: str,
    is_for_writing: bool = False,
    has_bucket: bool = False,
) -> argparse.ArgumentParser:
    """Declare an action, with the options that name the broker; return its parser.

    ``doing`` completes "cannot …" if the store fails. ``has_bucket`` is for an action that also
    works on the bytes of files.
    """
    parser: argparse.ArgumentParser = actions.add_parser(name, help=summary, description=summary)
    target.add_arguments(parser, has_bucket=has_bucket)
    parser.set_defaults(act=act, doing=doing, is_for_writing=is_for_writing)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Open the broker and run the chosen action on it; raise CommandError."""
    act: Act = arguments.act
    is_for_writing: bool = arguments.is_for_writing
    with target.opened(arguments, arguments.doing, is_for_writing=is_for_writing) as operator:
        return act(arguments, operator)
