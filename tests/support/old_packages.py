"""A folder of 200 distributions as an old index has them: real formats, and old file names too."""

import os
from collections.abc import Iterator
from pathlib import Path

from tests.support.distributions import (
    Distribution,
    metadata,
    sdist,
    sdist_members,
    wheel,
    wheel_members,
    zipped,
)

# When the files of the folder were changed last.
CHANGED_AT = 1_500_000_000
COUNT = 200


def zip_sdist(name: str = "widgets", version: str = "1.0", filename: str = "") -> Distribution:
    """Return an sdist that is a zip archive, as Windows made them."""
    content = zipped(sdist_members(name, version).items())
    return Distribution(filename or f"{name}-{version}.zip", content)


def old_wheel(name: str, version: str, filename: str, directory: str) -> Distribution:
    """Return a wheel whose file and directory spell the project as it was registered."""
    members = {
        path.replace(f"{name.lower().replace('.', '_').replace('-', '_')}-", f"{directory}-"): text
        for path, text in wheel_members(name, version, metadata(name, version)).items()
    }
    return wheel(members=members, filename=filename)


def distributions() -> Iterator[Distribution]:
    """Yield 200 files: 48 projects with four files each, and eight with old names."""
    for number in range(48):
        name = f"project-{number:02}"
        for version in ("1.0", "1.1"):
            yield wheel(name, version)
            yield sdist(name, version)
    yield sdist("my-package", "1.0", filename="My.Package-1.0.tar.gz")
    yield sdist("my-package", "1.1", filename="my-package-1.1.tar.gz")
    yield zip_sdist("my-package", "1.2")
    yield zip_sdist("Old_Tool", "2.0", "Old_Tool-2.0.zip")
    yield sdist("old-tool", "2.1.0", filename="Old-Tool-2.1.tar.gz")
    yield wheel("old-tool", "2.1", filename="Old_Tool-2.1-py2.py3-none-any.whl")
    yield wheel("old-tool", "2.1.0", filename="old_tool-2.1.0-1-py3-none-any.whl")
    yield sdist("old-tool", "3.0b1", filename="old_tool-3.0-b1.tar.gz".replace("-b1", "b1"))


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
