"""Check a configuration file and print its mistakes."""

import argparse

from pytp_broker.cli.command import add_config_argument, check_host, load_configuration
from pytp_broker.cli.host_options import shared_host


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_config_argument(parser)
    parser.add_argument(
        "--host",
        metavar="NAME",
        help="the deployment's host name, to check that no registry takes it or its audience",
    )
    parser.add_argument(
        "--local",
        action="store_true",
        help="also allow http issuers on this machine, as `serve` does",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print ``ok``; raise CommandError with a line for each mistake."""
    host = shared_host(arguments.host)
    loaded = load_configuration(arguments.config, allow_loopback=arguments.local)
    check_host(loaded, host)
    print("ok")
    return 0
