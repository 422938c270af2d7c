"""The options of ``serve`` that say where it keeps its records, and the check of them.

Without addresses of stand-ins, ``--store dynamodb`` means a broker that is deployed on AWS. The
server then changes nothing that an operator has made there: neither the table nor its
configuration.
"""

import argparse
from typing import Final

from pytp_broker.cli.command import MISUSED, CommandError
from pytp_broker.storage.data_folder import has_database

# The names of the table and the bucket on stand-ins, if the operator names none.
DEFAULT_NAME: Final = "pytp-broker"
_OF_AWS: Final = ("dynamodb_endpoint", "s3_endpoint", "stack", "table", "bucket", "region")


def add_arguments(group: "argparse._ArgumentGroup") -> None:
    """Declare the options."""
    group.add_argument(
        "--store",
        choices=("sqlite", "dynamodb"),
        default="sqlite",
        help="where to keep records: an SQLite file, or DynamoDB (default: %(default)s)",
    )
    broker = group.add_mutually_exclusive_group()
    broker.add_argument("--stack", metavar="NAME", help="the CloudFormation stack of the broker")
    broker.add_argument(
        "--table",
        metavar="NAME",
        help="the DynamoDB table; with --dynamodb-endpoint it is created if it is missing",
    )
    group.add_argument(
        "--bucket",
        metavar="NAME",
        help="the S3 bucket; with --s3-endpoint it is created if it is missing",
    )
    group.add_argument("--region", help="the AWS region (default: the AWS CLI's)")
    group.add_argument(
        "--dynamodb-endpoint", metavar="URL", help="the address of a stand-in for DynamoDB"
    )
    group.add_argument("--s3-endpoint", metavar="URL", help="the address of a stand-in for S3")


def is_on_aws(arguments: argparse.Namespace) -> bool:
    """Return whether the server works on the storage of a broker that is deployed on AWS."""
    has_stand_in = arguments.dynamodb_endpoint or arguments.s3_endpoint
    return arguments.store == "dynamodb" and not has_stand_in


def check(arguments: argparse.Namespace) -> None:
    """Check the options before anything is written; raise CommandError."""
    if arguments.store == "sqlite":
        _check_sqlite(arguments)
    elif is_on_aws(arguments):
        _check_aws(arguments)
    elif not (arguments.dynamodb_endpoint and arguments.s3_endpoint):
        raise CommandError("give both --dynamodb-endpoint and --s3-endpoint, or neither", MISUSED)
    if arguments.config is None and not _has_configuration(arguments):
        raise CommandError(
            "give --config: only a data folder that a server has used before has a configuration",
            MISUSED,
        )


def _check_sqlite(arguments: argparse.Namespace) -> None:
    for name in _OF_AWS:
        if getattr(arguments, name) is not None:
            option = name.replace("_", "-")
            raise CommandError(f"--{option} belongs to --store dynamodb: give both", MISUSED)


def _check_aws(arguments: argparse.Namespace) -> None:
    if not arguments.stack and not (arguments.table and arguments.bucket):
        raise CommandError(
            "--store dynamodb needs --stack, or --table and --bucket; for stand-ins of AWS it"
            " needs --dynamodb-endpoint and --s3-endpoint",
            MISUSED,
        )
    if arguments.config is not None:
        # The file of one server would replace the configuration of the functions as well.
        raise CommandError(
            "leave out --config: a broker on AWS has its configuration from `pytp-broker apply`",
            MISUSED,
        )


def _has_configuration(arguments: argparse.Namespace) -> bool:
    if arguments.store == "sqlite":
        return arguments.data is not None and has_database(arguments.data)
    return is_on_aws(arguments)
