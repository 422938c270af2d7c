"""The last release, taken from git: its source, and what `make build` makes of it."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.support.cloud import PYTHON, ROOT, write_template

VERSION: Final = "0.1.0"
# It has no tag.
COMMIT: Final = "c5575aa2db48b8c4255b08720f73e4ef0505c43e"
# Where a build has the libraries that a file pins.
_PINS: Final = {
    "functions/requirements.txt": "BrokerFunction",
    "infra/attestations/requirements.txt": "AttestationLibraries/python",
}


def take_out(folder: Path) -> Path:
    """Return the source of the release; skip the test where git does not have its history."""
    folder.mkdir()
    archive = folder.with_suffix(".tar")
    done = subprocess.run(
        ["git", "archive", "--output", archive, COMMIT],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"git has no {COMMIT[:8]}, the release {VERSION}: {done.stderr.strip()}")
    shutil.unpack_archive(archive, folder)
    return folder


def build_release(source: Path, built: Path, folder: Path) -> Path:
    """Build the release, and return its template.

    Its libraries are those of this tree's build as long as both pin the same.
    """
    for pins, place in _PINS.items():
        if (source / pins).read_bytes() == (ROOT / pins).read_bytes():
            shutil.copytree(built / place, folder / place, copy_function=_link)
        else:
            _install(source / pins, folder / place)
    package = folder / "BrokerFunction" / "pytp_broker"
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree(source / "functions" / "pytp_broker", package)
    (folder / "template.yaml").write_text((source / "template.yaml").read_text())
    subprocess.run([PYTHON, source / "infra" / "finish_build.py", folder], check=True)
    return write_template(source / "template.yaml", folder)


def _install(pins: Path, folder: Path) -> None:
    """Install what a file pins, as `sam build` does."""
    options = ["--quiet", "--no-compile", "--no-deps", "--require-hashes"]
    places = ["--requirement", str(pins), "--target", str(folder)]
    pip = [str(PYTHON), "-m", "pip", "install", *options, *places]
    subprocess.run(pip, check=True, timeout=300)


def _link(source: str, target: str) -> None:
    # Python replaces a compiled file and does not write into it, so a link is as good as a copy.
    Path(target).hardlink_to(source)
