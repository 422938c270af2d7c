"""Run a broker with its index on this machine."""

import argparse
import json
import os
import re
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final, NoReturn

from pytp_broker import __version__
from pytp_broker.cli import attestation_options, seeing_options, store_options
from pytp_broker.cli.command import (
    MISUSED,
    CommandError,
    add_config_argument,
    check_host,
    load_configuration,
)
from pytp_broker.cli.host_options import client_host
from pytp_broker.cli.listening import LOOPBACK, Inherited, listen_on, port, words_of
from pytp_broker.cli.operator import local_user
from pytp_broker.cli.site import Site, hosts_of
from pytp_broker.cli.target import open_server_signer, open_storage, reason_of
from pytp_broker.errors import DEFAULT_TYPE_BASE, TYPE_BASE, StoreUnavailable
from pytp_broker.leaks import GITHUB_KEYS_URL
from pytp_broker.redaction import printable

if TYPE_CHECKING:
    import ssl

    from pytp_broker.config import Loaded
    from pytp_broker.local.certificates import CertificateFiles
    from pytp_broker.local.given_certificate import GivenCertificate
    from pytp_broker.local.upkeep import Upkeep

_NOTHING_KEPT: Final = (
    "without --data, this server deletes its tokens, files and certificates when it ends"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "When it accepts connections, it prints a line of JSON: its url, and the ca_file that "
        "clients must trust. It logs to stderr. SIGINT and SIGTERM end it; on SIGHUP "
        "it reads the configuration and the certificate again."
    )
    add_config_argument(parser, required=False)
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="the folder for tokens, files and certificates (default: a temporary one)",
    )
    parser.add_argument(
        "--disclosure-keys-url",
        metavar="URL",
        default=GITHUB_KEYS_URL,
        help="where to fetch the keys that sign reports of leaked tokens (default: GitHub's)",
    )
    parser.add_argument(
        "--error-type-base",
        type=_type_base,
        metavar="URL",
        default=DEFAULT_TYPE_BASE,
        help="the beginning of every error's `type`, such as the URL of your copy of "
        "docs/errors.md with a `#` at its end (default: %(default)s)",
    )
    attestation_options.add_arguments(parser)
    _add_address_arguments(parser.add_argument_group("address"))
    _add_tls_arguments(parser.add_argument_group("TLS"))
    seeing_options.add_arguments(parser.add_argument_group("what an operator sees"))
    store_options.add_arguments(parser.add_argument_group("store"))


def _add_address_arguments(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--host", default=LOOPBACK, help="the address to listen on (default: %(default)s)"
    )
    group.add_argument(
        "--public-host",
        metavar="NAME",
        help="the host name that clients use (default: --host); the audience is derived from it",
    )
    group.add_argument(
        "--port", type=port, default=0, help="the port to listen on (default: any free port)"
    )

    group.add_argument(
        "--trusted-proxies",
        type=_proxies,
        default=0,
        metavar="NUMBER",
        help="how many reverse proxies every request comes through, each of which adds its "
        "client's address to X-Forwarded-For (default: 0, and no X-Forwarded-* is believed)",
    )


def _add_tls_arguments(group: "argparse._ArgumentGroup") -> None:
    group.add_argument("--no-tls", action="store_true", help="serve http; uv and twine refuse it")
    group.add_argument(
        "--cert",
        type=Path,
        metavar="FILE",
        help="your own certificate with its chain, in PEM (default: the server makes one)",
    )
    group.add_argument(
        "--key",
        type=Path,
        metavar="FILE",
        help="the private key of --cert, in PEM, without a passphrase",
    )


def _proxies(text: str) -> int:
    if not re.fullmatch("[0-9]", text):
        raise argparse.ArgumentTypeError(f"{printable(text)} is not between 0 and 9")
    return int(text)


def _type_base(text: str) -> str:
    if not re.fullmatch(TYPE_BASE, text):
        raise argparse.ArgumentTypeError(f"{printable(text)} is neither an https URL nor a URN")
    return text


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal ends the server; raise CommandError if it cannot start."""
    _check(arguments)
    inherited = Inherited.take(arguments)
    host = client_host(inherited.address or arguments.host, arguments.public_host)
    loaded = None
    if arguments.config is not None:
        loaded = load_configuration(arguments.config, allow_loopback=True)
        check_host(loaded, host)
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, _stop)
    with suppress(_StoppedError), ExitStack() as stack:
        _serve(arguments, host, loaded, inherited, stack)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Check the options before anything is written; raise CommandError."""
    if (arguments.cert is None) != (arguments.key is None):
        raise CommandError("--cert and --key belong together: give both, or neither", MISUSED)
    if arguments.cert is not None and arguments.no_tls:
        raise CommandError("--no-tls serves plain http: leave out --cert and --key", MISUSED)
    seeing_options.check(arguments)
    attestation_options.check(arguments)
    store_options.check(arguments)


