"""Bring a deployed broker to a configuration file: issuers, registries, publishers."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytp_broker.cli.command import CommandError, load_configuration
from pytp_broker.errors import StoreUnavailable

_TABLE = "AWS::DynamoDB::Table"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="the configuration, in TOML"
    )
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--stack", metavar="NAME", help="the CloudFormation stack of the broker")
    place.add_argument("--table", metavar="NAME", help="the DynamoDB table of the broker")
    parser.add_argument("--region", help="the AWS region (default: as the AWS CLI finds it)")
    parser.add_argument(
        "--endpoint-url", metavar="URL", help="where AWS, or what stands in for it, is found"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print one line for each change; raise CommandError."""
    loaded = load_configuration(arguments.config, allow_loopback=False)

    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    from pytp_broker.aws.dynamodb import DynamoStore

    # boto3's default is to try for half a minute.
    options: Any = {
        "endpoint_url": arguments.endpoint_url,
        "config": Config(connect_timeout=5, retries={"mode": "standard"}),
    }
    try:
        session = boto3.Session(region_name=arguments.region)
        table = arguments.table
        if table is None:
            cloudformation = session.client("cloudformation", **options)
            found = cloudformation.describe_stack_resources(StackName=arguments.stack)
            table = _find_table(found["StackResources"], arguments.stack)
        store = DynamoStore(session.client("dynamodb", **options), table)
        changes = store.apply(loaded.configuration, loaded.publishers)
    except StoreUnavailable as problem:
        # The store keeps AWS's own words from callers; the operator needs them.
        raise CommandError(f"cannot apply: {problem.__context__ or problem.detail}") from None
    except (BotoCoreError, ClientError) as error:
        raise CommandError(f"cannot reach the deployment: {error}") from None
    print(*changes.lines or ["no changes"], sep="\n")
    return 0


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
