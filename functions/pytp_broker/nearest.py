"""Find what was probably meant by a mistyped name."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

_MIN_BEGINNING: Final = 4
# `gitea` does not mean `gitlab` (likeness 0.73); `pushes` means `push` (0.8).
_LIKENESS: Final = 0.75


def closest(text: str, known: Iterable[str]) -> str | None:
    """Return the known text that this one probably means."""
    plain = {_plain(name): name for name in reversed([*known])}
    word = _plain(text)
    begun = [name for name in plain if len(word) >= _MIN_BEGINNING and name.startswith(word)]
    found = get_close_matches(word, plain, n=1, cutoff=_LIKENESS) or begun
    return plain[found[0]] if found else None


def _plain(text: str) -> str:
    return text.lower().replace("-", "_")
