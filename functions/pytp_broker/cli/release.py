"""Yank or unyank a release, or reopen a closed one, so that it takes further files."""

import argparse
from datetime import UTC, datetime, timedelta
from typing import Final

from packaging.version import Version

from pytp_broker.audit.operations import Reopening
from pytp_broker.cli import actions
from pytp_broker.cli.command import MISUSED, CommandError, say
from pytp_broker.cli.named import find_files, find_registry, read_reason
from pytp_broker.cli.operator import Operator
from pytp_broker.index.releases import closes_at, key_of, read_release
from pytp_broker.names import normalize
from pytp_broker.redaction import and_more, printable
from pytp_broker.registries import Registry
from pytp_broker.storage.file_records import Release
from pytp_broker.storage.protocols import Place

REOPENED: Final = timedelta(days=1)

run = actions.run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = "Each action keeps an audit record."
    named = actions.add_actions(parser)
    for name, act, summary in (
        ("yank", yank, "let installers take a release only if it is asked for by its version"),
        ("unyank", unyank, "let installers take a yanked release again"),
        ("reopen", reopen, "let a closed release take files for a day"),
    ):
        action = actions.add_action(
            named, name, act, summary, doing="change the release", is_for_writing=True
        )
        action.add_argument("registry", metavar="REGISTRY", help="the registry's name")
        action.add_argument("project", metavar="PROJECT", help="the project's name")
        action.add_argument("version", metavar="VERSION", help="the release's version")
    for name, shown_to in (("yank", "everybody who installs it"), ("unyank", "the audit record")):
        help_text = f"why, in one line for {shown_to}"
        named.choices[name].add_argument("--reason", required=True, metavar="TEXT", help=help_text)


def yank(arguments: argparse.Namespace, operator: Operator) -> int:
    """Yank a release with all its files, those that follow included, or change the reason."""
    reason = read_reason(arguments.reason)
    release = _find_named(arguments, operator)
    if _find_yank(release, operator) == reason:
        say(f"{_name(release)} is yanked already for this reason")
    else:
        operator.set_yank(_place(release), release.spellings[0], reason, yanked=True)
        say(f"{_name(release)} is yanked: {reason}")
    return 0


def unyank(arguments: argparse.Namespace, operator: Operator) -> int:
    """Take a yank back."""
    reason = read_reason(arguments.reason)
    release = _find_named(arguments, operator)
    if _find_yank(release, operator) is None:
        say(f"{_name(release)} is not yanked")
    else:
        operator.set_yank(_place(release), release.spellings[0], reason, yanked=False)
        say(f"{_name(release)} is not yanked any more")
    return 0


def _find_yank(release: Release, operator: Operator) -> str | None:
    return operator.store.list_withdrawn(*_place(release)).yanked.get(release.key)


def _place(release: Release) -> Place:
    return release.registry, release.project


def reopen(arguments: argparse.Namespace, operator: Operator) -> int:
    """Open a release for a day, unless it stays open that long already."""
    registry = find_registry(arguments.registry, operator)
    release = _find_release(registry, arguments.project, arguments.version, operator)
    now = datetime.now(UTC)
    until = (now + REOPENED).replace(microsecond=0)
    _, reopened_until = operator.store.find_release(registry.name, release.project, release.key)
    closes = closes_at(release, reopened_until, registry)
    name = _name(release)
    if closes is None:
        say(f'{name} never closes: `release_open_days` is "unlimited"')
    elif closes >= until:
        say(f"{name} is open until {closes.isoformat(timespec='seconds')}")
    else:
        event = Reopening(
            by=operator.name,
            registry=registry.name,
            project=release.project,
            version=release.spellings[0],
            until=until.isoformat(),
        )
        operator.record(event.accepted())
        operator.store.reopen_release(registry.name, release.project, release.key, until)
        say(f"{name} takes files until {until.isoformat()}")
    return 0


def _name(release: Release) -> str:
    return f"{release.registry} {release.project} {release.spellings[0]}"


def _find_named(arguments: argparse.Namespace, operator: Operator) -> Release:
    registry = find_registry(arguments.registry, operator)
    return _find_release(registry, arguments.project, arguments.version, operator)


def _find_release(registry: Registry, project: str, version: str, operator: Operator) -> Release:
    try:
        key = key_of(Version(version))
    except ValueError:  # InvalidVersion, or a number of too many digits
        raise CommandError(f"`{printable(version)}` is not a version (PEP 440)", MISUSED) from None
    name = normalize(project)
    files = find_files(registry, name, operator)
    release = read_release(key, files)
    if release is None:
        found = sorted({Version(file.version) for file in files}, reverse=True)
        known = and_more([f"`{each}`" for each in found], len(found))
        raise CommandError(f"`{name}` has no release `{printable(version)}`; it has {known}")
    return release
