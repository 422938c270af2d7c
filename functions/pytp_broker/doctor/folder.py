"""Checks of a data folder: who may read it, its disk, its database, its files and its server."""

import hashlib
import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pytp_broker import __version__
from pytp_broker.doctor.findings import Finding, Flaw, NotCheckedError, warning, well
from pytp_broker.errors import StoreUnavailable
from pytp_broker.local.key_folder import FOLDER as KEYS
from pytp_broker.local.lock import last_holder
from pytp_broker.redaction import printable
from pytp_broker.storage.data_folder import DATABASE, FILES
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.file_store import keys_of
from pytp_broker.storage.sqlite.layout import is_current
from pytp_broker.storage.survey import DeletedFile

if TYPE_CHECKING:
    from pytp_broker.doctor.visit import Visit

_OTHERS: Final = stat.S_IRWXO
_LITTLE_BYTES, _LEAST_BYTES = 2 * 1024**3, 100 * 1024**2
_LARGE_LOG_BYTES: Final = 256 * 1024**2
# How many files a run looks for, and how many it names; `--thorough` looks for all, and hashes.
_SAMPLE: Final = 2000
_NAMED: Final = 5
_HOUR: Final = 3600

FOLDER_READABLE: Final = Flaw(
    "folder-readable", "run chmod 700 {data}, and think about who may have read it until now"
)
KEY_READABLE: Final = Flaw(
    "key-readable",
    "run chmod 600 {path}; if others may have read it, make a new key: receipt-key rotate, or for "
    "tls move {data}/tls away and start the server again",
)
DISK_LOW: Final = warning("disk-low", "free room on the disk of {data}, or move it to a larger one")
DISK_FULL: Final = Flaw("disk-full", "free room on the disk of {data} now: uploads fail")
DATABASE_BROKEN: Final = Flaw(
    "database-broken",
    "stop the server, keep a copy of {data}, and restore {database} from the last backup",
)
DATABASE_NEWER: Final = Flaw(
    "database-newer", "use a pytp-broker that is as new as the one that wrote {data}"
)
DATABASE_OLDER: Final = warning(
    "database-older", "start serve of this version on {data}: it brings the database up to date"
)
LOG_LARGE: Final = warning(
    "wal-large",
    "end whatever reads the database for hours, such as a backup program or an open sqlite3; if "
    "nothing does, restart the server",
)
NOT_SERVED: Final = Flaw("not-served", "start it: pytp-broker serve --data {data}")
SERVER_OLDER: Final = Flaw(
    "server-version", "restart the server, so that it is the version that is installed"
)
FILE_LOST: Final = Flaw(
    "file-lost",
    "restore {path} from a backup, or delete the file for clients: pytp-broker file delete "
    "{registry} {project} {filename} --reason lost {target}",
)
FILE_DAMAGED: Final = Flaw(
    "file-damaged",
    "restore {path} from a backup, or delete the file for clients: pytp-broker file delete "
    "{registry} {project} {filename} --reason damaged {target}",
)
FILE_UNKNOWN: Final = warning(
    "file-unknown",
    "nobody can see these bytes, which interrupted uploads left; remove them if you need the room",
)


def look_at_permissions(visit: "Visit") -> Iterator[Finding]:
    """Ask who may read the folder and its private keys."""
    folder = _folder(visit)
    if os.name != "posix":
        raise NotCheckedError("this system has no such permissions")
    found = [*_open_to_others(folder)]
    yield from found or [well(f"nobody else may read {folder} and its keys")]


def _open_to_others(folder: Path) -> Iterator[Finding]:
    mode = folder.stat().st_mode
    if mode & _OTHERS:
        yield FOLDER_READABLE.found(f"everybody on this machine may enter {folder}: {_shown(mode)}")
    for path in [*folder.glob("tls/*.key"), *folder.glob(f"{KEYS}/*.pem"), folder / DATABASE]:
        if path.exists() and path.stat().st_mode & _OTHERS:
            shown = _shown(path.stat().st_mode)
            yield KEY_READABLE.found(f"everybody may read {path}: {shown}", path=str(path))


def _shown(mode: int) -> str:
    return f"its mode is {stat.S_IMODE(mode):03o}"


def look_at_disk(visit: "Visit") -> Iterator[Finding]:
    """Ask how much room is left."""
    folder = _folder(visit)
    free = shutil.disk_usage(folder).free
    seen = f"{free / 1024**3:.1f} GiB are free on the disk of {folder}"
    if free < _LEAST_BYTES:
        yield DISK_FULL.found(seen)
    else:
        yield DISK_LOW.found(seen) if free < _LITTLE_BYTES else well(seen)


