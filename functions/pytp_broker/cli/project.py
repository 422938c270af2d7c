"""List the projects, show one, or give it a status: archived, deprecated, quarantined, active."""

import argparse
from typing import Final

from pytp_broker.cli import actions
from pytp_broker.cli.command import say
from pytp_broker.cli.items import project_item, trusted_item
from pytp_broker.cli.listing import (
    Column,
    add_json_argument,
    print_item,
    print_list,
    write_count,
)
from pytp_broker.cli.named import (
    find_files,
    find_registry,
    no_project,
    read_inventory,
    read_refusal,
)
from pytp_broker.cli.operator import Operator
from pytp_broker.cli.release_items import release_items
from pytp_broker.index.inventory import take_inventory
from pytp_broker.names import normalize
from pytp_broker.registries import Registry
from pytp_broker.storage.project_status import ACTIVE, STATUSES, ProjectStatus
from pytp_broker.trust.publishers import TrustedPublisher

_DOING: Final = "read the projects"
_COLUMNS: Final = (
    Column("project", "name"),
    Column("files", "files"),
    Column("latest", "latest_version"),
    Column("last upload", "last_upload_at"),
    Column("status", "status"),
    Column("publishers", "publishers", write_count),
)

run = actions.run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    named = actions.add_actions(parser)
    listing = actions.add_action(
        named, "list", list_all, "list the projects of a registry", doing=_DOING
    )
    summary = "show a project with its releases and the publishers that it trusts"
    showing = actions.add_action(named, "show", show, summary, doing=_DOING)
    summary = "set the status of a project (PEP 792), and keep an audit record of it"
    setting = actions.add_action(
        named, "status", set_status, summary, doing="change the project", is_for_writing=True
    )
    for action in (listing, showing, setting):
        action.add_argument("registry", metavar="REGISTRY", help="the registry's name")
    for action in (showing, setting):
        action.add_argument("project", metavar="PROJECT", help="the project's name")
    for action in (listing, showing):
        add_json_argument(action)
    _add_status_arguments(setting)


def _add_status_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "status",
        choices=STATUSES,
        help="active: as usual; deprecated: pages say so; archived: uploads are refused; "
        "quarantined: uploads and downloads are refused",
    )
    parser.add_argument(
        "--reason",
        required=True,
        metavar="TEXT",
        help="why, in one line for everybody who uses the project; "
        "for `active`, in one line for the audit record",
    )


def list_all(arguments: argparse.Namespace, operator: Operator) -> int:
    """Print every project, those that have no file yet too."""
    registry = find_registry(arguments.registry, operator)
    found = take_inventory(operator.store.survey(registry.name))
    print_list((project_item(each, registry.name) for each in found), _COLUMNS, arguments)
    return 0


def show(arguments: argparse.Namespace, operator: Operator) -> int:
    """Print one project, with its releases and the publishers that it trusts."""
    registry, name = find_registry(arguments.registry, operator), normalize(arguments.project)
    project, trusted = read_inventory(registry, name, operator), _trusted(registry, name, operator)
    if not (project.files or trusted):
        raise no_project(registry, name, operator)
    project.publisher_ids.update(each.publisher_id for each in trusted)
    releases = release_items(project, operator.store.load_configuration().issuers)
    publishers = [trusted_item(each) for each in trusted]
    shown = project_item(project, registry.name)
    print_item({**shown, "releases": releases, "trusted_publishers": publishers}, arguments)
    return 0


def _trusted(registry: Registry, project: str, operator: Operator) -> list[TrustedPublisher]:
    """Return the publishers that a project trusts."""
    here = operator.store.load_setup().publishers.values()
    trusted = (each for each in here if each.registry == registry.name)
    return sorted((p for p in trusted if project in p.projects), key=lambda p: p.publisher_id)


def set_status(arguments: argparse.Namespace, operator: Operator) -> int:
    """Give a project a status, or change the reason for its status."""
    why = read_refusal(arguments.reason)
    registry, project = find_registry(arguments.registry, operator), normalize(arguments.project)
    find_files(registry, project, operator)
    wanted = ACTIVE if arguments.status == ACTIVE.status else ProjectStatus(arguments.status, why)
    name = f"{registry.name} {project}"
    if operator.store.find_status(registry.name, project) == wanted:
        say(f"{name} is {_describe(wanted)} already")
        return 0
    operator.set_status((registry.name, project), wanted, why)
    say(f"{name} is {_describe(wanted)} now")
    return 0


def _describe(status: ProjectStatus) -> str:
    return f"{status.status} ({status.reason})" if status.reason else status.status
