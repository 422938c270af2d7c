"""Read a distribution on the disk: its name, its size, its digest and its metadata."""

import hashlib
import tarfile
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Final

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from pytp_broker.names import SDIST_SUFFIX, ZIP_SUFFIX, is_file_name, is_wheel
from pytp_broker.redaction import printable

# Beside a file: PEP 740's attestations, where pypi-attestations puts them. Other tools have a word
# of their own in the place of `publish`.
ATTESTATION_SUFFIX: Final = ".publish.attestation"
ANY_ATTESTATION_SUFFIX: Final = ".attestation"
MAX_ATTESTATION_BYTES: Final = 1024 * 1024
_MAX_METADATA_BYTES: Final = 4 * 1024 * 1024
_MAX_MEMBERS: Final = 100_000
_PIECE_BYTES: Final = 1024 * 1024


class FileError(Exception):
    """A file cannot be published; the text says why and what to do."""


@dataclass(frozen=True)
class LocalFile:
    """A distribution on the disk, and what its name says."""

    path: Path
    size: int
    project: str
    version: Version
    is_wheel: bool

    @property
    def filename(self) -> str:
        """Return the name under which the file is published."""
        return self.path.name

    @cached_property
    def sha256(self) -> str:
        """Return the digest, which is computed when it is first needed; raise FileError."""
        digest = hashlib.sha256()
        try:
            with self.path.open("rb") as file:
                while piece := file.read(_PIECE_BYTES):
                    digest.update(piece)
        except OSError as error:
            raise FileError(f"cannot be read: {error.strerror}") from None
        return digest.hexdigest()

    @cached_property
    def attestations(self) -> bytes:
        """Return the JSON array of attestations beside the file; empty if there is none."""
        beside = sorted(filter(self._is_attestation, self.path.parent.iterdir()))
        members = [member for path in beside if (member := _read_members(path))]
        return b"[" + b",".join(members) + b"]" if beside else b""

    def _is_attestation(self, path: Path) -> bool:
        word = path.name.removeprefix(f"{self.filename}.").removesuffix(ANY_ATTESTATION_SUFFIX)
        is_beside = path.name == f"{self.filename}.{word}{ANY_ATTESTATION_SUFFIX}"
        return is_beside and "." not in word and path.is_file()

    @cached_property
    def metadata(self) -> bytes:
        """Return the metadata file inside; raise FileError."""
        try:
            return self._read_wheel() if self.is_wheel else self._read_sdist()
        except (OSError, EOFError, ValueError, zipfile.BadZipFile, tarfile.TarError) as error:
            raise FileError(f"is not a whole archive ({type(error).__name__})") from None

    def _read_wheel(self) -> bytes:
        with zipfile.ZipFile(self.path) as archive:
            for member in archive.infolist():
                if _is_metadata(member.filename, "METADATA", ".dist-info"):
                    with archive.open(member) as file:
                        return file.read(_MAX_METADATA_BYTES)
        raise FileError("has no METADATA in a `.dist-info` directory: build the wheel again")

    def _read_sdist(self) -> bytes:
        if self.filename.endswith(ZIP_SUFFIX):
            with zipfile.ZipFile(self.path) as archive:
                names = [n for n in archive.namelist() if _is_metadata(n, "PKG-INFO", "")]
                return archive.read(names[0])[:_MAX_METADATA_BYTES] if names else _no_pkg_info()
        with tarfile.open(self.path, "r|gz") as tar:
            for count, member in enumerate(tar):
                file = tar.extractfile(member) if _is_pkg_info(member) else None
                if file is not None:
                    return file.read(_MAX_METADATA_BYTES)
                if count > _MAX_MEMBERS:
                    break
        return _no_pkg_info()


def _read_members(path: Path) -> bytes:
    """Return the JSON objects in a file, which may be in an array; raise FileError."""
    octets = path.read_bytes() if path.stat().st_size <= MAX_ATTESTATION_BYTES else b""
    text = octets.strip()
    if text.startswith(b"[") and text.endswith(b"]"):
        return text[1:-1].strip()
    if not text.startswith(b"{"):
        raise FileError(f"{path.name} is not a JSON object or array of at most 1 MiB")
    return text


def _no_pkg_info() -> bytes:
    raise FileError("has no PKG-INFO in its directory: build the sdist again")


def _is_pkg_info(member: tarfile.TarInfo) -> bool:
    return member.isfile() and _is_metadata(member.name, "PKG-INFO", "")


def _is_metadata(name: str, filename: str, suffix: str) -> bool:
    parts = PurePosixPath(name).parts
    return len(parts) == 2 and parts[1] == filename and parts[0].endswith(suffix)  # noqa: PLR2004


def read_local(path: Path) -> LocalFile:
    """Return what a file's name says, without reading the file; raise FileError."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise FileError(f"cannot be read: {error.strerror}") from None
    if not path.is_file():
        raise FileError("is not a file")
    if not size:
        raise FileError("is empty")
    project, version = _read_name(path.name)
    return LocalFile(path, size, project, version, is_wheel(path.name))


def _read_name(filename: str) -> tuple[str, Version]:
    try:
        if is_file_name(filename) and is_wheel(filename):
            return parse_wheel_filename(filename)[:2]
        if is_file_name(filename) and filename.endswith((SDIST_SUFFIX, ZIP_SUFFIX)):
            return parse_sdist_filename(filename)
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion) as error:
        raise FileError(
            f"has a name that installers do not read: {printable(str(error))}"
        ) from None
    raise FileError("is not a wheel (.whl) and not an sdist (.tar.gz)")
