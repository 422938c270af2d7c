"""Run a broker with its index on this machine."""

import argparse
import ipaddress
import json
import os
import re
import signal
import tempfile
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final, NoReturn

from pytp_broker.cli.command import (
    MISUSED,
    CommandError,
    add_config_argument,
    check_host,
    load_configuration,
)
from pytp_broker.cli.place import Place, local_user, reason_of
from pytp_broker.disclosure import GITHUB_KEYS_URL
from pytp_broker.display import printable
from pytp_broker.errors import DEFAULT_TYPE_BASE, TYPE_BASE, StoreUnavailable

if TYPE_CHECKING:
    from pytp_broker.config import Loaded
    from pytp_broker.local.certificates import CertificateFiles
    from pytp_broker.local.deployment import Storage

_EVERYWHERE: Final = ("0.0.0.0", "::", "")  # noqa: S104 - only compared with


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.epilog = (
        "Prints one line of JSON when it accepts connections: its url, and the ca_file that "
        "clients must trust. Logs JSON lines to stderr. Ends on SIGINT and SIGTERM."
    )
    add_config_argument(parser)
    parser.add_argument(
        "--host", default="127.0.0.1", help="where to listen (default: %(default)s)"
    )
    parser.add_argument(
        "--public-host",
        type=_public_host,
        metavar="NAME",
        help="the host name that clients use (default: --host); the audience is derived from it",
    )
    parser.add_argument(
        "--port", type=_port, default=0, help="where to listen (default: any free port)"
    )
    parser.add_argument(
        "--no-tls", action="store_true", help="plain http; uv, twine and others refuse to exchange"
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="keep tokens, files and certificates here"
    )
    parser.add_argument(
        "--disclosure-keys-url",
        metavar="URL",
        default=GITHUB_KEYS_URL,
        help="of the keys that sign disclosures of leaked tokens (default: GitHub's)",
    )
    parser.add_argument(
        "--error-type-base",
        type=_type_base,
        metavar="URL",
        default=DEFAULT_TYPE_BASE,
        help="what an error's `type` begins with, such as your copy of docs/errors.md "
        "with its `#` (default: %(default)s)",
    )
    _add_store_arguments(parser.add_argument_group("store"))


def _port(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) >= 1 << 16:
        raise argparse.ArgumentTypeError(f"{printable(text)} is not between 0 and 65535")
    return int(text)


def _public_host(text: str) -> str:
    with suppress(ValueError):
        return str(ipaddress.ip_address(text))
    if not re.fullmatch(r"(?=.{1,253}\Z)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*", text):
        raise argparse.ArgumentTypeError(
            f"`{printable(text)}` is not a host name; write it without scheme, port or path, such "
            "as packages.example.com"
        )
    return text.lower()


def _type_base(text: str) -> str:
    if not re.fullmatch(TYPE_BASE, text):
        raise argparse.ArgumentTypeError(f"{printable(text)} is neither an https URL nor a URN")
    return text


def _add_store_arguments(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--store",
        choices=("sqlite", "dynamodb"),
        default="sqlite",
        help="where to keep records: a file, or a DynamoDB that runs here (default: %(default)s)",
    )
    group.add_argument("--dynamodb-endpoint", metavar="URL", help="of the DynamoDB")
    group.add_argument("--s3-endpoint", metavar="URL", help="of the S3 for files")
    group.add_argument(
        "--table", metavar="NAME", default="pytp-broker", help="made if missing (%(default)s)"
    )
    group.add_argument(
        "--bucket", metavar="NAME", default="pytp-broker", help="made if missing (%(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal ends it; raise CommandError when it cannot start."""
    if arguments.public_host is None and arguments.host in _EVERYWHERE:
        raise CommandError(
            "name the host that clients use with --public-host: the audience of identity tokens is "
            "derived from it, and must be no other broker's",
            MISUSED,
        )
    loaded = load_configuration(arguments.config, allow_loopback=True)
    check_host(loaded, arguments.public_host or arguments.host)
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, _stop)
    with suppress(_StoppedError), ExitStack() as stack:
        _serve(arguments, loaded, stack)
    return 0


