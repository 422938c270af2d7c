"""What is to be verified: a file with its name and its hash, or what stands for some."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from pytp_broker.client.verifying.outcome import NotVerifiedError
from pytp_broker.names import (
    SDIST_SUFFIX,
    ZIP_SUFFIX,
    NormalizedName,
    is_file_name,
    is_wheel,
    normalize,
)

# A lock file has a few hundred KB.
MAX_LIST_BYTES: Final = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Target:
    """A file to verify: its name, and the hash and size that it has or must have.

    ``source`` is what the user named: the file, or a list that allows it. ``size`` is None if the
    list does not say it. ``folder`` is where its receipt may lie.
    """

    filename: str
    sha256: str
    project: NormalizedName
    version: Version
    size: int | None
    source: str
    folder: Path


@dataclass(frozen=True, slots=True)
class HashedRequirement:
    """A line of a requirements file: a project, and the hashes of the files that may be installed.

    It names no files; the index knows them.
    """

    project: NormalizedName
    hashes: tuple[str, ...]
    source: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Unverifiable:
    """Something that is meant and cannot be verified; ``project`` is None if nobody knows it."""

    name: str
    source: str
    error: NotVerifiedError
    project: NormalizedName | None = None


Meant = Target | HashedRequirement | Unverifiable


def target_named(
    filename: str, sha256: str, size: int | None, source: str, folder: Path
) -> Target | Unverifiable:
    """Return the target of a file that a list names."""
    try:
        project, version = read_name(filename)
    except NotVerifiedError as error:
        return Unverifiable(filename, source, error)
    return Target(filename, sha256, project, version, size, source, folder)


def read_name(filename: str) -> tuple[NormalizedName, Version]:
    """Return the project and the version of a distribution's name; raise NotVerifiedError."""
    try:
        if is_file_name(filename) and is_wheel(filename):
            project, version, *_ = parse_wheel_filename(filename)
            return normalize(project), version
        if is_file_name(filename) and filename.endswith((SDIST_SUFFIX, ZIP_SUFFIX)):
            project, version = parse_sdist_filename(filename)
            return normalize(project), version
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion):
        pass
    raise NotVerifiedError("not-a-distribution", "this is not the name of a wheel or an sdist")


def read_list(path: Path) -> bytes:
    """Return the bytes of a lock file or a requirements file; raise NotVerifiedError."""
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_LIST_BYTES + 1)
    except OSError as error:
        raise unreadable(f"cannot be read: {error.strerror}") from None
    if len(octets) > MAX_LIST_BYTES:
        raise unreadable(f"has more than {MAX_LIST_BYTES // 1024**2} MiB")
    return octets


def unreadable(why: str) -> NotVerifiedError:
    """Return the error of a file that cannot be read."""
    return NotVerifiedError("unreadable", f"it {why}")