class _StoppedError(SystemExit):
    """A signal has ended the server. asyncio passes only a SystemExit on unchanged."""


def _stop(_signal_number: int, _frame: FrameType | None) -> NoReturn:
    # uvicorn takes the signal first, finishes its work, and then passes the signal on to us.
    raise _StoppedError


def _serve(
    arguments: argparse.Namespace,
    host: str,
    loaded: "Loaded | None",
    inherited: Inherited,
    stack: ExitStack,
) -> None:
    from pytp_broker.local import server
    from pytp_broker.local.systemd import Supervisor
    from pytp_broker.local.upkeep import Upkeep

    given = _read_certificate(arguments, host, loaded)
    supervisor = Supervisor(os.environ)
    listener = inherited.clients or listen_on(arguments.host, arguments.port, stack)
    seeing = seeing_options.open_metrics(arguments, inherited, stack)
    url = _url(host, listener.getsockname()[1], is_tls=not arguments.no_tls)
    with _failures_told():
        folder = _open_folder(arguments.data, url, stack)
        storage = stack.enter_context(open_storage(arguments, folder))
        signer = open_server_signer(arguments, folder, storage.store)
        attester = attestation_options.open_attester(arguments, folder)
        log = seeing_options.open_log(arguments)
        site = Site(storage, host, arguments.config, signer, attester, log=log)
        site.bring_up(loaded, is_kept=arguments.data is not None)
        own = None if arguments.no_tls or given else site.certify(folder / "tls")
        gateway = site.build_gateway(
            arguments.disclosure_keys_url,
            arguments.error_type_base,
            arguments.trusted_proxies,
            seeing.measures,
        )
    certificate = given or own

    def reload() -> None:
        supervisor.reloading()
        try:
            site.reload()
        finally:
            supervisor.ready(f"serving {url}")

    upkeep = Upkeep(
        *(site.log, site.names, reload, site.records, site.remove_bytes, certificate),
        measures=seeing.measures,
    )
    stack.callback(upkeep.stop)
    stack.callback(site.verifier.stop)
    _reload_on_sighup(upkeep)
    site.check_signer()
    files = certificate.files if certificate else None
    for remark in files.remarks if files else ():
        site.log.write("warning", by="certificate", message=remark)
    if arguments.data is None and arguments.store == "sqlite":
        site.log.write("note", message=_NOTHING_KEPT)

    def start(context: "ssl.SSLContext | None") -> None:
        upkeep.start(context)
        site.verifier.start(is_beside_functions=store_options.is_on_aws(arguments))
        _announce(url, files)
        supervisor.ready(f"serving {url}")

    seeing.start(folder, lambda: certificate.files if certificate else None, stack)
    server.run(gateway, listener, files, start, supervisor.stopping)


def _read_certificate(
    arguments: argparse.Namespace, host: str, loaded: "Loaded | None"
) -> "GivenCertificate | None":
    from pytp_broker.local.given_certificate import CertificateError, GivenCertificate

    if arguments.cert is None:
        return None
    names = [host, *(hosts_of(loaded.configuration) if loaded else ())]
    try:
        return GivenCertificate(arguments.cert, arguments.key, names, datetime.now(UTC))
    except CertificateError as error:
        raise CommandError(str(error), MISUSED) from None


@contextmanager
def _failures_told() -> Iterator[None]:
    from pytp_broker.local.lock import FolderTakenError
    from pytp_broker.local.routes import TemplateError

    try:
        yield
    except (FolderTakenError, TemplateError) as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        place = error.filename or "the data folder"
        raise CommandError(f"cannot write {place}: {words_of(error)}") from None
    except StoreUnavailable as problem:
        raise CommandError(
            f"cannot apply the configuration: {reason_of(problem)}".splitlines()
        ) from None


def _open_folder(data: Path | None, url: str, stack: ExitStack) -> Path:
    from pytp_broker.local.lock import Holder, locked

    if data is None:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pytp-broker-")))
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    stack.enter_context(locked(data, Holder(os.getpid(), local_user(), url, __version__)))
    return data.resolve()


def _url(host: str, port: int, *, is_tls: bool) -> str:
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"{'https' if is_tls else 'http'}://{authority}"


def _reload_on_sighup(upkeep: "Upkeep") -> None:
    if hasattr(signal, "SIGHUP"):  # pragma: no branch - Windows has none
        signal.signal(signal.SIGHUP, lambda *_: upkeep.ask_to_reload())


def _announce(url: str, files: "CertificateFiles | None") -> None:
    ca_file = str(files.ca) if files and files.ca else None
    print(json.dumps({"url": url, "ca_file": ca_file}), flush=True)
