"""Named comparisons between what a publisher expects and what a signed claim says.

Each takes two strings whose types are checked already. None is a regular expression: those are
slow on purpose-made input, unanchored by accident, and match across delimiters.
"""

import re
from typing import Final

_DELIMITERS: Final = re.compile(r"([/:@#])")
_ASCII_UPPER: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def fold(text: str) -> str:
    """Return the text with ASCII letters in lower case, and nothing else changed.

    ``str.lower`` would make the Kelvin sign an ordinary k, and so another owner this one.
    """
    return text.translate(_ASCII_UPPER)


def is_exact(expected: str, seen: str) -> bool:
    """Say whether both are the same, code point by code point."""
    return expected == seen


def is_same_ignoring_case(expected: str, seen: str) -> bool:
    """Say whether both are the same but for the case of ASCII letters."""
    return fold(expected) == fold(seen)


def is_led_by(expected: str, seen: str) -> bool:
    """Say whether the text is the expected one, alone or followed by a colon and anything."""
    return seen == expected or seen.startswith(expected + ":")


def is_glob_match(pattern: str, seen: str) -> bool:
    """Say whether the pattern covers the text; ``*`` stops at ``/``, ``:``, ``@`` and ``#``."""
    patterns, texts = _DELIMITERS.split(pattern), _DELIMITERS.split(seen)
    return len(patterns) == len(texts) and all(map(_is_segment_match, patterns, texts))


def _is_segment_match(pattern: str, text: str) -> bool:
    # Leftmost-first search of the literal parts: linear in the text for each part.
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
