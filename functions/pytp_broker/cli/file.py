"""List the published files, show one, or delete it."""

import argparse
from datetime import UTC, datetime
from typing import Final

from pytp_broker.audit.operations import FileDeletion
from pytp_broker.cli import actions, target
from pytp_broker.cli.command import MISUSED, CommandError, say
from pytp_broker.cli.items import file_item
from pytp_broker.cli.listing import (
    Column,
    Item,
    add_json_argument,
    print_item,
    print_list,
    write,
)
from pytp_broker.cli.named import (
    advise,
    choose_registry,
    find_project,
    find_registry,
    read_refusal,
)
from pytp_broker.cli.operator import Operator
from pytp_broker.cli.release_items import provenance_item
from pytp_broker.errors import InvalidUpload, StoreUnavailable
from pytp_broker.file_sizes import write_size
from pytp_broker.index.distributions import read_filename
from pytp_broker.index.inventory import take_inventory
from pytp_broker.names import NormalizedName, normalize
from pytp_broker.redaction import printable
from pytp_broker.registries import Registry
from pytp_broker.storage.file_records import Entry, PublishedFile
from pytp_broker.storage.file_store import Bin, keys_of
from pytp_broker.storage.withdrawals import Tombstone

_DOING: Final = "read the files"


def _write_publication(published_by: Item) -> str:
    """Return the one thing that says best who published a file.

    The user of a machine may have the name of a repository's owner, so we say who is an operator.
    """
    if operator := published_by["operator"]:
        return f"operator: {write(operator)}"
    if operator := published_by["imported_by"]:
        return f"imported by operator: {write(operator)}"
    return write(published_by["repository"] or published_by["actor"])


_COLUMNS: Final = (
    Column("file", "filename"),
    Column("size", "size", write_size),
    Column("uploaded", "uploaded_at"),
    Column("state", "state"),
    Column("published by", "published_by", _write_publication),
)

run = actions.run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    named = actions.add_actions(parser)
    listing = actions.add_action(named, "list", list_all, "list the published files", doing=_DOING)
    summary = "show a file, who published it, and how the provenance of its release has changed"
    showing = actions.add_action(named, "show", show, summary, doing=_DOING)
    summary = (
        "delete a file: nobody gets it any more, and its name is never used again; "
        "keeps an audit record"
    )
    deleting = actions.add_action(
        named,
        "delete",
        run_delete,
        summary,
        doing="delete the file",
        is_for_writing=True,
        has_bucket=True,
    )
    for action in (listing, showing, deleting):
        action.add_argument("registry", metavar="REGISTRY", help="the registry's name")
    listing.add_argument("project", metavar="PROJECT", nargs="?", help="only files of this project")
    for action in (showing, deleting):
        action.add_argument("filename", metavar="FILENAME", help="the file's name")
    for action in (listing, showing):
        add_json_argument(action)
    _add_delete_arguments(deleting)


def _add_delete_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--reason",
        required=True,
        metavar="TEXT",
        help="why, in one line for everybody who asks for the file or uploads it again",
    )


def run_delete(arguments: argparse.Namespace, operator: Operator) -> int:
    """Delete a file, if we know where its bytes are; raise CommandError."""
    if operator.bin is None and arguments.data is None:
        raise CommandError(
            "name the bucket that has the broker's files with --bucket (the stack's output "
            "`Bucket`): nothing was deleted",
            MISUSED,
        )
    return delete(arguments, operator)


def list_all(arguments: argparse.Namespace, operator: Operator) -> int:
    """Print every file of a registry or of a project, deleted ones too."""
    configuration = operator.store.load_configuration()
    registry = choose_registry(arguments.registry, configuration)
    if arguments.project is None:
        found = take_inventory(operator.store.survey(registry.name))
    else:
        found = [find_project(registry, normalize(arguments.project), operator)]
    items = (file_item(f, each, configuration.issuers) for each in found for f in each.files)
    print_list(items, _COLUMNS, arguments)
    return 0


def show(arguments: argparse.Namespace, operator: Operator) -> int:
    """Print one file, who published it, and what is said of its release."""
    name = _read_project(arguments, operator)
    configuration = operator.store.load_configuration()
    registry = choose_registry(arguments.registry, configuration)
    project = find_project(registry, name, operator)
    files = {file.filename: file for file in project.files}
    if arguments.filename not in files:
        advice = advise(arguments.filename, files, "its files are")
        raise CommandError(f"the project `{name}` has no file `{arguments.filename}`; {advice}")
    file, issuers = files[arguments.filename], configuration.issuers
    provenance = provenance_item(file.version, project, issuers)
    print_item({**file_item(file, project, issuers), "provenance": provenance}, arguments)
    return 0


def delete(arguments: argparse.Namespace, operator: Operator) -> int:
    """Delete a file; a file that is deleted already keeps its first reason.

    A repetition completes a deletion that was interrupted before the bytes were discarded.
    """
    reason = read_refusal(arguments.reason)
    project = _read_project(arguments, operator)
    registry = find_registry(arguments.registry, operator)
    file, tombstone = _find(registry, project, arguments.filename, operator)
    if tombstone is None:
        tombstone = _bury(file, reason, operator)
        say(f"{file.registry} {file.filename} is deleted: {tombstone.reason}")
    else:
        say(f"{file.registry} {file.filename} is deleted already: {tombstone.reason}")
    if operator.bin is not None:
        _discard(file, operator.bin)
    return 0


def _read_project(arguments: argparse.Namespace, operator: Operator) -> NormalizedName:
    """Return the project that has the file; if none has, the one that the name says."""
    try:
        first, *others = read_filename(arguments.filename)
    except InvalidUpload as problem:
        raise CommandError(problem.detail, MISUSED) from None
    for other in others:  # the name of an old sdist may be read in several ways
        entry = operator.store.find_entry(arguments.registry, other.project, arguments.filename)
        if entry.file is not None:
            return other.project
    return first.project


def _find(
    registry: Registry, project: NormalizedName, filename: str, operator: Operator
) -> tuple[PublishedFile, Tombstone | None]:
    entry: Entry = operator.store.find_entry(registry.name, project, filename)
    if entry.file is None:
        raise CommandError(f"the registry `{registry.name}` has no file `{printable(filename)}`")
    return entry.file, entry.tombstone


def _bury(file: PublishedFile, reason: str, operator: Operator) -> Tombstone:
    """Record the deletion, then give the file its tombstone; return the one that is in force."""
    event = FileDeletion(
        by=operator.name,
        registry=file.registry,
        project=file.project,
        filename=file.filename,
        sha256=file.sha256,
        why=reason,
    )
    operator.record(event.accepted())
    tombstone = Tombstone(reason, operator.name, datetime.now(UTC).replace(microsecond=0))
    return operator.store.delete_file(file.registry, file.project, file.filename, tombstone)


def _discard(file: PublishedFile, bytes_bin: Bin) -> None:
    try:
        for key in reversed(keys_of(file)):
            bytes_bin.discard(key)
    except StoreUnavailable as problem:
        raise CommandError(
            [
                f"its bytes are still in the bucket: {target.reason_of(problem)}",
                "nobody can download them from the broker; to delete them, run the command again",
            ]
        ) from None
