"""Lock a data folder, so that one server at a time serves it."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

LOCK_FILE: Final = "serve.lock"


class FolderTakenError(Exception):
    """Another server uses the folder; the text says which one."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The server that holds a folder, described for operators; an old one says no version."""

    pid: int
    user: str
    address: str
    version: str = ""


@contextmanager
def locked(folder: Path, holder: Holder) -> Iterator[None]:
    """Hold the folder for one server; raise FolderTakenError when another one holds it.

    The system releases the lock when the process ends, even if it is killed. The file stays; only
    its lock counts.
    """
    descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not try_lock(descriptor):
            raise FolderTakenError(_describe(folder, descriptor))
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps(asdict(holder)).encode())
        yield
    finally:
        os.close(descriptor)


def last_holder(folder: Path) -> Holder | None:
    """Return the last server on the folder, which may have ended, or None."""
    try:
        return Holder(**json.loads((folder / LOCK_FILE).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def last_host(folder: Path) -> str | None:
    """Return the host name of the last server on the folder as clients used it, or None."""
    holder = last_holder(folder)
    return urlsplit(holder.address).hostname if holder else None


def try_lock(descriptor: int) -> bool:
    """Lock an open file or folder for this process; say whether no other one holds it."""
    try:
        import fcntl
    except ImportError:  # pragma: no cover - on Windows there is no lock
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _describe(folder: Path, descriptor: int) -> str:
    try:
        holder = Holder(**json.loads(os.read(descriptor, 4096)))
        who = f"process {holder.pid} of {holder.user} serves it at {holder.address}"
    except (ValueError, TypeError):  # the holder has the lock, and has not described itself yet
        who = "another process serves it"
    return (
        f"the data folder {folder} is in use: {who}; change the configuration of that server with "
        "`pytp-broker apply --data`, or give this one a folder of its own"
    )
