"""Named comparisons between what a publisher expects and what a signed claim says.

The caller has checked that both are strings. We compare by no regular expression, because crafted
input can make one slow, an anchor is easily forgotten, and a match may cross a delimiter.
"""

import re
from dataclasses import dataclass
from typing import Final

_TO_ASCII_LOWER: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def fold(text: str) -> str:
    """Return the text with its ASCII letters in lower case, and everything else as it is.

    ``str.lower`` would turn the Kelvin sign into an ordinary k, so two owners would be the same.
    """
    return text.lower() if text.isascii() else text.translate(_TO_ASCII_LOWER)


def is_exact(expected: str, seen: str) -> bool:
    """Say whether both are the same, code point by code point."""
    return expected == seen


def is_same_ignoring_case(expected: str, seen: str) -> bool:
    """Say whether both are the same if the case of ASCII letters does not matter."""
    return fold(expected) == fold(seen)


def starts_with_segment(expected: str, seen: str) -> bool:
    """Say whether the text is the expected one, or begins with it and a colon."""
    return seen == expected or seen.startswith(expected + ":")


@dataclass(frozen=True, slots=True)
class Glob:
    """A comparison with a pattern whose ``*`` stands for any text up to one of ``stops``."""

    stops: str

    def __call__(self, pattern: str, seen: str) -> bool:
        """Say whether the pattern covers the text."""
        delimiters = f"([{self.stops}])"
        patterns, texts = re.split(delimiters, pattern), re.split(delimiters, seen)
        return len(patterns) == len(texts) and all(map(_is_segment_match, patterns, texts))

    @property
    def rule(self) -> str:
        """Return which characters stop a ``*``, in the words of pages and refusals."""
        *others, last = (f"`{stop}`" for stop in self.stops)
        return f"a `*` stops at {', '.join(others)}{' and ' if others else ''}{last}"


# A repository's owner chooses the whole name of a branch or a tag, and only the slash separates the
# parts of a name: `refs/tags/*` covers the tag `widgets@1.2.0`.
REF_GLOB: Final = Glob("/")
# Other claims may join names of several owners by any of these characters.
TEXT_GLOB: Final = Glob("/:@#")

# A claim of such a name holds the whole name of a branch or a tag. `workflow_ref` and the like do
# not, because they begin with a repository.
_REF_CLAIM: Final = re.compile(r"(?!.*workflow)(.*[._/>-])?(ref|branch|tag)([._-]?[nN]ame|_path)?")


def glob_for(claim: str) -> Glob:
    """Return the comparison of a pattern with the claim of this name."""
    return REF_GLOB if _REF_CLAIM.fullmatch(claim) else TEXT_GLOB


def _is_segment_match(pattern: str, text: str) -> bool:
    # We search each literal part from the left, so the time for a part is linear in the text.
    first, *rest = pattern.split("*")
    if not rest:
        return first == text
    *middle, last = rest
    if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
        return False
    position, end = len(first), len(text) - len(last)
    for part in middle:
        position = text.find(part, position, end)
        if position < 0:
            return False
        position += len(part)
    return True
