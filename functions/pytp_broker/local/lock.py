"""One server a data folder: who serves it, and that nobody else does."""

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
    """Another server works on the folder; the text says which."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A server that holds a folder, as another one tells its operator."""

    pid: int
    user: str
    address: str


@contextmanager
def locked(folder: Path, holder: Holder) -> Iterator[None]:
    """Hold the folder for one server; raise FolderTakenError when another one holds it.

    The system lets go of the lock when the process ends, however it ends. The file stays: only its
    lock counts.
    """
    descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _try_lock(descriptor):
            raise FolderTakenError(_describe(folder, descriptor))
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps(asdict(holder)).encode())
        yield
    finally:
        os.close(descriptor)


def last_host(folder: Path) -> str | None:
    """Return the host name that clients used of the last server on the folder, if one is known."""
    try:
        holder = Holder(**json.loads((folder / LOCK_FILE).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
    return urlsplit(holder.address).hostname


def _try_lock(descriptor: int) -> bool:
    try:
        import fcntl
    except ImportError:  # pragma: no cover - Windows: nobody is kept out there
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
    except (ValueError, TypeError):  # it has only just taken the lock
        who = "another process serves it"
    return (
        f"the data folder {folder} is in use: {who}; change the configuration of that server with "
        "`pytp-broker apply --data`, or give this one a folder of its own"
    )
