"""Make a token for a person: to read a registry, or to publish one project while the CI is down."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from pytp_broker.audit.operations import TokenCreation
from pytp_broker.audit.record import hash_prefix
from pytp_broker.cli.command import MISUSED, CommandError, note, say
from pytp_broker.cli.named import find_registry, read_person, read_reason
from pytp_broker.cli.operator import Operator
from pytp_broker.grants import Permission
from pytp_broker.making import Making
from pytp_broker.minting import Minted, make_to_read, make_to_upload
from pytp_broker.names import InvalidNameError, read_project
from pytp_broker.redaction import legible, printable
from pytp_broker.registries import Registry

# A person's machine keeps the token, so its owner should meet the operator again once a year.
DEFAULT_DAYS: Final = 90
MAX_DAYS: Final = 365
# Long enough to build and to publish once; a longer failure of the CI needs another decision.
DEFAULT_MINUTES: Final = 15
MAX_MINUTES: Final = 6 * 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the action's arguments."""
    parser.epilog = (
        "stdout has the token alone, and nothing shows it a second time; stderr says what it is "
        "for and until when. The broker keeps an audit record."
    )
    parser.add_argument("--registry", required=True, metavar="NAME", help="the registry's name")
    purpose = parser.add_mutually_exclusive_group(required=True)
    purpose.add_argument("--read", action="store_true", help="the token reads the registry")
    purpose.add_argument("--upload", metavar="PROJECT", help="the token uploads to this project")
    _add_read_arguments(parser)
    _add_upload_arguments(parser)


def _add_read_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--for", dest="person", metavar="NAME", help="with --read: who gets it")
    parser.add_argument(
        "--days",
        type=_count_up_to(MAX_DAYS),
        metavar="N",
        help=f"with --read: for how many days (default: {DEFAULT_DAYS}, at most {MAX_DAYS})",
    )


def _add_upload_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--reason",
        metavar="TEXT",
        help="with --upload: why, in one line for everybody who installs the project",
    )
    parser.add_argument(
        "--minutes",
        type=_count_up_to(MAX_MINUTES),
        metavar="N",
        help=(
            f"with --upload: for how many minutes (default: {DEFAULT_MINUTES}, "
            f"at most {MAX_MINUTES})"
        ),
    )


def _count_up_to(most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        # No number that is allowed has more digits; Python refuses to read very long ones.
        if not (text.isascii() and text.isdigit()) or len(text) > len(str(most)):
            raise argparse.ArgumentTypeError(f"must be a number from 1 to {most}")
        if not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"must be a number from 1 to {most}")
        return int(text)

    return read


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a command line asks for."""

    project: str | None
    making: Making
    lifetime: timedelta


def create(arguments: argparse.Namespace, operator: Operator) -> int:
    """Make a token, and print it alone on stdout.

    The token is stored first, then the record of it, and the text is printed last. So nobody has a
    token that has no record; if the command is interrupted, nobody has the token.
    """
    wish = _read_wish(arguments, operator)
    registry = find_registry(arguments.registry, operator)
    _note_surprises(registry, wish, operator)
    minted = _make(registry, wish)
    if not operator.store.add_operators_token(minted.record):
        raise CommandError(f"the registry `{registry.name}` was removed meanwhile")
    operator.record(_describe(minted, wish, operator).accepted())
    _explain(minted, wish)
    print(minted.token.reveal())
    return 0


def _read_wish(arguments: argparse.Namespace, operator: Operator) -> _Wish:
    name = legible(operator.name)
    if arguments.read:
        _refuse(arguments, {"reason": "--reason", "minutes": "--minutes"}, "--read")
        if arguments.person is None:
            raise CommandError("say who gets the token with --for NAME", MISUSED)
        making = Making(name, person=read_person(arguments.person))
        return _Wish(None, making, timedelta(days=arguments.days or DEFAULT_DAYS))
    _refuse(arguments, {"person": "--for", "days": "--days"}, "--upload")
    if arguments.reason is None:
        raise CommandError("say why no job publishes with --reason TEXT", MISUSED)
    making = Making(name, reason=read_reason(arguments.reason))
    minutes = arguments.minutes or DEFAULT_MINUTES
    return _Wish(_read_project(arguments.upload), making, timedelta(minutes=minutes))


def _refuse(arguments: argparse.Namespace, options: dict[str, str], purpose: str) -> None:
    for name, option in options.items():
        if getattr(arguments, name) is not None:
            raise CommandError(f"{option} does not go with {purpose}", MISUSED)


def _read_project(text: str) -> str:
    # A token has the form of a project's name, and the store would keep it.
    if legible(text) != text:
        raise CommandError(
            "--upload must be a project's name, and must not contain a token", MISUSED
        )
    try:
        return read_project(text)
    except InvalidNameError as mistake:
        raise CommandError(f"the project `{printable(text)}` {mistake}", MISUSED) from None


def _make(registry: Registry, wish: _Wish) -> Minted:
    now = datetime.now(UTC).replace(microsecond=0)
    if wish.project is None:
        return make_to_read(registry.name, wish.making, wish.lifetime, now)
    return make_to_upload(registry.name, wish.project, wish.making, wish.lifetime, now)


def _describe(minted: Minted, wish: _Wish, operator: Operator) -> TokenCreation:
    permission = Permission.READ if wish.project is None else Permission.UPLOAD
    return TokenCreation(
        by=operator.name,
        registry=minted.record.registries[0],
        permission=permission.value,
        project=wish.project,
        person=wish.making.person or None,
        why=wish.making.reason or None,
        token_hash=hash_prefix(minted.record.token_hash),
        expires_at=minted.record.expires_at.isoformat(),
    )


def _note_surprises(registry: Registry, wish: _Wish, operator: Operator) -> None:
    """Print what is allowed, and probably not what the operator wants."""
    if wish.project is None:
        if registry.is_public:
            note(f"the registry {registry.name} is public, so nobody needs a token to read it")
        return
    place = (registry.name, wish.project)
    if not operator.store.list_files(*place):
        note(f"{registry.name}/{wish.project} has no file yet; check the name")
    if not operator.store.list_trust([place]).get(place):
        note(f"{registry.name}/{wish.project} trusts no publisher, so no job can publish it")


def _explain(minted: Minted, wish: _Wish) -> None:
    """Print what the token is for, and until when."""
    record = minted.record
    (name,) = record.registries
    if wish.project is None:
        purpose = f"for {wish.making.person}, to read the registry {name}"
    else:
        purpose = f"to upload to {name}/{wish.project}, because: {wish.making.reason}"
    say(
        f"a token {purpose}",
        f"it expires at {record.expires_at:%Y-%m-%d %H:%M} UTC; to end it earlier, run "
        f"`pytp-broker token burn --prefix {hash_prefix(record.token_hash)}` on the same broker",
        file=sys.stderr,
    )
