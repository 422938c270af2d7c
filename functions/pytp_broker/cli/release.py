"""Reopen a closed release, so that it takes further files."""

import argparse
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from packaging.version import InvalidVersion, Version

from pytp_broker.audit.operations import Reopening
from pytp_broker.cli import target
from pytp_broker.cli.command import MISUSED, CommandError, say
from pytp_broker.cli.operator import Operator
from pytp_broker.index.releases import closes_at, key_of, read_release
from pytp_broker.names import normalize
from pytp_broker.redaction import and_more, printable
from pytp_broker.registries import Registry
from pytp_broker.storage.file_records import Release

REOPENED: Final = timedelta(days=1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    summary = "let a closed release take files for a day, and keep an audit record of it"
    action = actions.add_parser("reopen", help=summary, description=summary)
    action.add_argument("registry", metavar="REGISTRY", help="the registry's name")
    action.add_argument("project", metavar="PROJECT", help="the project's name")
    action.add_argument("version", metavar="VERSION", help="the release's version")
    target.add_arguments(action)
    action.set_defaults(act=reopen)


def run(arguments: argparse.Namespace) -> int:
    """Run the chosen action; raise CommandError."""
    act: Callable[[argparse.Namespace, Operator], int] = arguments.act
    with target.opened(arguments, "open the release") as operator:
        return act(arguments, operator)


def reopen(arguments: argparse.Namespace, operator: Operator) -> int:
    """Open a release for a day, unless it stays open that long already."""
    registry = _find_registry(arguments.registry, operator)
    release = _find_release(registry, arguments.project, arguments.version, operator)
    now = datetime.now(UTC)
    until = (now + REOPENED).replace(microsecond=0)
    _, reopened_until = operator.store.find_release(registry.name, release.project, release.key)
    closes = closes_at(release, reopened_until, registry)
    name = f"{registry.name} {release.project} {release.spellings[0]}"
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


def _find_registry(name: str, operator: Operator) -> Registry:
    registries = operator.store.load_configuration().registries
    if name not in registries:
        known = and_more([f"`{each}`" for each in sorted(registries)], len(registries)) or "none"
        raise CommandError(f"there is no registry `{printable(name)}`; the registries are: {known}")
    return registries[name]


def _find_release(registry: Registry, project: str, version: str, operator: Operator) -> Release:
    try:
        key = key_of(Version(version))
    except InvalidVersion:
        raise CommandError(f"`{printable(version)}` is not a version (PEP 440)", MISUSED) from None
    name = normalize(project)
    files = operator.store.list_files(registry.name, name)
    if not files:
        raise CommandError(f"the registry `{registry.name}` has no project `{printable(name)}`")
    release = read_release(key, files)
    if release is None:
        found = sorted({Version(file.version) for file in files}, reverse=True)
        known = and_more([f"`{each}`" for each in found], len(found))
        raise CommandError(f"`{name}` has no release `{printable(version)}`; it has {known}")
    return release
