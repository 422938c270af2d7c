"""Make a broker follow a configuration file."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pytp_broker.cli import plan_document, target
from pytp_broker.cli.applying import apply, find_unfinished, plan_for
from pytp_broker.cli.command import (
    CommandError,
    add_config_argument,
    check_host,
    load_configuration,
    note,
    say,
)
from pytp_broker.cli.host_options import shared_host
from pytp_broker.cli.key_changes import register_first
from pytp_broker.cli.operator import Operator
from pytp_broker.cli.plan import add_host_argument
from pytp_broker.cli.plan_text import plan_lines
from pytp_broker.cli.waiting import shown_waiting
from pytp_broker.storage.plan import Plan

if TYPE_CHECKING:
    from pytp_broker.config import Loaded


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "Prints the plan, as `plan` does, and asks before it changes anything. Without --prune it "
        "refuses a configuration that would remove a registry, a publisher or a reader."
    )
    add_config_argument(parser)
    parser.add_argument(
        "--prune",
        action="store_true",
        help="remove registries, publishers and readers that are not in FILE",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask, for a job of a CI")
    parser.add_argument(
        "--plan",
        type=Path,
        metavar="PLAN",
        help="make exactly the changes that `plan --out PLAN` has saved, or none",
    )
    add_host_argument(parser)
    target.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the plan, ask, execute it, and keep a record of it; raise CommandError."""
    host = shared_host(arguments.host)
    saved = None if arguments.plan is None else plan_document.read(arguments.plan)
    # Like `serve`: only a broker on this machine may use an issuer on this machine.
    loaded = load_configuration(arguments.config, allow_loopback=arguments.data is not None)
    with target.opened(arguments, "apply") as operator:
        check_host(loaded, host or operator.host)
        unfinished = find_unfinished(operator)
        if unfinished is not None:
            note(unfinished.sentence("this one finishes what it left"))
        plan = plan_for(operator, loaded)
        if saved is not None:
            _check(saved, plan, loaded, operator)
        say(*plan_lines(plan))
        # Without steps there may still be rows that an interrupted `apply` has left.
        if plan.steps and not (plan.losses and not arguments.prune):
            _ask(is_given=arguments.yes)
        with shown_waiting("applying") as progress:
            apply(operator, loaded, prune=arguments.prune, approved=plan, progress=progress)
        if plan.steps:
            say("applied")
        if arguments.data is None:
            register_first(operator)
    return 0


def _check(saved: plan_document.Document, plan: Plan, loaded: "Loaded", operator: Operator) -> None:
    now = datetime.now(UTC)
    current = plan_document.plan_document(plan, loaded, operator, now)
    plan_document.Saved(saved).check(current, now)


def _ask(*, is_given: bool) -> None:
    """Ask for a `yes`; raise CommandError without one."""
    if is_given:
        return
    if not sys.stdin.isatty():
        raise CommandError(
            "nothing was changed: `apply` asks before it changes anything, and there is no "
            "terminal to ask at; give --yes if this plan is right"
        )
    print("Make these changes? Only `yes` is accepted: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != "yes":
        raise CommandError("nothing was changed")
