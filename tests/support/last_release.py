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
_PINS: Final = ("functions/requirements.txt", "infra/attestations/requirements.txt")


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
    """Build the release beside the libraries of this tree's build; return its template.

    The libraries are the most of a build. They are those of the release as long as both pin the
    same.
    """
    for pins in _PINS:
        if (source / pins).read_bytes() != (ROOT / pins).read_bytes():
            pytest.fail(f"{VERSION} has another {pins}: build it with `sam build` here")
    shutil.copytree(built / "BrokerFunction", folder / "BrokerFunction", copy_function=_link)
    shutil.copytree(
        built / "AttestationLibraries", folder / "AttestationLibraries", copy_function=_link
    )
    package = folder / "BrokerFunction" / "pytp_broker"
    shutil.rmtree(package)
    shutil.copytree(source / "functions" / "pytp_broker", package)
    (folder / "template.yaml").write_text((source / "template.yaml").read_text())
    subprocess.run([PYTHON, source / "infra" / "finish_build.py", folder], check=True)
    return write_template(source / "template.yaml", folder)


def _link(source: str, target: str) -> None:
    # Python replaces a compiled file and does not write into it, so a link is as good as a copy.
    Path(target).hardlink_to(source)
