"""What may be shown of text that comes from outside, and of secrets: in answers, logs, terminals.

Whoever reads must see what is there and nothing else: no control characters, none that turn the
line around or take no room, no more than a line's worth of it, and no token, wherever one was put.
"""

import re
import string
from collections.abc import Sequence
from typing import Final, NoReturn

MAX_VALUE_CHARACTERS: Final = 200
# A refusal explains itself in a few sentences, each with a value or two.
MAX_SENTENCE_CHARACTERS: Final = 4000
# More names than that nobody reads in a sentence.
MAX_NAMES: Final = 20

# Invisible, and yet letters, marks or symbols to Unicode and so printable to Python. All others
# that take no room or change the direction (Cf: U+200B, U+202E, U+2066 …) are not printable.
_INVISIBLE: Final = (
    "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\ufffc"
    "\U00016fe4\U0001d159\U000e0100-\U000e01ef"
)
_HIDDEN: Final = re.compile(f"[{_INVISIBLE}]")
# Nobody means to put a token where it is shown; some scripts do all the same.
_TOKEN: Final = re.compile(
    r"""
    # An upload token, also as the name of a project is normalised, or with its underscore escaped.
    (?i:pytp(?:[-_.]|%(?:25)*5f)+[0-9a-z]{24,})
    # A JWT, whole or in part. JSON begins with a brace and a quotation mark, or blanks and ends of
    # lines around the brace; and it is ASCII, as the digits of `keyJavaClient` are not.
    | (?:eyJ[A-Za-z0-9_-]|eyA[giJKN]|ew[o0k][gJKNi]|IHsi|ICB7|Cns[iK]|DQp7|CXsi)
      (?:[CDI-Za-f][A-Za-z0-9_-]{3}){4,}[A-Za-z0-9_.-]*
    # One in one case, as a host or a project is folded: `{"alg":…`, `{"typ":…`, `{"kid":…`.
    | (?i:eyj(?:hbgci|0exai|rawqi)[a-z0-9_.-]+)
    """,
    re.VERBOSE,
)
# What may be a part of one without such a mark: a signature, or what is folded to one case.
_LONG: Final = re.compile(r"[A-Za-z0-9_-]{64,}[A-Za-z0-9_.-]*")
# It is one if it has as many digits in a row as an upload token has behind its underscore, which a
# hash in hex has in one case; or if it has numbers beside letters that are none of hex, and is not
# made of words.
_DIGITS: Final = re.compile(r"(?<![0-9A-Za-z])(?=[0-9a-z]*[A-Z])(?=[0-9A-Z]*[a-z])[0-9A-Za-z]{71}")
_NUMBERS: Final = re.compile(r"[0-9](?=[G-Zg-z])|[G-Zg-z](?=[0-9])")
_MIN_NUMBERS: Final = 5
_SEPARATORS: Final = re.compile(r"[_.-]")
_MIN_WORD: Final = 8
_MASK: Final = "[a token]"
# The beginning of a token, when the rest of it is cut off, may not be known for what it is.
_CUT_CHARACTERS: Final = 100
_TOKEN_CHARACTERS: Final = string.ascii_letters + string.digits + "_-."


def printable(text: str, limit: int = MAX_VALUE_CHARACTERS) -> str:
    """Return a value from outside as it may be shown between backticks: visible, masked, short."""
    return legible(text, limit).replace("`", "\N{REPLACEMENT CHARACTER}")


def legible(text: str, limit: int = MAX_SENTENCE_CHARACTERS) -> str:
    """Return a sentence of ours, which may quote values, as it may be shown."""
    # Cut before the work, so that it is little whatever comes; the margin lets a token at the cut
    # be known for one.
    near = text[: limit + 1000]
    masked = _LONG.sub(_mask_random, _TOKEN.sub(_MASK, near))
    if near != text:
        whole = len(masked.rstrip(_TOKEN_CHARACTERS))
        masked = masked[: max(whole, len(masked) - _CUT_CHARACTERS)]
    seen = _HIDDEN.sub("\N{REPLACEMENT CHARACTER}", masked)
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in seen)
    return shown if near == text and len(shown) <= limit else shown[:limit] + "…"


def and_more(names: Sequence[str], count: int) -> str:
    """Return the first names of a list of this many, and how many more it has."""
    shown = ", ".join(names[:MAX_NAMES])
    more = count - len(names[:MAX_NAMES])
    return f"{shown} and {more:,} more" if more else shown


def _mask_random(found: re.Match[str]) -> str:
    text = found[0]
    return _MASK if _DIGITS.search(text) or _is_random(text) else text


def _is_random(text: str) -> bool:
    words = len(_SEPARATORS.findall(text)) + 1
    return len(_NUMBERS.findall(text)) >= _MIN_NUMBERS and len(text) >= words * _MIN_WORD


class Hidden:
    """A secret that hides itself: only ``reveal()`` shows the text.

    Not in ``repr``, an f-string, a traceback or a log; it is its own copy, so ``asdict`` finds
    this object and not the text; and it cannot be pickled.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the secret text."""
        return self._text

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __copy__(self) -> "Hidden":
        return self

    def __deepcopy__(self, _memo: object) -> "Hidden":
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")
