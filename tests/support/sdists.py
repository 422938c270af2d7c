"""Sdists with links, and what Python's tarfile, GNU tar, bsdtar and uv unpack from an sdist."""

import gzip
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.support.distributions import SDIST_NAME, Distribution, metadata, sdist_members, tarred

TOP: Final = "widgets-1.0"
PYPROJECT: Final = b"[project]\nname = 'widgets'\nversion = '1.0'\n"

Members = Sequence[tuple[tarfile.TarInfo, bytes]]
Tree = dict[str, str | bytes]
Tool = Callable[[Path, Path], Path]


def member(name: str, kind: bytes, target: str = "", size: int = 0) -> tarfile.TarInfo:
    made = tarfile.TarInfo(f"{TOP}/{name}")
    made.type, made.linkname, made.size = kind, target, size
    return made


def symbolic(name: str, target: str) -> Members:
    return [(member(name, tarfile.SYMTYPE, target), b"")]


def top_link() -> tarfile.TarInfo:
    made = tarfile.TarInfo(TOP)
    made.type, made.linkname = tarfile.SYMTYPE, "src"
    return made


def hard(name: str, target: str) -> Members:
    return [(member(name, tarfile.LNKTYPE, target), b"")]


def plain(name: str, content: bytes = b"x") -> Members:
    return [(member(name, tarfile.REGTYPE), content)]


def directory(name: str) -> Members:
    return [(member(name, tarfile.DIRTYPE), b"")]


def packed(*members: Members, style: int = tarfile.PAX_FORMAT) -> Distribution:
    """Return an sdist of static metadata, which uv reads without building, and these members."""
    first = {
        **sdist_members(text=metadata().replace("2.1", "2.2")),
        f"{TOP}/pyproject.toml": PYPROJECT,
    }
    more = [made for several in members for made in several]
    content = tarred([*first.items(), *more], style)
    return Distribution(SDIST_NAME, gzip.compress(content))


def unpack_with_python(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / TOP


def unpack_with_tar(archive: Path, folder: Path) -> Path:
    subprocess.run(["tar", "-xzf", archive, "-C", folder], check=True, capture_output=True)
    return folder / TOP


def unpack_with_bsdtar(archive: Path, folder: Path) -> Path:
    subprocess.run(["bsdtar", "-xzf", archive, "-C", folder], check=True, capture_output=True)
    return folder / TOP


def unpack_with_uv(archive: Path, folder: Path) -> Path:
    """Have uv ask for the metadata: it unpacks the sdist into its cache, and builds nothing."""
    command = ["uv", "pip", "compile", "--quiet", "--offline", "--no-index", "--no-config"]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run(
        [*command, "--python", sys.executable, "--cache-dir", folder, "-"],
        input=f"widgets @ {archive.as_uri()}\n".encode(),
        env=environment,
        check=True,
        capture_output=True,
    )
    (found,) = {path.parent for path in folder.rglob("PKG-INFO")}
    return found


UNPACKERS: dict[str, Tool] = {
    # The filter came with Python 3.11.4.
    **({"tarfile": unpack_with_python} if hasattr(tarfile, "data_filter") else {}),
    **({"tar": unpack_with_tar} if shutil.which("tar") else {}),
    **({"bsdtar": unpack_with_bsdtar} if shutil.which("bsdtar") else {}),
    "uv": unpack_with_uv,
}


def read_tree(folder: Path) -> Tree:
    """Return what is in a folder: files with their content, links with their target."""
    found: Tree = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file() and not name.startswith(".cargo-ok"):
            found[name] = path.read_bytes()
    return found


def unpack(content: bytes, tool: Tool) -> Tree:
    with TemporaryDirectory() as name:
        folder = Path(name)
        archive = folder / SDIST_NAME
        archive.write_bytes(content)
        (folder / "unpacked").mkdir()
        return read_tree(tool(archive, folder / "unpacked"))
