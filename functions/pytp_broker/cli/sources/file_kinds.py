"""Which files of a source are distributions, even those of kinds that we refuse."""

from typing import Final

# Everything that setuptools and its predecessors have built. A file with another ending, such as a
# signature or a page, is left out; one of these is reported if we cannot take it.
_ENDINGS: Final = (
    *(".whl", ".tar.gz", ".zip", ".egg", ".exe", ".msi", ".rpm", ".deb", ".dmg"),
    *(".tar", ".tgz", ".tar.bz2", ".tbz", ".tar.xz", ".txz", ".tar.z", ".tar.lzma", ".tlz"),
)


def is_distribution(filename: str) -> bool:
    """Say whether a file is a distribution by the ending of its name."""
    return filename.lower().endswith(_ENDINGS)
