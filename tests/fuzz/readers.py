"""Readers of wheels: what each finds in one. Ours, Python's zipfile, Info-ZIP's unzip and uv.

If our reader accepts a wheel, the others must find the same: names, directories and bytes.
"""

import io
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pytp_broker.content import Held
from pytp_broker.errors import InvalidUpload
from pytp_broker.index.archives import read_metadata_file
from pytp_broker.index.archives.zips import Member, read_zip
from pytp_broker.index.distributions import parse_filename
from pytp_broker.index.metadata import parse_metadata
from tests.support.figures import WHEELS

_UV: Final = Path(sys.executable).with_name("uv")
_INSTALL: Final = [
    "pip",
    "install",
    "--quiet",
    "--no-deps",
    "--no-index",
    "--offline",
    "--no-cache",
    "--no-config",
    "--link-mode",
    "copy",
]
# Files that uv adds to those of the wheel.
_WRITTEN_BY_UV: Final = frozenset(
    {"INSTALLER", "RECORD", "REQUESTED", "direct_url.json", "uv_cache.json"}
)
_NAME_OF_DOS: Final = re.compile(rb'mismatching "local" filename|continuing with "central"')

Files = dict[bytes, bytes]


@dataclass(frozen=True)
class Wheel:
    """A wheel, and what was done to it."""

    filename: str
    content: bytes
    changes: tuple[str, ...] = ()

    @property
    def project(self) -> str:
        return self.filename.partition("-")[0]

    @property
    def members(self) -> dict[str, Member]:
        return read_zip(Held(self.content))

    @property
    def is_accepted(self) -> bool:
        try:
            parse_metadata(read_metadata_file(parse_filename(self.filename), Held(self.content)))
        except InvalidUpload:
            return False
        return True

    @property
    def files(self) -> Files:
        """Return the content of the wheel, as our reader finds it."""
        return {
            name.encode(): b"".join(member.unpack())
            for name, member in self.members.items()
            if member.is_file
        }


def read_by_zipfile(wheel: Wheel) -> Files:
    with zipfile.ZipFile(io.BytesIO(wheel.content)) as archive:
        infos = archive.infolist()
        assert [info.filename for info in infos] == list(wheel.members)
        assert all(archive.read(info) == b"" for info in infos if info.is_dir())
        return {info.filename.encode(): archive.read(info) for info in infos if not info.is_dir()}


def read_by_unzip(wheel: Wheel, folder: Path) -> Files:
    """Unpack the wheel with unzip, and undo its conversion of names from the alphabet of DOS."""
    file = folder / "wheel.zip"
    file.write_bytes(wheel.content)
    run = subprocess.run(
        ["unzip", "-qq", "-o", file, "-d", folder / "unzipped"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin:/usr/local/bin"},
    )
    # It may say that the directory's name is DOS's to it, and that it takes that one.
    lines = (run.stdout + run.stderr).splitlines()
    said = [line for line in lines if not _NAME_OF_DOS.search(line)]
    assert (run.returncode in {0, 1}, said) == (True, []), wheel.changes
    found = _files(folder / "unzipped")
    written_by_us = {
        member.unzip_path.encode("latin-1"): name.rstrip("/").encode()
        for name, member in wheel.members.items()
    }
    return {written_by_us.get(name, name): content for name, content in found.items()}


def read_by_uv(wheels: Sequence[Wheel], folder: Path) -> list[Files]:
    """Install the wheels, each of another project; return the files that belong to each."""
    for wheel in wheels:
        (folder / wheel.filename).write_bytes(wheel.content)
    paths = [folder / wheel.filename for wheel in wheels]
    target = folder / "installed"
    command: list[str | Path] = [_UV, *_INSTALL, "--python", sys.executable]
    command += ["--target", target, *paths]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    refused = [wheel.changes for wheel in wheels if f"{wheel.project} @" in run.stderr]
    assert run.returncode == 0, (run.stderr, refused)
    found = _files(target)
    return [_of_project(wheel, found) for wheel in wheels]


def _of_project(wheel: Wheel, installed: Files) -> Files:
    """Return a project's files, without RECORD, which uv writes anew."""
    return {
        name: content
        for name, content in installed.items()
        if name.startswith(wheel.project.encode()) and not _is_uvs(name)
    }


def _as_installed(wheel: Wheel) -> Files:
    """Return the files of a wheel under the paths where installers put them."""
    data = f"{wheel.project}-1.0.data/purelib/".encode()
    return {
        name.removeprefix(data): content
        for name, content in wheel.files.items()
        if not _is_uvs(name)
    }


def _is_uvs(name: bytes) -> bool:
    return name.rpartition(b"/")[2].decode(errors="replace") in _WRITTEN_BY_UV


def _files(folder: Path) -> Files:
    """Return all files below a folder, even unreadable ones."""
    found: Files = {}
    for path in sorted(folder.iterdir()):
        path.chmod(0o700)
        assert not path.is_symlink()
        name = path.name.encode(errors="surrogateescape")
        if path.is_dir():
            found |= {name + b"/" + inner: content for inner, content in _files(path).items()}
        else:
            found[name] = path.read_bytes()
    return found


def compare(wheels: Sequence[Wheel]) -> None:
    """Compare what each of the readers finds in wheels that we take."""
    with tempfile.TemporaryDirectory() as folder:
        for number, wheel in enumerate(wheels):
            own = Path(folder) / str(number)
            own.mkdir()
            assert read_by_zipfile(wheel) == wheel.files, ("zipfile", wheel.changes)
            assert read_by_unzip(wheel, own) == wheel.files, ("unzip", wheel.changes)
        for wheel, found in zip(wheels, read_by_uv(wheels, Path(folder)), strict=True):
            assert found == _as_installed(wheel), ("uv", wheel.changes)
    WHEELS["read alike"] += len(wheels)
