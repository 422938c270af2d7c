"""Publish wheels and sdists from a CI job, without a secret."""

import argparse
import json
import os
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TextIO

from pytp_broker.cli.command import FAILED, MISUSED, CommandError, say
from pytp_broker.client.publishing.checks import read_releases
from pytp_broker.client.publishing.opening import Address, Opened, opened
from pytp_broker.client.publishing.outcome import PublishError, WrongAddressError
from pytp_broker.client.publishing.progress import Board, shown_board
from pytp_broker.client.publishing.publisher import Options, Publisher
from pytp_broker.client.publishing.report import ReleaseReport, Report, Result, session_command
from pytp_broker.client.publishing.selection import DEFAULT, select
from pytp_broker.client.uploads.answers import Session
from pytp_broker.redaction import Hidden

# The same command may succeed later: the network or the registry failed for too long.
TRY_AGAIN: Final = 3
# What a shell reports of a command that SIGTERM has ended.
TERMINATED: Final = 143
_MOST_JOBS: Final = 32


class _TerminatedError(KeyboardInterrupt):
    """The process was asked to end."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "Exits with 0 if everything is published or staged, with 1 if something is refused, with 2 "
        "for a mistake in the command, and with 3 if the network or the registry failed: then the "
        "same command goes on where this one ended."
    )
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help=f"a wheel, an sdist, a folder or a pattern (default: {DEFAULT})",
    )
    add_address_arguments(parser)
    parser.add_argument(
        "--index",
        metavar="URL",
        help="the URL of the index that shows what is published, as in https://HOST/acme/simple/ "
        "(default: the one beside the upload URL)",
    )
    parser.add_argument("--stage", action="store_true", help="send the files, but do not publish")
    parser.add_argument("--dry-run", action="store_true", help="only say what would happen")
    parser.add_argument(
        "--jobs",
        type=_jobs,
        default=4,
        metavar="N",
        help="files at the same time (default: 4)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print what became of each file as JSON"
    )


def add_address_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the upload URL and where a token comes from."""
    parser.add_argument(
        "--url",
        required=True,
        metavar="URL",
        help="the upload URL of the registry, as in https://packages.example.com/acme/legacy/",
    )
    parser.add_argument(
        "--token-stdin",
        action="store_true",
        help="read a token from the standard input instead of exchanging the job's identity",
    )


def _jobs(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:3]) <= _MOST_JOBS:
        raise argparse.ArgumentTypeError(f"must be a number from 1 to {_MOST_JOBS}")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Publish, and return the exit status; raise CommandError."""
    try:
        with terminable():
            return _publish(arguments)
    except PublishError as error:
        raise failed(error) from None
    except _TerminatedError:
        return TERMINATED


def _publish(arguments: argparse.Namespace) -> int:
    options = Options(arguments.stage, arguments.dry_run, arguments.jobs)
    address = read_address(arguments, arguments.index)
    releases = read_releases(select(arguments.files))
    with shown_board() as board, opened(address, os.environ, board.tell) as at:
        report = _publisher(at, board, options).run(releases)
    if arguments.json:
        print(json.dumps(report.document(), indent=2))
    _print_report(report, options, is_json=arguments.json)
    return _status(report.failures)


def _publisher(at: Opened, board: Board, options: Options) -> Publisher:
    return Publisher(at.destination, at.index, at.api, at.legacy, board, options)


def read_address(arguments: argparse.Namespace, index_url: str | None = None) -> Address:
    """Return where to publish, with a token from the standard input if the user wants that."""
    token = Hidden(sys.stdin.readline().strip()) if arguments.token_stdin else None
    if token is not None and not token.reveal():
        raise CommandError("there is no token on the standard input", MISUSED)
    return Address(arguments.url, index_url, token)


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM end the work as Ctrl-C does, so that the token is burned."""

    def end(*_: Any) -> None:  # noqa: ANN401 - a signal's number and frame
        raise _TerminatedError

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def failed(error: PublishError) -> CommandError:
    """Return the error of a command that could not begin."""
    if isinstance(error, WrongAddressError):
        return CommandError(error.lines, MISUSED)
    return CommandError(error.lines, TRY_AGAIN if error.may_pass else FAILED)


def _status(failures: Sequence[tuple[str, bool]]) -> int:
    if not failures:
        return 0
    return TRY_AGAIN if all(may_pass for _, may_pass in failures) else FAILED


def _print_report(report: Report, options: Options, *, is_json: bool) -> None:
    """Print what a person needs next: to stderr if stdout has JSON or if something failed."""
    failures = report.failures
    stream = sys.stderr if is_json or failures else sys.stdout
    for release in report.releases:
        for line in _lines(release, options):
            say(line, file=stream)
        if release.session is not None and not release.is_published:
            _print_session(report.url, release, release.session, stream)
    say(*(f"error: {why}" for why, _ in failures), file=sys.stderr)
    if failures:
        say(_next_step(report), file=sys.stderr)


def _lines(release: ReleaseReport, options: Options) -> Iterator[str]:
    if options.is_dry_run:
        for file in release.files:
            is_new = file.result is Result.PLANNED
            yield f"{file.filename}: {'would be sent' if is_new else 'is published already'}"
    elif release.is_published:
        yield f"published {release.summary()}"
    elif release.has_staged:
        yield f"staged {release.summary()}"


def _print_session(url: str, report: ReleaseReport, session: Session, stream: TextIO) -> None:
    """Print how to go on with a session. Its address is a secret, which the user needs here.

    The stage has this release alone, so pip gets what it needs from its other index; without the
    version, pip would take whatever is the highest of both.
    """
    if session.stage_url is not None and report.has_staged:
        stage, pinned = (
            shlex.quote(session.stage_url),
            f"'{report.release.project}=={report.release.version}'",
        )
        print(f"  preview: pip install --extra-index-url {stage} {pinned}", file=stream)
    for action in ("publish", "discard") if report.has_staged else ("discard",):
        print(f"  {action}: {session_command(action, url, session)}", file=stream)


def _next_step(report: Report) -> str:
    if any(release.is_published for release in report.releases):
        return "the releases above are published; run the same command again for the others"
    if any(release.has_staged for release in report.releases):
        return "nothing is published; the same command goes on with what is staged"
    return "nothing is published"
