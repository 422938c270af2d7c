"""The broker that a command is for: the options that name it, and its storage, opened."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pytp_broker.cli.command import CommandError
from pytp_broker.cli.operator import Operator, local_user
from pytp_broker.cli.store_options import DEFAULT_NAME, is_on_aws
from pytp_broker.errors import StoreUnavailable
from pytp_broker.storage.data_folder import DATABASE, has_database, open_data_folder

if TYPE_CHECKING:
    from pytp_broker.aws.deployments import Deployed
    from pytp_broker.provenance.signing import Signer
    from pytp_broker.storage.file_store import FileStore
    from pytp_broker.storage.protocols import Storage, Store


def add_arguments(
    parser: argparse.ArgumentParser, *, required: bool = True, has_bucket: bool = False
) -> None:
    """Declare the options that name the broker.

    ``has_bucket`` is for a command that also works on the bytes of files.
    """
    broker = parser.add_argument_group("the broker", "one of the first three names it")
    target = broker.add_mutually_exclusive_group(required=required)
    target.add_argument(
        "--data", type=Path, metavar="DIR", help="the data folder of a broker on this machine"
    )
    target.add_argument("--stack", metavar="NAME", help="the CloudFormation stack of the broker")
    target.add_argument("--table", metavar="NAME", help="the DynamoDB table of the broker")
    broker.add_argument("--region", help="the AWS region (default: the AWS CLI's)")
    broker.add_argument(
        "--endpoint-url",
        metavar="URL",
        help="the URL of AWS, or of a service that stands in for it",
    )
    if has_bucket:
        broker.add_argument(
            "--bucket",
            metavar="NAME",
            help="the S3 bucket of the broker, if --table names the broker; a stack names its own",
        )


@contextmanager
def opened(
    arguments: argparse.Namespace, doing: str, *, is_for_writing: bool = True
) -> Iterator[Operator]:
    """Open the store that the options name; every failure of the store becomes a CommandError."""
    with _failures_told(doing):
        if arguments.data is not None:
            with _opened_folder(arguments.data) as (operator, _):
                yield operator
        else:
            found = _open_deployed(arguments, doing, is_for_writing=is_for_writing)
            yield _operator_of(found, getattr(arguments, "kms_key", None))


@contextmanager
def opened_with_files(
    arguments: argparse.Namespace, doing: str
) -> Iterator[tuple[Operator, "FileStore"]]:
    """Open the store and the file store of a command that publishes files.

    Every failure of them becomes a CommandError.
    """
    with _failures_told(doing):
        if arguments.data is not None:
            with _opened_folder(arguments.data) as (operator, files):
                signer = _open_folder_signer(arguments.data, operator.store)
                yield replace(operator, signer=signer), files
        else:
            found = _open_deployed(arguments, doing, is_for_writing=True)
            yield _operator_of(found), _open_files(found)


@contextmanager
def _failures_told(doing: str) -> Iterator[None]:
    try:
        yield
    except StoreUnavailable as problem:
        raise CommandError(f"cannot {doing}: {reason_of(problem)}".splitlines()) from None


def reason_of(problem: StoreUnavailable) -> str:
    """Return why a store is unavailable: in its engine's words, which only an operator may see."""
    return str(problem.__context__ or problem.detail)


@contextmanager
def _opened_folder(folder: Path) -> Iterator[tuple[Operator, "FileStore"]]:
    from pytp_broker.local.key_folder import KeyFolder
    from pytp_broker.local.lock import last_host

    if not has_database(folder):
        raise CommandError(f"{folder} is not the data folder of a broker: it has no {DATABASE}")
    with open_data_folder(folder) as storage:
        operator = Operator(
            storage.store,
            local_user(),
            last_host(folder),
            key_maker=KeyFolder(folder),
            place=str(folder.resolve()),
        )
        yield operator, storage.files


def _open_deployed(
    arguments: argparse.Namespace, doing: str, *, is_for_writing: bool
) -> "Deployed":
    from pytp_broker.aws.deployments import Address, NotOpenedError, open_deployed

    place = (arguments.stack, arguments.table, getattr(arguments, "bucket", None))
    address = Address(*place, arguments.region, arguments.endpoint_url)
    try:
        return open_deployed(address, doing, is_for_writing=is_for_writing)
    except NotOpenedError as error:
        raise CommandError(error.lines) from None


def _operator_of(found: "Deployed", kms_key: str | None = None) -> Operator:
    return Operator(
        found.store,
        found.operator or local_user(),
        found.host,
        found.bin,
        found.signer,
        replace(found.key_maker, given=kms_key),
        found.place,
    )


def _open_files(found: "Deployed") -> "FileStore":
    from pytp_broker.aws.deployments import NotOpenedError

    try:
        return found.open_files()
    except NotOpenedError as error:
        raise CommandError(error.lines) from None


def _open_folder_signer(data: Path, store: "Store", *, may_replace: bool = False) -> "Signer":
    from pytp_broker.local.folder_signer import open_signer

    return open_signer(data, store, partial(datetime.now, UTC), may_replace=may_replace)


def open_server_signer(
    arguments: argparse.Namespace, folder: Path, store: "Store"
) -> "Signer | None":
    """Return the signer of ``serve``, with a key in its folder; raise StoreUnavailable."""
    if is_on_aws(arguments):
        from pytp_broker.aws.deployments import server_signer

        return server_signer(arguments.region, store)
    # A store that other servers use too has keys whose files are in their folders.
    return _open_folder_signer(folder, store, may_replace=arguments.store != "sqlite")


@contextmanager
def open_storage(arguments: argparse.Namespace, folder: Path) -> Iterator["Storage"]:
    """Open the storage of ``serve``: its data folder, a broker on AWS, or stand-ins for AWS.

    Raises StoreUnavailable, or CommandError if it cannot be opened.
    """
    if arguments.store == "sqlite":
        with open_data_folder(folder) as storage:
            yield storage
    else:
        yield _open_aws(arguments) if is_on_aws(arguments) else _open_stand_ins(arguments)


def _open_aws(arguments: argparse.Namespace) -> "Storage":
    from pytp_broker.aws.deployments import Address, NotOpenedError, open_for_server

    place = (arguments.stack, arguments.table, arguments.bucket, arguments.region, None)
    try:
        storage = open_for_server(Address(*place))
    except NotOpenedError as error:
        raise CommandError(error.lines) from None
    # A server that cannot read its configuration must not start: nothing else reads the store now.
    with _failures_told("read the configuration"):
        storage.store.load_configuration()
    return storage


def _open_stand_ins(arguments: argparse.Namespace) -> "Storage":
    from pytp_broker.aws.deployments import NotOpenedError, StandIns, open_stand_ins

    places = StandIns(
        dynamodb_url=arguments.dynamodb_endpoint,
        s3_url=arguments.s3_endpoint,
        table=arguments.table or DEFAULT_NAME,
        bucket=arguments.bucket or DEFAULT_NAME,
    )
    try:
        return open_stand_ins(places)
    except NotOpenedError as error:
        raise CommandError(error.lines) from None
