"""The last backup of a soak, restored: it has what was answered before it began."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from pytp_broker.content import read_all
from pytp_broker.storage.data_folder import DATABASE
from pytp_broker.storage.file_folder import FolderFiles
from pytp_broker.storage.file_store import keys_of
from pytp_broker.storage.sqlite import SqliteStore
from tests.soak.rules import LOSS, Finding
from tests.soak.site import STEADY, Site
from tests.soak.story import FileKey, Story

BACKUP: Final = "operator backup"
_CHECK: Final = "a backup has what was answered before it"


def inspect_backup(site: Site, story: Story) -> Iterator[Finding]:
    """Restore the last backup that succeeded, and look for every file in it."""
    made = [entry for entry in story.of(BACKUP) if entry.status == 0]
    if not made:
        return
    with TemporaryDirectory(dir=site.folder) as name:
        data = Path(name) / "data"
        said = _restore(site, data)
        if said:
            yield Finding(LOSS, _CHECK, said)
            return
        there = _files(data)
        for key in sorted(story.taken_before(made[-1].begin) - there):
            yield Finding(LOSS, _CHECK, " ".join(key))


def _restore(site: Site, data: Path) -> str:
    """Restore the backup; return what the command complains about."""
    program = (sys.executable, "-m", "pytp_broker.cli", "restore")
    ended = subprocess.run(
        (*program, str(site.backups), "--data", str(data)),
        env={**os.environ, "HOME": str(site.folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if ended.returncode == 0 else ended.stderr[-1000:]


def _files(data: Path) -> frozenset[FileKey]:
    """Return the files of a data folder whose bytes are there and right."""
    files = FolderFiles(data / "files")
    found = set()
    with closing(SqliteStore(data / DATABASE)) as store:
        for project in STEADY:
            for file in store.list_files("acme", project):
                with files.open(keys_of(file)[0]) as content:
                    if hashlib.sha256(read_all(content)).hexdigest() == file.sha256:
                        found.add((file.filename, file.sha256))
    return frozenset(found)
