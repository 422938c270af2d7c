"""The broker that an operator's command works on, and the records of what the command did."""

import argparse
import getpass
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from pytp_broker.audit.operations import Apply, ConfigurationChange
from pytp_broker.audit.record import AuditRecord
from pytp_broker.cli.command import CommandError
from pytp_broker.errors import StoreUnavailable
from pytp_broker.redaction import MAX_SENTENCE_CHARACTERS
from pytp_broker.storage.plan import Plan
from pytp_broker.storage.protocols import Store

if TYPE_CHECKING:
    from pytp_broker.config import Loaded

DATABASE: Final = "broker.sqlite3"
_TABLE: Final = "AWS::DynamoDB::Table"


class RemovalError(CommandError):
    """A configuration would remove registries or publishers without the option for it."""

    def __init__(self, losses: Sequence[str]) -> None:
        super().__init__(
            [
                "nothing was changed, because this configuration would remove:",
                *losses,
                "to remove them, run the command again with --prune",
            ]
        )


@dataclass(frozen=True, slots=True)
class Place:
    """A broker's store, and the operator who works on it: an ARN, or this system's user.

    ``host`` is the host that its registries share, if the place states it.
    """

    store: Store
    operator: str
    host: str | None = None

    def record(self, record: AuditRecord) -> None:
        """Store a record of what the operator does."""
        self.store.add_operator_record(record, datetime.now(UTC))

    def plan(self, loaded: "Loaded") -> Plan:
        """Return the plan that ``apply`` would execute; write nothing."""
        return self.store.apply(loaded.configuration, loaded.publishers, lambda _: False)

    def apply(self, loaded: "Loaded", *, prune: bool) -> Plan:
        """Bring the store to a configuration, and store records of the changes.

        The first record says that it begins, the last one how it ended. If it is interrupted, the
        operator of each change is known nevertheless, and the last record is missing. Without
        ``prune`` a configuration that removes a registry or a publisher changes nothing and raises
        RemovalError.
        """
        event = Apply(by=self.operator, configuration_sha256=loaded.sources.sha256)
        self.record(event.begun())
        try:
            plan = self._apply(loaded, prune=prune)
        except RemovalError as error:
            self.record(event.needs_prune(" ".join(error.lines)))
            raise
        except StoreUnavailable as problem:
            with suppress(StoreUnavailable):  # then the first record stands alone
                self.record(event.refused(problem))
            raise
        self.record(event.accepted())
        return plan

    def _apply(self, loaded: "Loaded", *, prune: bool) -> Plan:
        plan = self.store.apply(
            loaded.configuration, loaded.publishers, lambda plan: prune or not plan.losses
        )
        if plan.losses and not prune:
            raise RemovalError([step.line for step in plan.losses])
        for line in plan.lines:
            for part in wrap(line, MAX_SENTENCE_CHARACTERS):
                self.record(ConfigurationChange(by=self.operator, change=part).accepted())
        return plan


