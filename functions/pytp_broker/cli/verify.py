"""Verify who published files, by the receipts that the registry has signed.

The exit statuses are those of docs/verify.md; tests hold them.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

from packaging.version import Version

from pytp_broker.cli.command import FAILED, MISUSED, CommandError, say
from pytp_broker.client.uploads.wire import Wire
from pytp_broker.client.verifying.attestations import AttestationChecks, find_sigstore
from pytp_broker.client.verifying.evidence import Evidence, Trusted
from pytp_broker.client.verifying.history import find_histories
from pytp_broker.client.verifying.index_evidence import (
    INDEX_VARIABLE,
    Network,
    find_index,
    open_index,
)
from pytp_broker.client.verifying.kept_evidence import KeptEvidence, read_keys_file
from pytp_broker.client.verifying.outcome import VerifyError
from pytp_broker.client.verifying.policy import read_policy
from pytp_broker.client.verifying.report import Report
from pytp_broker.client.verifying.saving import SavedEvidence
from pytp_broker.client.verifying.selection import Chosen, choose, find_meant, is_list
from pytp_broker.client.verifying.timestamp_roots import read_timestamp_roots
from pytp_broker.client.verifying.verifier import AT_ONCE, Verdict, Verifier
from pytp_broker.names import NormalizedName, normalize
from pytp_broker.redaction import printable

# The network or the registry failed: the same command may succeed later.
TRY_AGAIN: Final = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "Exits with 0 if every file is verified and as the policy expects, with 1 if one is not, "
        "with 2 for a mistake in the command or in the policy, and with 3 if the network or the "
        "registry failed."
    )
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="a wheel, an sdist, a folder, a pylock.toml, or a requirements.txt with hashes",
    )
    _add_evidence_arguments(parser)
    parser.add_argument(
        "--trusted-root",
        type=Path,
        metavar="FILE",
        help="the trusted root of Sigstore for attestations (default: the one of this version)",
    )
    parser.add_argument(
        "--timestamp-roots",
        type=Path,
        metavar="FILE",
        help="certificates of the time-stamping authorities that you trust, as PEM: the timestamps "
        "of receipts are checked, and a receipt that is older than the revocation of its key is "
        "good",
    )
    parser.add_argument(
        "--policy",
        type=Path,
        metavar="FILE",
        help="whom you expect as the publisher of each project, as TOML",
    )
    parser.add_argument(
        "--history",
        action=argparse.BooleanOptionalAction,
        help="compare each release with the one before it (default: not for lists of files)",
    )
    parser.add_argument(
        "--project",
        action="append",
        metavar="NAME",
        help="verify the files of this project alone; repeat the option for further projects",
    )
    parser.add_argument(
        "--json", action="store_true", help="print what is known of each file as JSON"
    )


def _add_evidence_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--index",
        metavar="URL",
        help="the index of the registry, as in https://packages.example.com/acme/simple/ (default: "
        f"{INDEX_VARIABLE}, or the variables of uv and pip)",
    )
    parser.add_argument(
        "--keys",
        type=Path,
        metavar="FILE",
        help="the registry's keys; without --index nothing is asked over the network",
    )
    parser.add_argument(
        "--receipt",
        type=Path,
        metavar="FILE",
        help="the receipt, or a folder of receipts (default: NAME.receipt beside each file)",
    )
    parser.add_argument(
        "--save",
        type=Path,
        metavar="FOLDER",
        help="keep the keys, and the receipts of verified files, to verify them again offline",
    )


def run(arguments: argparse.Namespace) -> int:
    """Verify the files and return the exit status; raise CommandError."""
    try:
        report = _verify(arguments)
    except VerifyError as error:
        raise CommandError(error.lines, _status_of(error)) from None
    if arguments.json:
        print(json.dumps(report.document(), indent=2))
    else:
        say(*report.lines())
    if report.is_verified:
        return 0
    return TRY_AGAIN if report.may_pass else FAILED


def _verify(arguments: argparse.Namespace) -> Report:
    policy = None if arguments.policy is None else read_policy(arguments.policy)
    chosen = choose(find_meant(arguments.files), arguments.project)
    evidence = SavedEvidence(_find_evidence(arguments, chosen))
    checks = _find_checks(arguments.trusted_root)
    roots = read_timestamp_roots(arguments.timestamp_roots)
    verifier = Verifier(evidence, checks, policy, lambda: datetime.now(UTC), roots)
    verdicts = verifier.verify(chosen.meant)
    if arguments.save is not None:
        evidence.save(arguments.save, verdicts)
    releases = _releases_of(verdicts) if _wants_history(arguments) else ()
    histories = find_histories(releases, evidence, verifier, AT_ONCE)
    return Report(verdicts, chosen.left_out, histories)


def _wants_history(arguments: argparse.Namespace) -> bool:
    """Say whether releases are compared with earlier ones, which takes a receipt of each file.

    By default not for lists, which may have hundreds of releases.
    """
    if _is_offline(arguments):
        return False
    wanted: bool | None = arguments.history
    return not any(map(is_list, arguments.files)) if wanted is None else wanted


def _releases_of(verdicts: Sequence[Verdict]) -> Iterator[tuple[NormalizedName, Version]]:
    for verdict in verdicts:
        if verdict.receipt is not None:
            yield normalize(verdict.receipt.project), Version(verdict.receipt.version)


def _find_evidence(arguments: argparse.Namespace, chosen: Chosen) -> Evidence:
    """Return what speaks for the files; raise VerifyError. With keys alone nothing is asked."""
    _check_receipt_option(arguments, chosen.meant)
    if arguments.save is not None and _is_offline(arguments):
        raise VerifyError("--save keeps what an index has: it goes with --index")
    keys = None if arguments.keys is None else read_keys_file(arguments.keys)
    if keys is not None and _is_offline(arguments):
        return KeptEvidence(Trusted(keys, keys.registry), arguments.receipt)
    network = Network(Wire().send, time.sleep, os.environ)
    if arguments.index is not None:
        return open_index(arguments.index, keys, network)
    return find_index(keys, network)


def _is_offline(arguments: argparse.Namespace) -> bool:
    """Say whether the user has the keys and names no index."""
    return arguments.index is None and arguments.keys is not None


def _check_receipt_option(arguments: argparse.Namespace, meant: Sequence[object]) -> None:
    receipt: Path | None = arguments.receipt
    if receipt is None:
        return
    if arguments.keys is None or arguments.index is not None:
        raise VerifyError("--receipt goes with --keys, and not with --index")
    if not receipt.is_dir() and len(meant) != 1:
        raise VerifyError("--receipt is one file: verify one file with it, or name a folder")


def _find_checks(trusted_root: Path | None) -> AttestationChecks:
    if trusted_root is not None and not trusted_root.is_file():
        raise VerifyError(f"--trusted-root {printable(str(trusted_root))}: there is no such file")
    return AttestationChecks(cache(lambda: find_sigstore(trusted_root)))


def _status_of(error: VerifyError) -> int:
    if error.is_misused:
        return MISUSED
    return TRY_AGAIN if error.may_pass else FAILED
