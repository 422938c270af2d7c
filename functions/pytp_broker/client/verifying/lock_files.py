"""Read which files a `pylock.toml` (PEP 751) allows, with their hashes."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from packaging.pylock import (
    Package,
    PackageArchive,
    PackageSdist,
    PackageWheel,
    Pylock,
    PylockValidationError,
)

from pytp_broker.client.verifying.outcome import NotVerifiedError
from pytp_broker.client.verifying.targets import (
    Meant,
    Unverifiable,
    read_list,
    target_named,
    unreadable,
)
from pytp_broker.names import normalize

_SHA256: Final = re.compile("[0-9a-f]{64}")

_File = PackageWheel | PackageSdist | PackageArchive


def read_pylock(path: Path) -> Iterator[Meant]:
    """Yield every file that a lock file allows; raise NotVerifiedError if it is not one."""
    try:
        lock = Pylock.from_dict(tomllib.loads(read_list(path).decode()))
    except (PylockValidationError, ValueError, RecursionError) as error:
        raise unreadable(f"is not a lock file of PEP 751: {error}") from None
    for package in lock.packages:
        yield from _files_of(package, path)
    if not lock.packages:
        raise NotVerifiedError("empty-list", "it allows no file")


def _files_of(package: Package, path: Path) -> Iterator[Meant]:
    files: list[_File] = [*(package.wheels or ())]
    files += [file for file in (package.sdist, package.archive) if file is not None]
    for file in files:
        yield _read_file(package, file, path)
    if not files:
        why = "it comes from a repository or a folder, and no registry has published that"
        error = NotVerifiedError("not-from-an-index", why)
        yield Unverifiable(package.name, str(path), error, normalize(package.name))


def _read_file(package: Package, file: _File, path: Path) -> Meant:
    filename, sha256 = _name_of(file), file.hashes.get("sha256", "").lower()
    if not _SHA256.fullmatch(sha256):
        error = NotVerifiedError("no-hash", "the lock file has no sha256 of it")
        return Unverifiable(filename, str(path), error, normalize(package.name))
    return target_named(filename, sha256, file.size, str(path), path.parent)


def _name_of(file: _File) -> str:
    """Return the name of a file: its own, or the last part of its path or its URL."""
    named = None if isinstance(file, PackageArchive) else file.name
    if named or file.path:
        return named or re.split(r"[/\\]", file.path or "")[-1]
    return unquote(urlsplit(file.url or "").path.rpartition("/")[2])
