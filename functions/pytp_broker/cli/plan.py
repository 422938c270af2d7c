"""Show what `apply` would change, and change nothing."""

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pytp_broker.cli import plan_document, target
from pytp_broker.cli.applying import find_unfinished, plan_for
from pytp_broker.cli.command import (
    FAILED,
    CommandError,
    add_config_argument,
    check_host,
    load_configuration,
    note,
    say,
)
from pytp_broker.cli.host_options import shared_host
from pytp_broker.cli.listing import print_item
from pytp_broker.cli.plan_text import markdown, plan_lines

# As Terraform's `plan -detailed-exitcode`. A mistake must not look like a change, so it is 1 here.
HAS_CHANGES: Final = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "Prints what would change: - removed, ~ changed, + added. Exits with 0 if nothing would "
        "change, with 2 if something would, and with 1 if that cannot be said."
    )
    parser.set_defaults(misused=FAILED)
    add_config_argument(parser)
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="print the plan as JSON, for scripts")
    shape.add_argument(
        "--markdown",
        action="store_true",
        help="print Markdown, for a comment on a pull request or the summary of a job",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="also save the plan, for `apply --plan FILE`"
    )
    add_host_argument(parser)
    target.add_arguments(parser)


def add_host_argument(parser: argparse.ArgumentParser) -> None:
    """Declare the host that the configuration is compared with."""
    parser.add_argument(
        "--host",
        metavar="NAME",
        help="the deployment's host name, to check that no registry takes it or its audience "
        "(default: the stack's)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the plan and return 2 if it changes something; raise CommandError."""
    try:
        return _run(arguments)
    except CommandError as error:
        raise CommandError(error.lines, FAILED) from None


def _run(arguments: argparse.Namespace) -> int:
    host = shared_host(arguments.host)
    # Like `serve`: only a broker on this machine may use an issuer on this machine.
    loaded = load_configuration(arguments.config, allow_loopback=arguments.data is not None)
    with target.opened(arguments, "plan", is_for_writing=False) as operator:
        check_host(loaded, host or operator.host)
        unfinished = find_unfinished(operator)
        if unfinished is not None:
            note(unfinished.sentence("`apply` finishes what it left"))
        plan = plan_for(operator, loaded)
    if arguments.json or arguments.out is not None:
        document = plan_document.plan_document(plan, loaded, operator, datetime.now(UTC))
        if arguments.out is not None:
            plan_document.save(document, arguments.out)
        if arguments.json:
            print_item(document, arguments)
    if not arguments.json:
        say(*(markdown(plan) if arguments.markdown else plan_lines(plan)))
    return HAS_CHANGES if plan.steps else 0
