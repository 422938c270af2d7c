"""Tiny distributions, written by hand, so that building them needs no backend and no network."""

import base64
import hashlib
import io
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TinyPackage:
    """A project whose one module prints a greeting when it is run."""

    name: str
    version: str = "1.0.0"
    greeting: str = "hello"

    @property
    def module(self) -> str:
        """Return the name of the module, which file names use too."""
        return self.name.replace("-", "_")

    @property
    def metadata(self) -> str:
        """Return the text of METADATA and of PKG-INFO."""
        lines = ("Metadata-Version: 2.4", f"Name: {self.name}", f"Version: {self.version}")
        return "\n".join((*lines, "Summary: A greeting", "Requires-Python: >=3.9", "", ""))

    @property
    def source(self) -> str:
        """Return the code."""
        return f"print({self.greeting!r})\n"

    def build(self, folder: Path) -> tuple[Path, Path]:
        """Write a wheel and an sdist into the folder and return their paths."""
        stem = f"{self.module}-{self.version}"
        wheel, sdist = folder / f"{stem}-py3-none-any.whl", folder / f"{stem}.tar.gz"
        folder.mkdir(parents=True, exist_ok=True)
        self._write_wheel(wheel, f"{stem}.dist-info")
        self._write_sdist(sdist, stem)
        return wheel, sdist

    def _write_wheel(self, path: Path, dist_info: str) -> None:
        tags = (
            "Wheel-Version: 1.0\nGenerator: pytp-broker\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        members = {
            f"{self.module}.py": self.source,
            f"{dist_info}/METADATA": self.metadata,
            f"{dist_info}/WHEEL": tags,
        }
        record = [f"{name},sha256={_digest(text)},{len(text)}" for name, text in members.items()]
        members[f"{dist_info}/RECORD"] = "\n".join([*record, f"{dist_info}/RECORD,,", ""])
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in members.items():
                archive.writestr(name, text)

    def _write_sdist(self, path: Path, root: str) -> None:
        project = f'[project]\nname = "{self.name}"\nversion = "{self.version}"\n'
        members = {
            f"{root}/PKG-INFO": self.metadata,
            f"{root}/pyproject.toml": project,
            f"{root}/{self.module}.py": self.source,
        }
        with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as archive:
            for name, text in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(text.encode())
                archive.addfile(member, io.BytesIO(text.encode()))


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
