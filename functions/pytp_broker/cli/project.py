"""Archive, deprecate or quarantine a project, or make it active again."""

import argparse

from pytp_broker.audit.operations import StatusChange
from pytp_broker.cli import actions
from pytp_broker.cli.command import say
from pytp_broker.cli.named import find_files, find_registry, read_refusal
from pytp_broker.cli.operator import Operator
from pytp_broker.names import normalize
from pytp_broker.storage.project_status import ACTIVE, STATUSES, ProjectStatus

run = actions.run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    named = actions.add_actions(parser)
    summary = "set the status of a project (PEP 792), and keep an audit record of it"
    action = actions.add_action(
        named, "status", set_status, summary, doing="change the project", is_for_writing=True
    )
    action.add_argument("registry", metavar="REGISTRY", help="the registry's name")
    action.add_argument("project", metavar="PROJECT", help="the project's name")
    action.add_argument(
        "status",
        choices=STATUSES,
        help="active: as usual; deprecated: pages say so; archived: uploads are refused; "
        "quarantined: uploads and downloads are refused",
    )
    action.add_argument(
        "--reason",
        required=True,
        metavar="TEXT",
        help="why, in one line for everybody who uses the project; "
        "for `active`, in one line for the audit record",
    )


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
    event = StatusChange(
        by=operator.name, registry=registry.name, project=project, status=wanted.status, why=why
    )
    operator.record(event.accepted())
    operator.store.set_status(registry.name, project, wanted)
    say(f"{name} is {_describe(wanted)} now")
    return 0


def _describe(status: ProjectStatus) -> str:
    return f"{status.status} ({status.reason})" if status.reason else status.status
