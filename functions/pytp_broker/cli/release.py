"""List the releases of a project, show one, yank or unyank one, or reopen a closed one."""

import argparse
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from packaging.version import Version

from pytp_broker.audit.operations import Reopening
from pytp_broker.cli import actions
from pytp_broker.cli.command import MISUSED, CommandError, say
from pytp_broker.cli.listing import Column, add_json_argument, print_item, print_list, write_line
from pytp_broker.cli.named import (
    choose_registry,
    find_files,
    find_project,
    find_registry,
    read_reason,
)
from pytp_broker.cli.operator import Operator
from pytp_broker.cli.release_items import filenames_of, provenance_item, release_items
from pytp_broker.file_sizes import write_size
from pytp_broker.index.inventory import ProjectInventory
from pytp_broker.index.provenance import Issuers
from pytp_broker.index.releases import closes_at, key_of, read_release
from pytp_broker.names import normalize
from pytp_broker.redaction import and_more, printable
from pytp_broker.registries import Registry
from pytp_broker.storage.file_records import PublishedFile, Release
from pytp_broker.storage.protocols import Place

REOPENED: Final = timedelta(days=1)
_DOING: Final = "read the releases"
_COLUMNS: Final = (
    Column("version", "version"),
    Column("files", "files"),
    Column("size", "size", write_size),
    Column("first upload", "first_upload_at"),
    Column("yanked", "yanked"),
    Column("provenance", "provenance", write_line),
    Column("attestations", "attestations", write_line),
)

run = actions.run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = "Each action that changes something keeps an audit record."
    named = actions.add_actions(parser)
    _add_reading(named)
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


def _add_reading(named: actions.Actions) -> None:
    summary = "list the releases of a project, with the provenance of each"
    listing = actions.add_action(named, "list", list_all, summary, doing=_DOING)
    summary = "show a release, and how its provenance compares with earlier releases"
    showing = actions.add_action(named, "show", show, summary, doing=_DOING)
    for action in (listing, showing):
        action.add_argument("registry", metavar="REGISTRY", help="the registry's name")
        action.add_argument("project", metavar="PROJECT", help="the project's name")
        add_json_argument(action)
    showing.add_argument("version", metavar="VERSION", help="the release's version")


def list_all(arguments: argparse.Namespace, operator: Operator) -> int:
    """Print the releases of a project, the latest first."""
    project, issuers = _read_project(arguments, operator)
    print_list(release_items(project, issuers), _COLUMNS, arguments)
    return 0


def show(arguments: argparse.Namespace, operator: Operator) -> int:
    """Print one release, with all that is said of its provenance."""
    project, issuers = _read_project(arguments, operator)
    items = {Version(each["version"]): each for each in release_items(project, issuers)}
    item = items.get(_read_version(arguments.version))
    if item is None:
        raise _no_release(arguments.version, project.name, project.kept)
    shown = {
        "registry": arguments.registry,
        "project": project.name,
        **item,
        "filenames": filenames_of(item["version"], project.kept),
        **provenance_item(item["version"], project, issuers),
    }
    print_item(shown, arguments)
    return 0


def _read_project(
    arguments: argparse.Namespace, operator: Operator
) -> tuple[ProjectInventory, Issuers]:
    configuration = operator.store.load_configuration()
    registry = choose_registry(arguments.registry, configuration)
    return find_project(registry, normalize(arguments.project), operator), configuration.issuers


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
    key = key_of(_read_version(version))
    name = normalize(project)
    files = find_files(registry, name, operator)
    release = read_release(key, files)
    if release is None:
        raise _no_release(version, name, files)
    return release


def _read_version(version: str) -> Version:
    try:
        return Version(version)
    except ValueError:  # InvalidVersion, or a number of too many digits
        raise CommandError(f"`{printable(version)}` is not a version (PEP 440)", MISUSED) from None


def _no_release(version: str, project: str, files: Iterable[PublishedFile]) -> CommandError:
    found = sorted({Version(file.version) for file in files}, reverse=True)
    known = and_more([f"`{each}`" for each in found], len(found)) or "none"
    return CommandError(f"`{project}` has no release `{printable(version)}`; it has {known}")
