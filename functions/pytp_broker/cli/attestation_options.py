"""The option of ``serve`` that says by which trusted root it verifies attestations."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pytp_broker.cli.command import MISUSED, CommandError
from pytp_broker.provenance.trusted_roots import FETCHED, SHIPPED_ROOT, folder_of

if TYPE_CHECKING:
    from pytp_broker.local.attester import LocalAttester


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the option."""
    parser.add_argument(
        "--trusted-root",
        type=Path,
        metavar="FILE",
        help="the trusted root of your own Sigstore, if attestations come from it (default: the "
        "public one, which `trust-root refresh` brings up to date)",
    )


def check(arguments: argparse.Namespace) -> None:
    """Check the option before anything is written; raise CommandError."""
    file: Path | None = arguments.trusted_root
    if file is None:
        return
    if not file.is_file():
        raise CommandError(f"--trusted-root: {file} is not a file", MISUSED)
    try:
        from pytp_broker.provenance.sigstore_checks import check_trusted_root
    except ModuleNotFoundError as error:
        raise CommandError(
            f"--trusted-root needs {error.name}: pip install 'pytp-broker[attestations]'", MISUSED
        ) from None
    try:
        check_trusted_root(file)
    except (OSError, ValueError):
        raise CommandError(
            f"--trusted-root: {file} is not a trusted root of Sigstore", MISUSED
        ) from None


def open_attester(arguments: argparse.Namespace, folder: Path) -> "LocalAttester":
    """Return what verifies attestations, with the operator's trusted root or the one fetched."""
    from pytp_broker.local.attester import LocalAttester

    own: Path | None = arguments.trusted_root
    return LocalAttester(own) if own else LocalAttester(folder_of(folder) / FETCHED, SHIPPED_ROOT)
