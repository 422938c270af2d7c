"""Check a configuration file and say what is wrong with it."""

import argparse
from pathlib import Path

from pytp_broker.cli.command import load_configuration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="the configuration, in TOML"
    )
    parser.add_argument(
        "--local",
        action="store_true",
        help="allow issuers on this machine that are plain http, as `serve` does",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print ``ok``; raise CommandError with a line for each mistake."""
    load_configuration(arguments.config, allow_loopback=arguments.local)
    print("ok")
    return 0
