"""Run an upload client with a token in its environment; one of the job is burned after it."""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pytp_broker.cli.command import MISUSED, CommandError, say
from pytp_broker.client.ambient import NoIdentityError
from pytp_broker.client.child_process import Child, NotStartedError
from pytp_broker.client.credentials import with_credentials
from pytp_broker.client.lent_tokens import lend, tokens_to_lend
from pytp_broker.client.locations import Location
from pytp_broker.client.publishing.credentials import TOKEN_VARIABLE
from pytp_broker.client.registry import RefusedError
from pytp_broker.redaction import Hidden, printable

# We failed, and the command never ran: `env` and `timeout` return the same.
NOT_RUN: Final = 125


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "Sets the variables of twine, uv, hatch, poetry, flit, pdm and maturin. Exits with the "
        "status of COMMAND, with 125 if there is no token, and with 126 or 127 if COMMAND cannot "
        "be started."
    )
    add_command_arguments(parser)


def add_command_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the upload URL and the command to run."""
    parser.add_argument(
        "--url",
        required=True,
        metavar="URL",
        help="the upload URL of the registry, as in https://packages.example.com/acme/legacy/",
    )
    parser.add_argument(
        "child",
        nargs="+",
        metavar="COMMAND",
        help="the command and its arguments, after `--`",
    )


def read_upload_location(url: str) -> Location:
    """Return the registry that an upload URL names; raise CommandError."""
    location = Location.parse(url)
    if location is None or not location.is_for_upload:
        raise CommandError(
            f"{printable(url)} is not the upload URL of a registry; it looks like "
            "https://packages.example.com/acme/legacy/",
            MISUSED,
        )
    return location


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return its status; raise CommandError."""
    location, child = read_upload_location(arguments.url), Child()
    try:
        with child.signals(), _lent(location) as token:
            environment = with_credentials(os.environ, location.upload_url, token.reveal())
            return child.run(arguments.child, environment)
    except (RefusedError, NoIdentityError) as refusal:
        raise CommandError(str(refusal), NOT_RUN) from None
    except NotStartedError as error:
        raise CommandError(str(error), error.status) from None


@contextmanager
def _lent(location: Location) -> Iterator[Hidden]:
    """Lend the token that the user gives, which is not burned, or one of the job."""
    given = Hidden(os.environ.get(TOKEN_VARIABLE, "").strip())
    if given.reveal():
        yield given
        return
    with lend(location, tokens_to_lend(os.environ), tell) as token:
        yield token


def tell(sentence: str) -> None:
    """Print a sentence to stderr: stdout is the command's."""
    say(f"pytp-broker: {sentence}", file=sys.stderr)
