"""Keep a token in the system's keyring, where pip, uv, poetry and twine find it."""

import argparse
import getpass
import sys

from pytp_broker.cli.command import MISUSED, CommandError, say
from pytp_broker.client.locations import Location
from pytp_broker.client.registry import RefusedError
from pytp_broker.client.transport import send
from pytp_broker.redaction import Hidden, printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "Asks for the token, or reads it from the standard input, and checks it with the registry."
    )
    add_url_argument(parser)


def add_url_argument(parser: argparse.ArgumentParser) -> None:
    """Declare the registry's URL."""
    parser.add_argument(
        "url",
        metavar="URL",
        help="the URL of the index, as in https://packages.example.com/acme/simple/, or the one "
        "for uploads, which ends in /legacy/",
    )


def read_location(url: str) -> Location:
    """Return the registry that a URL names; raise CommandError."""
    location = Location.parse(url)
    if location is None:
        raise CommandError(
            f"{printable(url)} is not the URL of a registry; it looks like "
            "https://packages.example.com/acme/simple/",
            MISUSED,
        )
    return location


def run(arguments: argparse.Namespace) -> int:
    """Check a token and keep it; raise CommandError."""
    from pytp_broker.client import stored

    location = read_location(arguments.url)
    try:
        stored.check_keyring()
        token = _read_token()
        stored.check_token(location, token, send)
        stored.keep(location, token)
    except (stored.NoKeyringError, RefusedError) as refusal:
        raise CommandError(str(refusal)) from None
    say(f"the keyring keeps the token for {location.base_url}")
    return 0


def _read_token() -> Hidden:
    """Return the token that a person types unseen, or that another command gives."""
    is_typed = sys.stdin.isatty()
    text = getpass.getpass("Token: ") if is_typed else sys.stdin.readline()
    if not text.strip():
        raise CommandError("there is no token: type it, or give it on the standard input", MISUSED)
    return Hidden(text.strip())
