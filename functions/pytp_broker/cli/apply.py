"""Make a broker follow a configuration file."""

import argparse
from typing import Final

from pytp_broker.cli import target
from pytp_broker.cli.command import add_config_argument, check_host, load_configuration, note, say
from pytp_broker.cli.host_options import shared_host
from pytp_broker.cli.key_changes import register_first

_NEEDS_PRUNE: Final = (
    "without --dry-run, `apply` needs --prune for this configuration, because it would remove a "
    "registry, a publisher or a reader"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "Prints one line for each change: - removed, ~ changed, + added. Without --prune it "
        "refuses a configuration that would remove a registry, a publisher or a reader."
    )
    add_config_argument(parser)
    parser.add_argument(
        "--prune",
        action="store_true",
        help="remove registries, publishers and readers that are not in FILE",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would change, and change nothing"
    )
    parser.add_argument(
        "--host",
        metavar="NAME",
        help="the deployment's host name, to check that no registry takes it or its audience "
        "(default: the stack's)",
    )
    target.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print one line for each change, and keep a record of it; raise CommandError."""
    host = shared_host(arguments.host)
    # Like `serve`: only a broker on this machine may use an issuer on this machine.
    loaded = load_configuration(arguments.config, allow_loopback=arguments.data is not None)
    with target.opened(arguments, "apply") as operator:
        check_host(loaded, host or operator.host)
        if arguments.dry_run:
            plan = operator.plan(loaded)
        else:
            plan = operator.apply(loaded, prune=arguments.prune)
        say(*plan.lines or ["no changes"])
        if not arguments.dry_run and arguments.data is None:
            register_first(operator)
    if plan.losses and not arguments.prune:  # only a dry run comes here
        note(_NEEDS_PRUNE)
    return 0
