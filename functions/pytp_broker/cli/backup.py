"""Back up the data folder of a broker on this machine while it runs, or check a backup."""

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytp_broker.cli import target
from pytp_broker.cli.backup_errors import backup_failures_told, tell_faults
from pytp_broker.cli.command import FAILED, MISUSED, CommandError, note, say
from pytp_broker.storage.data_folder import DATABASE, has_database

if TYPE_CHECKING:
    from pytp_broker.local.backups.making import Made
    from pytp_broker.local.backups.manifest import Manifest

_ON_AWS: Final = (
    "a broker on AWS is backed up by AWS: point-in-time recovery of its table, and versions of its "
    "bucket; docs/backup.md says how"
)
_WITHOUT_KEYS: Final = (
    "the backup has no private keys: clients must trust a new authority after a restore, and the "
    "broker needs a new key of receipts"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "A backup is one folder with one point in time, for `pytp-broker restore`. The next backup "
        "into the same folder copies what is new. A backup that is interrupted changes nothing: "
        "the folder still has the one before."
    )
    target.add_arguments(parser, required=False)
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="where the backup is kept")
    parser.add_argument(
        "--verify", type=Path, metavar="FOLDER", help="read all of a backup, and make none"
    )
    parser.add_argument(
        "--without-keys",
        action="store_true",
        help="leave out the private keys of the certificate authority and of receipts",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Make a backup or check one; return 1 if it lacks something. Raises CommandError."""
    _check(arguments)
    with backup_failures_told():
        if arguments.verify is not None:
            return _verify(arguments.verify, as_json=arguments.json)
        return _back_up(arguments)


def _check(arguments: argparse.Namespace) -> None:
    if arguments.stack is not None or arguments.table is not None:
        raise CommandError(_ON_AWS, MISUSED)
    is_making = arguments.data is not None and arguments.to is not None
    is_checking = arguments.verify is not None
    if is_making is is_checking or (is_checking and (arguments.data or arguments.to)):
        raise CommandError("give --data and --to, or --verify alone", MISUSED)
    if is_making and not has_database(arguments.data):
        raise CommandError(
            f"{arguments.data} is not the data folder of a broker: it has no {DATABASE}"
        )


def _back_up(arguments: argparse.Namespace) -> int:
    from pytp_broker.local.backups.making import back_up

    now = datetime.now(UTC)
    made = back_up(arguments.data, arguments.to, now, with_keys=not arguments.without_keys)
    if arguments.json:
        described = {**_describe(made.manifest), **_describe_work(made)}
        print(json.dumps({**described, "faults": made.lacks}))
    else:
        say(
            f"backed up {len(made.manifest.files):,} files to {arguments.to}: {made.copied:,} new, "
            f"{made.removed:,} removed; everything that was answered before "
            f"{made.manifest.began_at:%Y-%m-%d %H:%M:%S} UTC is in it"
        )
        tell_faults(made.lacks)
    if arguments.without_keys:
        note(_WITHOUT_KEYS)
    return FAILED if made.lacks else 0


def _verify(folder: Path, *, as_json: bool) -> int:
    from pytp_broker.local.backups.checking import check

    manifest, faults = check(folder)
    if as_json:
        print(json.dumps({**_describe(manifest), "faults": faults}))
    elif not faults:
        say(
            f"{folder} is a good backup of {manifest.began_at:%Y-%m-%d %H:%M:%S} UTC with "
            f"{len(manifest.files):,} files"
        )
    else:
        tell_faults(faults)
    return FAILED if faults else 0


def _describe(manifest: "Manifest") -> dict[str, Any]:
    return {
        "began_at": manifest.began_at.isoformat(),
        "version": manifest.version,
        "files": len(manifest.files),
        "bytes": sum(entry.size for entry in manifest.paths().values()),
        "has_keys": bool(manifest.keys),
    }


def _describe_work(made: "Made") -> dict[str, Any]:
    return {"copied": made.copied, "removed": made.removed}
