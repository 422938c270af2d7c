"""Run an upload client with an index on this machine, which carries files of any size."""

import argparse
import os
import sys
from functools import partial

from pytp_broker.cli.command import CommandError
from pytp_broker.cli.run import NOT_RUN, add_command_arguments, tell
from pytp_broker.client.child_process import Child, NotStartedError
from pytp_broker.client.credentials import with_proxy
from pytp_broker.client.proxy.relay import Relay
from pytp_broker.client.proxy.server import serving
from pytp_broker.client.publishing.opening import Address, opened
from pytp_broker.client.publishing.outcome import PublishError
from pytp_broker.client.publishing.report import session_command
from pytp_broker.client.uploads.answers import Session
from pytp_broker.client.uploads.refusals import UploadError
from pytp_broker.client.uploads.wire import Wire


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "COMMAND gets the address of the index and a password for it, and never the token. Exits "
        "as `run` does."
    )
    add_command_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return its status; raise CommandError."""
    child, address = Child(), Address(arguments.url, None, None)
    try:
        with child.signals(), opened(address, os.environ, tell) as at:
            at.legacy.authorize()  # without a token, nothing runs
            relay = Relay(at, Wire().send, partial(_tell_of, arguments.url))
            with serving(relay) as local:
                environment = with_proxy(os.environ, local.upload_url, local.password.reveal())
                return child.run(arguments.child, environment)
    except PublishError as error:
        raise CommandError(error.lines, NOT_RUN) from None
    except UploadError as error:
        raise CommandError(str(error), NOT_RUN) from None
    except NotStartedError as error:
        raise CommandError(str(error), error.status) from None


def _tell_of(url: str, session: Session) -> None:
    """Print how to look at a session that is in the way, and how to end it.

    Its address is a secret, which the user needs here.
    """
    actions = ("status", "publish", "discard")
    lines = (f"pytp-broker: {session_command(action, url, session)}\n" for action in actions)
    print("".join(lines), end="", file=sys.stderr, flush=True)
