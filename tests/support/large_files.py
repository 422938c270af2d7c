"""Large distributions that do not compress, written to disk piece by piece, and so made quickly.

Every file is what a build would make: a wheel with a right RECORD, an sdist with its PKG-INFO.
"""

import base64
import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MB: Final = 1_000_000
_BLOCK_BYTES: Final = 1 << 20
# What a file has beside its noise: metadata, RECORD and the headers of the archive.
_REST_BYTES: Final = 2_000


@dataclass(frozen=True, slots=True)
class Planned:
    """One file of a release: a wheel by its tag, or the sdist without one, and about its size."""

    size: int
    tag: str | None


# A release of one sdist and six wheels. pip and uv can install the one of `py3-none-any` here.
RELEASE: Final = (
    Planned(1 * MB, None),
    Planned(1 * MB, "cp313-cp313-win_amd64"),
    Planned(5 * MB, "cp313-cp313-macosx_11_0_arm64"),
    Planned(30 * MB, "cp313-cp313-win_arm64"),
    Planned(125 * MB, "py3-none-any"),
    Planned(125 * MB, "cp313-cp313-musllinux_1_2_aarch64"),
    Planned(500 * MB, "cp313-cp313-musllinux_1_2_s390x"),
)


@dataclass(frozen=True, slots=True)
class Release:
    """A release of a project, whose one module prints a greeting."""

    project: str = "widgets"
    version: str = "1.0"
    greeting: str = "large"

    @property
    def stem(self) -> str:
        return f"{self.project}-{self.version}"

    @property
    def metadata(self) -> bytes:
        lines = ("Metadata-Version: 2.2", f"Name: {self.project}", f"Version: {self.version}")
        return "".join(f"{line}\n" for line in (*lines, "Requires-Python: >=3.9", "")).encode()

    @property
    def source(self) -> bytes:
        return f"print({self.greeting!r})\n".encode()

    def build(self, folder: Path, plan: Sequence[Planned] = RELEASE, part: int = 1) -> list[Path]:
        """Write the files into a folder, each of a part of its size; return their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        return [self.write(folder, each.tag, each.size // part) for each in plan]

    def write(self, folder: Path, tag: str | None, size: int) -> Path:
        """Write one file of about this size; return its path."""
        if tag is None:
            return self._write_sdist(folder / f"{self.stem}.tar.gz", size)
        return self._write_wheel(folder / f"{self.stem}-{tag}.whl", tag, size)

    def _write_wheel(self, path: Path, tag: str, size: int) -> Path:
        info = f"{self.stem}.dist-info"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            record = [_add_noise(archive, f"{self.project}_noise.bin", path.name, size)]
            for name, content in (
                (f"{self.project}.py", self.source),
                (f"{info}/METADATA", self.metadata),
                (
                    f"{info}/WHEEL",
                    f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
                ),
            ):
                archive.writestr(zipfile.ZipInfo(name), content)
                record.append(_line(name, hashlib.sha256(content), len(content)))
            record.append(f"{info}/RECORD,,\n")
            archive.writestr(zipfile.ZipInfo(f"{info}/RECORD"), "".join(record))
        return path

    def _write_sdist(self, path: Path, size: int) -> Path:
        small = {"PKG-INFO": self.metadata, f"{self.project}.py": self.source}
        with (
            path.open("wb") as file,
            gzip.GzipFile("", "wb", compresslevel=0, fileobj=file, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w") as archive,
        ):
            for name, content in small.items():
                _add(archive, f"{self.stem}/{name}", io.BytesIO(content), len(content))
            noise = b"".join(_noise(path.name, size))
            _add(archive, f"{self.stem}/noise.bin", io.BytesIO(noise), len(noise))
        return path


def _add_noise(archive: zipfile.ZipFile, name: str, seed: str, size: int) -> str:
    """Add a member of noise; return its line of RECORD."""
    digest, length = hashlib.sha256(), 0
    member = zipfile.ZipInfo(name)
    member.file_size = size  # so that the header is right for its size
    with archive.open(member, "w") as file:
        for block in _noise(seed, size):
            digest.update(block)
            length += len(block)
            file.write(block)
    return _line(name, digest, length)


def _noise(seed: str, size: int) -> Iterator[bytes]:
    """Yield noise for a file of about this size, the same for the same seed.

    One block is repeated: what compresses looks back over much less than a block.
    """
    block = hashlib.shake_128(seed.encode()).digest(_BLOCK_BYTES)
    left = size - _REST_BYTES
    while left > 0:
        yield block[:left]
        left -= len(block)


def _line(name: str, digest: "hashlib._Hash", length: int) -> str:
    encoded = base64.urlsafe_b64encode(digest.digest()).decode().rstrip("=")
    return f"{name},sha256={encoded},{length}\n"


def _add(archive: tarfile.TarFile, name: str, content: io.BytesIO, length: int) -> None:
    member = tarfile.TarInfo(name)
    member.size = length
    archive.addfile(member, content)