def look_at_database(visit: "Visit") -> Iterator[Finding]:
    """Let SQLite check its file, without writing into it."""
    path = _folder(visit) / DATABASE
    try:
        with _opened(path) as database:
            said = printable(str(database.execute("PRAGMA quick_check(5)").fetchall()[0][0]))
            is_ours = is_current(database)
    except sqlite3.Error as error:
        kind = getattr(error, "sqlite_errorname", type(error).__name__)
        yield DATABASE_BROKEN.found(f"{path} cannot be read: {kind}", database=DATABASE)
    except StoreUnavailable as problem:
        yield DATABASE_NEWER.found(printable(problem.detail))
    else:
        if said != "ok":
            yield DATABASE_BROKEN.found(f"{path} is broken: {said}", database=DATABASE)
        elif not is_ours:
            yield DATABASE_OLDER.found(f"{path} has the layout of an older version")
        else:
            yield well(f"SQLite finds nothing wrong with {path}")


def may_be_opened(path: Path) -> bool:
    """Say whether this version reads a database without changing it; nothing is changed."""
    try:
        with _opened(path) as database:
            return is_current(database)
    except (sqlite3.Error, StoreUnavailable):
        return False


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        yield database


def look_at_log(visit: "Visit") -> Iterator[Finding]:
    """Ask how large the database's write-ahead log has become."""
    log = _folder(visit) / f"{DATABASE}-wal"
    size = log.stat().st_size if log.exists() else 0
    seen = f"{log.name} has {size / 1024**2:.1f} MiB"
    yield LOG_LARGE.found(seen) if size > _LARGE_LOG_BYTES else well(seen)


def look_at_server(visit: "Visit") -> Iterator[Finding]:
    """Ask whether the server that holds the folder is alive, and which version it is."""
    holder = last_holder(_folder(visit))
    if holder is None:
        yield NOT_SERVED.found("no server has held the folder")
    elif not _is_alive(holder.pid):
        yield NOT_SERVED.found(f"process {holder.pid}, which held the folder, has ended")
    elif holder.version != __version__:
        shown = printable(holder.version) or "older than 0.2.0"
        yield SERVER_OLDER.found(f"the server is {shown}, and this command is {__version__}")
    else:
        yield well(f"process {holder.pid} serves {printable(holder.address)}, as {__version__}")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def look_at_files(visit: "Visit") -> Iterator[Finding]:
    """Look for the bytes of published files, and for bytes that no record knows."""
    store, setup = visit.store, visit.setup
    assert store is not None  # noqa: S101 - the check needs it
    assert setup is not None  # noqa: S101 - it comes with the store
    count, bad = 0, 0
    known: set[str] = set()
    for registry in setup.configuration.registries:
        pieces = list(store.survey(registry))
        gone = {piece.filename for piece in pieces if isinstance(piece, DeletedFile)}
        records = [piece for piece in pieces if isinstance(piece, PublishedFile)]
        known |= {key for file in records for key in keys_of(file)}
        files = [file for file in records if file.filename not in gone]
        for file in files if visit.thorough else islice(files, _SAMPLE):
            count += 1
            finding = _check_file(file, _folder(visit) / FILES, thorough=visit.thorough)
            if finding is not None:
                bad += 1
                if bad <= _NAMED:
                    yield finding
    yield from _unknown(_folder(visit) / FILES, known)
    if bad == 0:
        yield well(f"the bytes of {count} published files are there")


def _check_file(file: PublishedFile, folder: Path, *, thorough: bool) -> Finding | None:
    path = folder / keys_of(file)[0]
    names = {
        "path": str(path),
        "registry": file.registry,
        "project": file.project,
        "filename": file.filename,
    }
    if not path.is_file():
        return FILE_LOST.found(f"{path} is not there", **names)
    if path.stat().st_size != file.size:
        sizes = f"{path.stat().st_size} bytes, and was published with {file.size}"
        return FILE_DAMAGED.found(f"{path} has {sizes}", **names)
    if thorough and _sha256(path) != file.sha256:
        return FILE_DAMAGED.found(f"{path} has other bytes than were published", **names)
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unknown(folder: Path, known: set[str]) -> Iterator[Finding]:
    """Yield a finding for files that no record names; a young one may be an upload at work."""
    found = []
    for path in islice(folder.glob("files/*/*/*"), _SAMPLE):
        is_old = path.stat().st_mtime < time.time() - _HOUR
        if path.relative_to(folder).as_posix() not in known and is_old:
            found.append(path)
    if found:
        yield FILE_UNKNOWN.found(f"{len(found)} files belong to no record, such as {found[0]}")


def _folder(visit: "Visit") -> Path:
    assert visit.folder is not None  # noqa: S101 - the check needs it
    return visit.folder