def add_arguments(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Declare the options that name the broker."""
    place = parser.add_mutually_exclusive_group(required=required)
    place.add_argument("--stack", metavar="NAME", help="the CloudFormation stack of the broker")
    place.add_argument("--table", metavar="NAME", help="the DynamoDB table of the broker")
    place.add_argument(
        "--data", type=Path, metavar="DIR", help="the data folder of a broker on this machine"
    )
    parser.add_argument("--region", help="the AWS region (default: the AWS CLI's)")
    parser.add_argument(
        "--endpoint-url",
        metavar="URL",
        help="the URL of AWS, or of a service that stands in for it",
    )


@contextmanager
def opened(
    arguments: argparse.Namespace, doing: str, *, is_for_writing: bool = True
) -> Iterator[Place]:
    """Open the place that the arguments name; raise CommandError for every failure there."""
    try:
        if arguments.data is not None:
            with _opened_folder(arguments.data) as place:
                yield place
        else:
            yield _open_table(arguments, doing, is_for_writing=is_for_writing)
    except StoreUnavailable as problem:
        raise CommandError(f"cannot {doing}: {reason_of(problem)}".splitlines()) from None


def reason_of(problem: StoreUnavailable) -> str:
    """Return why a store is unavailable, in its engine's words, which callers must not see."""
    return str(problem.__context__ or problem.detail)


@contextmanager
def _opened_folder(folder: Path) -> Iterator[Place]:
    from pytp_broker.local.lock import last_host
    from pytp_broker.storage.sqlite import SqliteStore

    database = folder / DATABASE
    if not database.is_file():
        raise CommandError(f"{folder} is not the data folder of a broker: it has no {DATABASE}")
    store = SqliteStore(database)
    try:
        yield Place(store, local_user(), last_host(folder))
    finally:
        store.close()


def _open_table(arguments: argparse.Namespace, doing: str, *, is_for_writing: bool) -> Place:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    from pytp_broker.aws.dynamodb import DynamoStore
    from pytp_broker.aws.dynamodb.tables import ForeignTableError, check_table

    # boto3's default is to try for half a minute.
    options: Any = {
        "endpoint_url": arguments.endpoint_url,
        "config": Config(connect_timeout=5, retries={"mode": "standard"}),
    }
    failure, asked = "cannot reach the deployment", []
    try:
        session = boto3.Session(region_name=arguments.region)
        asked = [_asked(arguments, session.region_name, session.profile_name)]
        table, host = arguments.table, None
        if table is None:
            cloudformation = session.client("cloudformation", **options)
            found = cloudformation.describe_stack_resources(StackName=arguments.stack)
            table = _find_table(found["StackResources"], arguments.stack)
            with suppress(BotoCoreError, ClientError):  # needs another right; only for a check
                described = cloudformation.describe_stacks(StackName=arguments.stack)
                host = _find_host(described["Stacks"][0])
        dynamodb = session.client("dynamodb", **options)
        failure = f"cannot {doing}"
        check_table(dynamodb, table, is_for_writing=is_for_writing)
        operator = local_user()
        with suppress(BotoCoreError, ClientError):  # a stand-in for AWS may have no STS
            operator = session.client("sts", **options).get_caller_identity()["Arn"]
    except ForeignTableError as error:
        raise CommandError(str(error)) from None
    except ValueError as error:  # botocore's, for a text that is not a URL
        raise CommandError([f"cannot reach the deployment: {error}", *asked]) from None
    except (BotoCoreError, ClientError) as error:
        raise CommandError([*f"{failure}: {error}".splitlines(), *asked]) from None
    return Place(DynamoStore(dynamodb, table), operator, host)


def _asked(arguments: argparse.Namespace, region: str | None, profile: str) -> str:
    """Return where the command has looked, because a wrong place is the most common mistake."""
    place = f"the stack {arguments.stack}" if arguments.stack else f"the table {arguments.table}"
    endpoint = f" at {arguments.endpoint_url}" if arguments.endpoint_url else ""
    where = f"in the region {region}" if region else "without a region (give --region)"
    return f"asked for {place} {where}{endpoint}, with the profile {profile}"


def local_user() -> str:
    """Return the user of this process: a name, or a number if the system knows no name."""
    try:
        return f"user {getpass.getuser()}"
    except (KeyError, OSError):  # a container's user may have no name
        return f"user {os.getuid()}"


def _find_host(stack: Mapping[str, Any]) -> str | None:
    """Return the host of a stack: the domain that it was deployed with, or API Gateway's own."""
    parameters = {p["ParameterKey"]: p["ParameterValue"] for p in stack.get("Parameters", ())}
    outputs = {o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", ())}
    return (
        urlsplit(f"https://{parameters.get('HostName', '')}").hostname
        or urlsplit(str(outputs.get("Url", ""))).hostname
    )


def _find_table(resources: Sequence[Mapping[str, Any]], stack: str) -> str:
    tables: list[str] = [
        resource["PhysicalResourceId"]
        for resource in resources
        if resource["ResourceType"] == _TABLE
    ]
    if len(tables) != 1:
        raise CommandError(
            f"the stack {stack} has {len(tables)} tables, not one: name it with --table"
        )
    return tables[0]
