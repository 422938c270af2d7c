"""Move in: import the files of another index, or of a folder, into a registry."""  # noqa: N999 - the name of the command

import argparse
import json
import os
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from pytp_broker.cli import target
from pytp_broker.cli.command import FAILED, INTERRUPTED, MISUSED, CommandError, note, say
from pytp_broker.cli.host_options import shared_host
from pytp_broker.cli.import_progress import shown_progress
from pytp_broker.cli.import_report import Report
from pytp_broker.cli.importer import Importer, recorded
from pytp_broker.cli.named import find_registry
from pytp_broker.cli.operator import Operator
from pytp_broker.cli.sources.downloads import Downloads
from pytp_broker.cli.sources.folder import Folder
from pytp_broker.cli.sources.index_credentials import find_credential, without_credentials
from pytp_broker.cli.sources.simple_index import SimpleIndex
from pytp_broker.cli.sources.source import Listing, Source, SourceError
from pytp_broker.index.countersigning import Countersigner
from pytp_broker.index.receipts import Notary
from pytp_broker.names import InvalidNameError, NormalizedName, read_project
from pytp_broker.services import utc_now
from pytp_broker.stamping import make_stamper


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "A file that is here already is skipped, and is never replaced: run the same command "
        "again after an interruption. The credentials of another index are PYTP_SOURCE_USERNAME "
        "and PYTP_SOURCE_PASSWORD in the environment, or those of its host in your netrc file. "
        "The exit status is 1 if anything was refused."
    )
    parser.add_argument("--registry", required=True, metavar="NAME", help="the registry to fill")
    _add_source_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--host",
        metavar="NAME",
        help="the broker's host name, which the receipts of the files name (default: that of the "
        "stack, or of the last server on the data folder)",
    )
    target.add_arguments(parser, has_bucket=True)


def _add_source_arguments(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--from-folder", type=Path, metavar="DIR", help="a folder with wheels and sdists"
    )
    source.add_argument(
        "--from-index", metavar="URL", help="the simple API of another index: https://HOST/simple/"
    )
    parser.add_argument(
        "--project",
        action="append",
        metavar="NAME",
        help="import only this project; repeat the option for further ones",
    )
    parser.add_argument(
        "--ca-bundle",
        metavar="FILE",
        help="the authorities that sign the certificate of the index, instead of the public ones",
    )


def run(arguments: argparse.Namespace) -> int:
    """Import, and print the report; raise CommandError."""
    with closing(_open_source(arguments)) as source:
        listing = _list(source, arguments.project)
        try:
            report = _import(arguments, source, listing)
        except KeyboardInterrupt:
            raise CommandError(
                "interrupted: run the same command again to go on", INTERRUPTED
            ) from None
    if arguments.json:
        print(json.dumps(report.document(), indent=2))
    else:
        say(*report.lines())
    return 0 if report.is_complete else FAILED


def _open_source(arguments: argparse.Namespace) -> Source:
    if arguments.from_folder is not None:
        return Folder(arguments.from_folder)
    url = arguments.from_index
    if not _is_index_url(url):
        raise CommandError(
            "--from-index must be the URL of a simple API, such as https://HOST/simple/, and have "
            "no query",
            MISUSED,
        )
    if arguments.ca_bundle is not None and not Path(arguments.ca_bundle).is_file():
        raise CommandError(f"--ca-bundle: there is no file {arguments.ca_bundle}", MISUSED)
    credential = find_credential(url, os.environ)
    if urlsplit(url).password is not None:
        note(
            "other users of this machine can see the password in --from-index while the command "
            "runs; give it in PYTP_SOURCE_PASSWORD"
        )
    downloads = Downloads(credential, arguments.ca_bundle)
    return SimpleIndex(without_credentials(url).rstrip("/") + "/", downloads)


def _is_index_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return is_whole and not parts.query and not parts.fragment


def _list(source: Source, wanted: list[str] | None) -> Listing:
    """Return what is to be imported: everything, or the projects that were asked for."""
    projects = None if wanted is None else sorted({_read_project(name) for name in wanted})
    try:
        if projects is not None and source.is_index:  # a page for each, and the list of none
            return Listing(projects)
        listing = source.list_projects()
    except SourceError as error:
        raise CommandError(str(error)) from None
    return listing if projects is None else Listing(projects)


def _read_project(name: str) -> NormalizedName:
    try:
        return read_project(name)
    except InvalidNameError as mistake:
        raise CommandError(f"--project {mistake}", MISUSED) from None


def _import(arguments: argparse.Namespace, source: Source, listing: Listing) -> Report:
    with target.opened_with_files(arguments, "import") as storage:
        operator, files = storage
        report = Report(find_registry(arguments.registry, operator).name, source.name)
        host, countersigner = _find_host(arguments, operator), _countersign(operator, report)
        notary = Notary(host, operator.signer, files, utc_now, countersigner)
        with recorded(report, operator) as transfer, shown_progress() as progress:
            Importer((operator, notary), source, transfer, report, progress).run(listing)
    return report


def _countersign(operator: Operator, report: Report) -> Countersigner:
    """Return what gets timestamps of the receipts; the report has those that it does not get."""
    authority = operator.store.load_configuration().timestamping
    # The operator has written the authority's URL, and runs this command.
    stamper = make_stamper(utc_now, only_public=False)
    return Countersigner.of_import(authority, stamper, report.miss_timestamp)


def _find_host(arguments: argparse.Namespace, operator: Operator) -> str:
    host = shared_host(arguments.host) or operator.host
    if host is None:
        raise CommandError(
            "the broker's host name is not known here, and the receipts of the files name it: "
            "give it with --host",
            MISUSED,
        )
    return host
