"""Compare a text with a pattern whose ``*`` does not cross the parts of a name.

No regular expression, because crafted input can make one slow, an anchor is easily forgotten, and a
match may cross a delimiter.
"""

import re
from dataclasses import dataclass
from typing import Final


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

# `my-org*` is meant for one organisation and also lets `my-org-evil` in.
_OPEN_WILDCARD: Final = re.compile(r"[^/:@#]\*")

# A claim of such a name holds the whole name of a branch or a tag. `workflow_ref` and the like do
# not, because they begin with a repository.
_REF_CLAIM: Final = re.compile(r"(?!.*workflow)(.*[._/>-])?(ref|branch|tag)([._-]?[nN]ame|_path)?")


def glob_for(claim: str) -> Glob:
    """Return the comparison of a pattern with the claim of this name."""
    return REF_GLOB if _REF_CLAIM.fullmatch(claim) else TEXT_GLOB


def is_open(claim: str, pattern: str) -> bool:
    """Say whether a pattern may let strangers in: a ``*`` ends what begins as somebody's name.

    The owner of a repository chooses the names of its branches and tags, so `refs/tags/v*` is safe.
    """
    guarded = "" if glob_for(claim) is REF_GLOB else pattern.partition("@refs/")[0]
    return _OPEN_WILDCARD.search(guarded) is not None


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
