"""Publish, discard or look at a release that `publish --stage` has staged."""

import argparse
import os
import sys
from typing import Final

from pytp_broker.cli.command import say
from pytp_broker.cli.publish import add_address_arguments, failed, read_address, terminable
from pytp_broker.client.publishing.opening import Opened, opened
from pytp_broker.client.publishing.outcome import PublishError
from pytp_broker.client.publishing.report import count_files
from pytp_broker.client.uploads.answers import CANCELED, PUBLISHED, Session, check_link
from pytp_broker.client.uploads.api import UploadApi
from pytp_broker.client.uploads.refusals import UploadError

_ACTIONS: Final = ("status", "publish", "discard")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("action", choices=_ACTIONS, help="what to do with the session")
    parser.add_argument("session", metavar="SESSION", help="the URL that `publish --stage` printed")
    add_address_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Carry out the action and return the exit status; raise CommandError."""
    try:
        with terminable(), opened(read_address(arguments), os.environ, _tell) as at:
            _act(arguments.action, _api(at), arguments.session)
    except UploadError as error:
        raise failed(PublishError(str(error), may_pass=error.may_pass)) from None
    except PublishError as error:
        raise failed(error) from None
    return 0


def _api(at: Opened) -> UploadApi:
    if at.api is None:
        raise PublishError(f"{at.destination.upload_url} offers no Upload API 2.0")
    return at.api


def _act(action: str, api: UploadApi, url: str) -> None:
    session = api.find(check_link(url, api.origin, "the session"))
    if action == "status":
        _print_status(session)
    elif action == "publish":
        published = api.publish(session)
        say(f"published {count_files(len(published.files))}")
    else:
        api.cancel(url)
        say("the session and its files are discarded")


def _print_status(session: Session) -> None:
    is_over = session.status in {PUBLISHED, CANCELED}
    until = "" if is_over else f", until {session.expires_at:%Y-%m-%d %H:%M} UTC"
    say(f"{session.status}{until}")
    say(*(f"{name}: {file.status}" for name, file in session.files.items()))
    say(*(f"the registry says: {notice}" for notice in session.notices))


def _tell(sentence: str) -> None:
    say(sentence, file=sys.stderr)
