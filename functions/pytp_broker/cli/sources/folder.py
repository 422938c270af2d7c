"""A folder of distributions, such as that of pypiserver, as a source of an import."""

import os
import stat
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pytp_broker.cli.sources.file_kinds import is_distribution
from pytp_broker.cli.sources.source import Listing, SourceError, Stray, Stream
from pytp_broker.errors import InvalidUpload
from pytp_broker.index.distributions import read_filename
from pytp_broker.index.offers import Offer, OfferedProject
from pytp_broker.names import NormalizedName
from pytp_broker.redaction import legible, printable

_PIECE_BYTES: Final = 64 * 1024
# A pipe must not make us wait for its writer.
_OPEN_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)


class Folder:
    """A folder and the folders in it; names that begin with a dot are left out.

    A symbolic link is followed only to a file in the same folder: another one could lead to
    anything on this machine.
    """

    def __init__(self, path: Path) -> None:
        self._root = path.resolve()
        self._projects: dict[NormalizedName, list[Offer]] = {}
        self._left_out: dict[NormalizedName, int] = {}

    @property
    def name(self) -> str:
        """Return the folder as a `file:` URL."""
        return legible(self._root.as_uri())

    @property
    def is_index(self) -> bool:
        """Return False: a folder has no pages, and no digests."""
        return False

    def list_projects(self) -> Listing:
        """Look for distributions in the folder; raise SourceError if it cannot be read."""
        strays: list[Stray] = []
        for found in self._walk(self._root, strays):
            try:
                self._add(found)
            except InvalidUpload as problem:
                strays.append(Stray(printable(found.name), problem.detail))
        return Listing(sorted(self._projects), strays)

    def _walk(self, folder: Path, strays: list[Stray]) -> Iterator[Path]:
        """Yield the distributions in the order of their names."""
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            raise SourceError(f"cannot read the folder {folder}: {error.strerror}") from None
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(Path(entry.path), strays)
            elif is_distribution(entry.name):
                yield Path(entry.path)

    def _add(self, path: Path) -> None:
        # A version with a dash is likelier than a project that ends in a version.
        distribution = read_filename(path.name)[-1]
        offer = Offer(path.name, str(path), digests={})
        self._projects.setdefault(distribution.project, []).append(offer)

    def read_project(self, project: NormalizedName) -> OfferedProject:
        """Return the files of a project; raise SourceError if there is none."""
        if project not in self._projects:
            raise SourceError(f"the folder has no distribution of `{project}`")
        return OfferedProject(project, tuple(self._projects[project]))

    def fetch(self, offer: Offer) -> Stream:
        """Return the content of a file; the time of its last change counts as its upload time."""
        path = self._resolve(Path(offer.location))
        try:
            descriptor = os.open(path, _OPEN_FLAGS)
        except OSError as error:
            raise SourceError(f"cannot be read: {error.strerror}") from None
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise SourceError("is not a plain file")
        return Stream(_read(descriptor), datetime.fromtimestamp(status.st_mtime, UTC))

    def _resolve(self, path: Path) -> Path:
        if not path.is_symlink():
            return path
        try:
            target = path.resolve(strict=True)
        except (OSError, RuntimeError):  # RuntimeError: links in a circle, in Python 3.11 and 3.12
            raise SourceError("is a symbolic link that leads nowhere") from None
        if not target.is_relative_to(self._root):
            raise SourceError(
                "is a symbolic link that leads out of the folder: put the file itself there"
            )
        return target

    def close(self) -> None:
        """Do nothing: every file is closed when it has been read."""


def _read(descriptor: int) -> Generator[bytes]:
    try:
        with os.fdopen(descriptor, "rb") as file:
            while piece := file.read(_PIECE_BYTES):
                yield piece
    except OSError as error:
        raise SourceError(f"cannot be read: {error.strerror}") from None
