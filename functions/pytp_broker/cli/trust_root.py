"""Show or refresh the trusted root, by which a server verifies attestations."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from pytp_broker.cli.command import CommandError, say
from pytp_broker.provenance.trusted_roots import FETCHED, SHIPPED_ON, folder_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", dest="subcommand", required=True
    )
    refresh = commands.add_parser(
        "refresh",
        help="fetch the newest trusted root of the public Sigstore",
        description="Fetch the newest trusted root of the public Sigstore, and check it. A running "
        "server uses it at once. If it cannot be had, the last one stays.",
    )
    show = commands.add_parser("show", help="show which trusted root is used, and its age")
    for command in (refresh, show):
        command.add_argument(
            "--data", type=Path, required=True, metavar="DIR", help="the server's data folder"
        )


def run(arguments: argparse.Namespace) -> int:
    """Run the subcommand; raise CommandError."""
    folder = folder_of(arguments.data)
    if not arguments.data.is_dir():
        raise CommandError(f"{arguments.data} is not a folder")
    if arguments.subcommand == "refresh":
        _refresh(folder)
    else:
        _show(folder)
    return 0


def _refresh(folder: Path) -> None:
    from pytp_broker.provenance.trust_root_refresh import RefreshFailedError, refresh

    try:
        refreshed = refresh(folder)
    except RefreshFailedError as error:
        raise CommandError(str(error)) from None
    change = "is a new one" if refreshed.has_changed else "has not changed"
    say(f"the trusted root {change}; it is current until {refreshed.expires:%Y-%m-%d}")


def _show(folder: Path) -> None:
    file = folder / FETCHED
    if file.exists():
        fetched = datetime.fromtimestamp(file.stat().st_mtime, UTC)
        say(f"{file}, fetched on {fetched:%Y-%m-%d}")
    else:
        say(f"the trusted root of this package, of {SHIPPED_ON}")
