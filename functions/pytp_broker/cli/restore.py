"""Make the data folder of a broker on this machine from a backup."""

import argparse
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pytp_broker.audit.record import hash_prefix
from pytp_broker.cli.backup_errors import backup_failures_told, tell_faults
from pytp_broker.cli.command import FAILED, note, say
from pytp_broker.cli.operator import local_user

if TYPE_CHECKING:
    from pytp_broker.local.backups.restoring import Restored


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "The folder of --data must be empty or absent. Tokens of jobs end, and identity tokens "
        "that were issued before are refused from then on, because some of them may have been "
        "used since the backup."
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the folder of the backup")
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="the data folder to make"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Restore, and say what the operator should know; return 1 if files have no bytes.

    Raises CommandError.
    """
    from pytp_broker.local.backups.restoring import restore
    from pytp_broker.local.lock import Holder

    holder = Holder(os.getpid(), local_user(), "a restore from a backup")
    with backup_failures_told():
        restored = restore(arguments.folder, arguments.data, holder, datetime.now(UTC))
    kept = [hash_prefix(record.token_hash) for record in restored.kept_tokens]
    if arguments.json:
        print(json.dumps(_describe(restored, kept)))
    else:
        _tell(arguments.data, restored, kept)
    return FAILED if restored.lacks else 0


def _tell(data: Path, restored: "Restored", kept: list[str]) -> None:
    manifest = restored.manifest
    say(
        f"restored {len(manifest.files):,} files to {data}, as of "
        f"{manifest.began_at:%Y-%m-%d %H:%M:%S} UTC",
        f"{restored.ended_tokens:,} tokens ended, {restored.canceled_sessions:,} publishing "
        "sessions canceled",
    )
    tell_faults(restored.lacks)
    note(*_remarks(data, restored, kept))


def _remarks(data: Path, restored: "Restored", kept: list[str]) -> Iterator[str]:
    if restored.lacks:
        yield (
            "the backup did not have these bytes either; all else is restored, and can be served: "
            "delete those files with `pytp-broker file delete`, or put their bytes there"
        )
    yield (
        f"what operators did after the backup is undone: apply the configuration again, and look "
        f"at `pytp-broker audit --data {data}` for what to repeat"
    )
    if kept:
        yield (
            f"{len(kept):,} read tokens that operators made live on, as they did at the backup; "
            f"burn again those that were burned since: {', '.join(kept[:20])}"
        )
    if not restored.manifest.keys:
        yield (
            "the backup has no private keys: run `pytp-broker receipt-key rotate --data "
            f"{data}`, and let clients trust the new authority"
        )


def _describe(restored: "Restored", kept: list[str]) -> dict[str, object]:
    return {
        "began_at": restored.manifest.began_at.isoformat(),
        "files": len(restored.manifest.files),
        "ended_tokens": restored.ended_tokens,
        "canceled_sessions": restored.canceled_sessions,
        "kept_tokens": kept,
        "has_keys": bool(restored.manifest.keys),
        "faults": restored.lacks,
    }
