"""The data folder after a soak: which of its files nobody can have brought there.

A kill leaves bytes that nobody sees, and half-written files that a later start removes. So each
file must be of an upload that somebody has begun; not each is of one that was answered.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pytp_broker.names import METADATA_SUFFIX
from tests.soak.story import FileKey, Story

_INCOMING: Final = ".incoming"


def strangers(data: Path, story: Story) -> Iterator[str]:
    """Yield the stored files that are of no upload."""
    sent = _sent(story)
    names = {name for name, _ in sent}
    for path in sorted((data / "files").rglob("*")):
        place = path.relative_to(data / "files").parts
        if path.is_dir() or place[0] == _INCOMING:
            continue
        name = path.name.removesuffix(METADATA_SUFFIX)
        known = (name, place[2]) in sent if place[0] == "files" else name in names
        if not known:
            yield "/".join(place)


def half_written(data: Path) -> int:
    """Return how many files a killed server has left half written."""
    return len(list((data / "files" / _INCOMING).glob("*")))


def _sent(story: Story) -> frozenset[FileKey]:
    staged = {(e.facts["filename"], e.facts["sha256"]) for e in story.of("announce")}
    return story.may_be_there | staged
