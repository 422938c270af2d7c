"""Find what the user means: distributions, folders of them, and files that list some."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pytp_broker.client.uploads.local_files import FileError, read_local
from pytp_broker.client.verifying.lock_files import read_pylock
from pytp_broker.client.verifying.outcome import NotVerifiedError, VerifyError
from pytp_broker.client.verifying.requirement_files import read_requirements
from pytp_broker.client.verifying.targets import (
    HashedRequirement,
    Meant,
    Target,
    Unverifiable,
    read_name,
    unreadable,
)
from pytp_broker.names import (
    SDIST_SUFFIX,
    ZIP_SUFFIX,
    InvalidNameError,
    NormalizedName,
    read_project,
)
from pytp_broker.redaction import printable

# pip and uv install archives of many kinds, and a folder of downloads may have any of them.
_INSTALLABLE: Final = (
    *(".whl", SDIST_SUFFIX, ZIP_SUFFIX, ".tgz", ".tar", ".tar.bz2", ".tbz", ".tbz2"),
    *(".tar.xz", ".txz", ".tar.lz", ".tlz", ".tar.lzma", ".tar.zst"),
)
# PEP 751.
_PYLOCK: Final = re.compile(r"pylock(\.[^.]+)?\.toml")
# What lies beside a distribution in `dist/` and says where it comes from.
_EVIDENCE: Final = re.compile(r"(.+)\.(?:receipt|provenance|[^.]+\.attestation)")


def find_meant(paths: Sequence[Path]) -> list[Meant]:
    """Return what some paths mean, in their order.

    A shell makes `dist/*` to the files there, so what is about another one of them means nothing.
    """
    named = {*paths}
    return [each for path in paths if not _is_about(path, named) for each in _meant_by(path)]


def _is_about(path: Path, named: Collection[Path]) -> bool:
    """Say whether a path is that of a receipt or an attestation of a file that is named too."""
    found = _EVIDENCE.fullmatch(path.name)
    return found is not None and path.with_name(found[1]) in named


def is_list(path: Path) -> bool:
    """Say whether a path is that of a file which lists others."""
    return _PYLOCK.fullmatch(path.name) is not None or path.suffix == ".txt"


def _meant_by(path: Path) -> Iterator[Meant]:
    try:
        if path.is_dir():
            yield from _in_folder(path)
        elif _PYLOCK.fullmatch(path.name):
            yield from read_pylock(path)
        elif path.suffix == ".txt":
            yield from read_requirements(path)
        else:
            yield _on_disk(path)
    except NotVerifiedError as error:
        yield Unverifiable(path.name, str(path), error)


def _in_folder(folder: Path) -> Iterable[Meant]:
    """Return the distributions of a folder; others may lie beside them in `dist/`."""
    try:
        paths = sorted(path for path in folder.iterdir() if _is_distribution(path.name))
    except OSError as error:
        raise unreadable(f"cannot be read: {error.strerror}") from None
    if not paths:
        raise NotVerifiedError("empty-folder", "it has no wheel and no sdist")
    for path in paths:
        try:
            yield _on_disk(path)
        except NotVerifiedError as error:
            yield Unverifiable(path.name, str(path), error)


def _is_distribution(name: str) -> bool:
    """Say whether pip or uv may install a file of this name, also one that no index takes now."""
    return name.lower().endswith(_INSTALLABLE)


def _on_disk(path: Path) -> Target:
    project, version = read_name(path.name)
    try:
        file = read_local(path)
        sha256 = file.sha256
    except FileError as error:
        raise unreadable(str(error)) from None
    return Target(path.name, sha256, project, version, file.size, str(path), path.parent)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is to be verified, and the names of what the user wants to leave out."""

    meant: Sequence[Meant]
    left_out: Sequence[str]


def choose(meant: Sequence[Meant], projects: Sequence[str] | None) -> Chosen:
    """Return what belongs to some projects, or everything; raise VerifyError if that is nothing.

    Something whose project nobody knows is never left out.
    """
    if projects is None:
        return Chosen(meant, ())
    wanted = [_read_project(text) for text in projects]
    kept = [each for each in meant if each.project in {None, *wanted}]
    missing = [name for name in wanted if name not in {each.project for each in meant}]
    if missing:
        raise VerifyError(
            [f"--project {name}: there is no file of this project" for name in missing]
        )
    return Chosen(kept, [_name_of(each) for each in meant if each.project not in {None, *wanted}])


def _read_project(text: str) -> NormalizedName:
    try:
        return read_project(text)
    except InvalidNameError as mistake:
        raise VerifyError(f"--project {printable(text)}: {mistake}") from None


def _name_of(each: Meant) -> str:
    if isinstance(each, Target):
        return each.filename
    return each.project if isinstance(each, HashedRequirement) else each.name
