"""Named comparisons between what a publisher expects and what a signed claim says.

The caller has checked that both are strings. We compare by no regular expression, because crafted
input can make one slow, an anchor is easily forgotten, and a match may cross a delimiter.
"""

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
    return expected == seen or (len(expected) == len(seen) and fold(expected) == fold(seen))


def starts_with_segment(expected: str, seen: str) -> bool:
    """Say whether the text is the expected one, or begins with it and a colon."""
    return seen == expected or seen.startswith(expected + ":")