class _StoppedError(SystemExit):
    """A signal has ended the server; no other kind passes through asyncio unharmed."""


def _stop(_signal_number: int, _frame: FrameType | None) -> NoReturn:
    # uvicorn takes the signal first, finishes what it is doing, and then hands it on to us.
    raise _StoppedError


def _serve(arguments: argparse.Namespace, loaded: "Loaded", stack: ExitStack) -> None:
    from pytp_broker.local import deployment, log, routes, server

    host = arguments.public_host or arguments.host
    try:
        listener = stack.enter_context(deployment.listen(arguments.host, arguments.port))
    except OSError as error:
        place = f"{arguments.host}:{arguments.port}"
        raise CommandError(f"cannot listen on {place}: {_reason(error)}") from None
    try:
        folder = _open_folder(arguments.data, stack)
        certificate = None if arguments.no_tls else _certify(folder, host, loaded)
        storage = _open_storage(arguments, folder, stack)
        Place(storage.store, local_user()).apply(loaded, prune=True)
        gateway = deployment.build_gateway(
            storage, host, log.Log(), arguments.disclosure_keys_url, arguments.error_type_base
        )
    except OSError as error:
        raise CommandError(f"cannot write the data folder: {_reason(error)}") from None
    except StoreUnavailable as problem:
        raise CommandError(
            f"cannot apply the configuration: {reason_of(problem)}".splitlines()
        ) from None
    except routes.TemplateError as error:
        raise CommandError(str(error)) from None
    port = listener.getsockname()[1]
    server.run(gateway, listener, certificate, lambda: _announce(host, port, certificate))


def _reason(error: OSError) -> str:
    # `strerror` of a failed bind names the address once more; a failed look-up has no errno.
    errno = error.errno or 0
    return os.strerror(errno) if errno > 0 else error.strerror or str(error)


def _open_folder(data: Path | None, stack: ExitStack) -> Path:
    if data is None:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pytp-broker-")))
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    return data.resolve()


def _certify(folder: Path, host: str, loaded: "Loaded") -> "CertificateFiles":
    from pytp_broker.local.certificates import issue_certificate

    hosts = [name for r in loaded.configuration.registries.values() for name in r.hosts]
    return issue_certificate(folder / "tls", [host, *hosts], datetime.now(UTC))


def _open_storage(arguments: argparse.Namespace, folder: Path, stack: ExitStack) -> "Storage":
    from pytp_broker.local import deployment

    if arguments.store == "sqlite":
        return stack.enter_context(deployment.open_embedded(folder))
    if not arguments.dynamodb_endpoint or not arguments.s3_endpoint:
        raise CommandError("--store dynamodb needs --dynamodb-endpoint and --s3-endpoint", 2)
    return _open_aws(arguments)


def _open_aws(arguments: argparse.Namespace) -> "Storage":
    from botocore.exceptions import BotoCoreError, ClientError

    from pytp_broker.local import deployment

    places = deployment.AwsPlaces(
        dynamodb_endpoint=arguments.dynamodb_endpoint,
        s3_endpoint=arguments.s3_endpoint,
        table=arguments.table,
        bucket=arguments.bucket,
    )
    try:
        return deployment.open_aws(places)
    except (BotoCoreError, ClientError, ValueError) as error:  # botocore's, for what is no URL
        raise CommandError(f"cannot open the store: {error}".splitlines()) from None


def _announce(host: str, port: int, certificate: "CertificateFiles | None") -> None:
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    scheme = "https" if certificate else "http"
    ca_file = str(certificate.ca) if certificate else None
    print(json.dumps({"url": f"{scheme}://{authority}", "ca_file": ca_file}), flush=True)
