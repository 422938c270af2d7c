"""Look at every file before anything is sent, and group them by release."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.metadata import parse_email
from packaging.version import InvalidVersion, Version

from pytp_broker.client.publishing.outcome import PublishError
from pytp_broker.client.uploads.local_files import FileError, LocalFile, read_local
from pytp_broker.names import normalize
from pytp_broker.redaction import printable

# Hashing lets other threads run.
_AT_ONCE: Final = 4


@dataclass(frozen=True, slots=True)
class Release:
    """The files of one version of one project."""

    project: str
    version: str
    files: tuple[LocalFile, ...]

    @property
    def name(self) -> str:
        """Return project and version."""
        return f"{self.project} {self.version}"


def read_releases(paths: Sequence[Path]) -> list[Release]:
    """Return the releases of some files; raise PublishError with all problems of all files."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        read = list(pool.map(_read, paths))
    problems = [each for each in read if isinstance(each, str)]
    files = [each for each in read if isinstance(each, LocalFile)]
    problems += _twice([file.filename for file in files])
    if problems:
        raise PublishError(problems)
    return _group(files)


def _read(path: Path) -> LocalFile | str:
    try:
        file = read_local(path)
        _check_inside(file)
        _ = file.sha256, file.attestations
    except FileError as error:
        return f"{printable(path.name)} {error}"
    return file


def _check_inside(file: LocalFile) -> None:
    """Check that the metadata names the project and the version of the file's name."""
    raw, _ = parse_email(file.metadata)
    name, version = raw.get("name", ""), raw.get("version", "")
    if normalize(name) != normalize(file.project):
        raise FileError(f"has metadata of the project `{printable(name)}`: build it again")
    with suppress(InvalidVersion):
        if Version(version) == file.version:
            return
    raise FileError(f"has metadata of the version `{printable(version)}`: build it again")


def _twice(names: list[str]) -> list[str]:
    return [
        f"{printable(name)} is given twice, from two folders"
        for name in sorted({name for name in names if names.count(name) > 1})
    ]


def _group(files: list[LocalFile]) -> list[Release]:
    groups: dict[tuple[str, str], list[LocalFile]] = {}
    for file in files:
        groups.setdefault((normalize(file.project), str(file.version)), []).append(file)
    return [Release(*key, tuple(group)) for key, group in groups.items()]
