"""Bring a deployed broker to a configuration file: issuers, registries, publishers."""

import argparse
from pathlib import Path

from pytp_broker.cli import place
from pytp_broker.cli.command import load_configuration, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="the configuration, in TOML"
    )
    place.add_arguments(parser, with_data=False)


def run(arguments: argparse.Namespace) -> int:
    """Print one line for each change, and keep a record of it; raise CommandError."""
    loaded = load_configuration(arguments.config, allow_loopback=False)
    with place.opened(arguments, "apply") as broker:
        changes = broker.apply(loaded, arguments.config)
    say(*changes.lines or ["no changes"])
    return 0
