"""A folder of 200 distributions as an old index has them: real formats, and old file names too."""

import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.support.distributions import (
    Distribution,
    metadata,
    sdist,
    sdist_members,
    tarred,
    wheel,
    zipped,
)

# When the files of the folder were changed last.
CHANGED_AT: Final = 1_500_000_000
COUNT: Final = 200

PYPROJECT: Final = b"""[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
BACKEND: Final = """
import zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    wheel, record = "{stem}-py3-none-any.whl", "{stem}.dist-info/RECORD"
    tags = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    files = {{
        "{module}.py": "print('{version}')\\n",
        "{stem}.dist-info/METADATA": open("PKG-INFO").read(),
        "{stem}.dist-info/WHEEL": tags,
    }}
    files[record] = "".join(f"{{name}},,\\n" for name in [*files, record])
    with zipfile.ZipFile(f"{{folder}}/{{wheel}}", "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return wheel
"""


def zip_sdist(name: str = "widgets", version: str = "1.0", filename: str = "") -> Distribution:
    """Return an sdist that is a zip archive, as Windows made them."""
    content = zipped(sdist_members(name, version).items())
    return Distribution(filename or f"{name}-{version}.zip", content)


def buildable(name: str, version: str, filename: str) -> Distribution:
    """Return an sdist that pip can build without a network; its module prints the version."""
    module = name.replace("-", "_").replace(".", "_").lower()
    stem = f"{module}-{version}"
    backend = BACKEND.format(stem=stem, module=module, version=version)
    members = {
        f"{stem}/PKG-INFO": metadata(name, version).encode(),
        f"{stem}/pyproject.toml": PYPROJECT,
        f"{stem}/backend.py": backend.encode(),
    }
    if filename.endswith(".zip"):
        return Distribution(filename, zipped(members.items()))
    return Distribution(filename, gzip.compress(tarred(members.items()), mtime=0))


def distributions() -> Iterator[Distribution]:
    """Yield 200 files: 48 projects with four files each, and eight with old names."""
    for number in range(48):
        name = f"project-{number:02}"
        for version in ("1.0", "1.1"):
            yield wheel(name, version)
            yield sdist(name, version)
    yield buildable("My.Package", "1.0", "My.Package-1.0.tar.gz")
    yield buildable("my-package", "1.1", "my-package-1.1.tar.gz")
    yield buildable("my-package", "1.2", "my-package-1.2.zip")
    yield zip_sdist("Old_Tool", "2.0")
    yield sdist("old-tool", "2.1.0", filename="Old-Tool-2.1.tar.gz")
    yield wheel("old-tool", "2.1", filename="Old_Tool-2.1-py2.py3-none-any.whl")
    yield wheel("old-tool", "2.1.0", filename="old_tool-2.1.0-1-py3-none-any.whl")
    yield sdist("old-tool", "3.0b1", filename="old-tool-3.0b1.tar.gz")


def write_folder(folder: Path) -> dict[str, Distribution]:
    """Write the 200 files; return them by name."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {each.filename: each for each in distributions()}
    for filename, each in found.items():
        path = folder / filename
        path.write_bytes(each.content)
        os.utime(path, (CHANGED_AT, CHANGED_AT))
    assert len(found) == COUNT
    return found
