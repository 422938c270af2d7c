"""Remove a token from the system's keyring; in a CI job, burn the token that the job keeps."""

import argparse
import os

from pytp_broker.cli.command import CommandError, say
from pytp_broker.cli.login import add_url_argument, read_location
from pytp_broker.client.ambient import NoIdentityError, is_job
from pytp_broker.client.job_tokens import JobTokens
from pytp_broker.client.locations import Location
from pytp_broker.client.registry import RefusedError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_url_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Remove or burn the token; raise CommandError."""
    location = read_location(arguments.url)
    if is_job(os.environ):
        done, found = "burned", _burn(arguments.url)
    else:
        done, found = "removed", _forget(location)
    say(f"{done} the token for {location.base_url}" if found else "there was no token")
    return 0


def _burn(url: str) -> bool:
    try:
        return JobTokens(os.environ).end(url)
    except (RefusedError, NoIdentityError) as refusal:
        raise CommandError(str(refusal)) from None


def _forget(location: Location) -> bool:
    from pytp_broker.client import stored

    return stored.forget(location)
