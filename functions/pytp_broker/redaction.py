"""Make text from outside safe to show in answers, logs and terminals, and hide secrets.

A reader sees the text as it is, but no control characters, no characters that reverse the line or
have no width, no command to a CI that reads it in a log, not more than fits the place, and no
token.
"""

import re
import string
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NoReturn

MAX_VALUE_CHARACTERS: Final = 200
# A refusal explains itself in a few sentences, each with a value or two.
MAX_SENTENCE_CHARACTERS: Final = 4000
# Nobody reads more names than this in one sentence.
MAX_NAMES: Final = 20
# Hosts, issuers, branches and projects come again with nearly every request.
_REMEMBERED: Final = 1024

# Invisible characters that Unicode counts as letters, marks or symbols, so Python calls them
# printable. All others without width, or that change the direction (Cf: U+200B, U+202E, U+2066 …),
# are not printable.
_INVISIBLE: Final = (
    "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\ufffc"
    "\U00016fe4\U0001d159\U000e0100-\U000e01ef"
)
_HIDDEN: Final = re.compile(f"[{_INVISIBLE}]")
# Text that looks like a token: some scripts put one, by mistake, where it is shown.
_TOKEN: Final = re.compile(
    r"""
    # Only the first two letters of the forms below. Looking at them first halves the time.
    (?=[PpSsEeICD][YyTtwHCnXQ])(?:
    # An upload token, or the token of a publishing session, even if it was normalised like a
    # project name or its underscore escaped.
    (?i:(?:pytp|stage)(?:[-_.]|%(?:25)*5f)+[0-9a-z]{24,})
    # A JWT, whole or in part. JSON begins with a brace and a quotation mark, or blanks and ends of
    # lines around the brace; and it is ASCII, as the digits of `keyJavaClient` are not.
    | (?:eyJ[A-Za-z0-9_-]|eyA[giJKN]|ew[o0k][gJKNi]|IHsi|ICB7|Cns[iK]|DQp7|CXsi)
      (?:[CDI-Za-f][A-Za-z0-9_-]{3}){4,}[A-Za-z0-9_.-]*
    # One in one case, as a host or a project is folded: `{"alg":…`, `{"typ":…`, `{"kid":…`.
    | (?i:eyj(?:hbgci|0exai|rawqi)[a-z0-9_.-]+)
    )
    """,
    re.VERBOSE,
)
# Long text without such a mark that may be part of a token, such as a signature, or a token in
# lower case.
_LONG_CHARACTERS: Final = 64
_LONG: Final = re.compile(rf"[A-Za-z0-9_-]{{{_LONG_CHARACTERS},}}[A-Za-z0-9_.-]*")
# 71 base62 characters in mixed case: the body of an upload token. A hash in hex has one case only.
_DIGITS: Final = re.compile(r"(?<![0-9A-Za-z])(?=[0-9a-z]*[A-Z])(?=[0-9A-Z]*[a-z])[0-9A-Za-z]{71}")
# A digit next to a letter that is not hex. Five of them, in text that is not made of words, look
# random enough to hide.
_NUMBERS: Final = re.compile(r"[0-9](?=[G-Zg-z])|[G-Zg-z](?=[0-9])")
_MIN_NUMBERS: Final = 5
# What a CI takes for a command wherever it stands in a job's log: `##[set-output …]` at GitHub,
# `##vso[task.setvariable …]` at Azure DevOps.
_COMMAND: Final = re.compile(r"##(?=[A-Za-z]*\[)")
_SEPARATORS: Final = re.compile(r"[_.-]")
_MIN_WORD: Final = 8
_MASK: Final = "[a token]"
# We drop this much before a cut, because the beginning of a token may not be recognised as one.
_CUT_CHARACTERS: Final = 100
_TOKEN_CHARACTERS: Final = string.ascii_letters + string.digits + "_-."


class Legible(str):
    """Text that was made safe to show; nothing needs to do it again."""

    __slots__ = ()


class _NotPlainError(Exception):
    """The text must not be shown as it is."""


def printable(text: str, limit: int = MAX_VALUE_CHARACTERS) -> Legible:
    """Return a value from outside, made safe to show between backticks: visible, masked, short."""
    shown = legible(text, limit)
    return Legible(shown.replace("`", "\N{REPLACEMENT CHARACTER}")) if "`" in shown else shown


def legible(text: str, limit: int = MAX_SENTENCE_CHARACTERS) -> Legible:
    """Return one of our sentences, which may quote values, made safe to show."""
    if len(text) <= min(limit, MAX_VALUE_CHARACTERS):
        try:
            return _find_plain(text)
        except _NotPlainError:
            pass
    return Legible(_mask(text, limit))


@lru_cache(_REMEMBERED)
def _find_plain(text: str) -> Legible:
    """Return a short text that may be shown as it is, and remember it.

    Raises _NotPlainError for any other, so that no token is remembered.
    """
    if _mask(text, MAX_VALUE_CHARACTERS) != text:
        raise _NotPlainError
    return Legible(text)


def _mask(text: str, limit: int) -> str:
    """Return the text without what must not be shown, cut to the limit."""
    # We cut first, so that the work stays small for any input. The margin lets us recognise a token
    # that lies across the cut.
    near = text[: limit + 1000]
    masked = _TOKEN.sub(_MASK, near)
    if len(masked) >= _LONG_CHARACTERS:  # most text is short, and a search takes time
        masked = _LONG.sub(_mask_random, masked)
    if near != text:
        whole = len(masked.rstrip(_TOKEN_CHARACTERS))
        masked = masked[: max(whole, len(masked) - _CUT_CHARACTERS)]
    shown = _visible(_COMMAND.sub("# #", masked) if "##" in masked else masked)
    return shown if near == text and len(shown) <= limit else shown[:limit] + "…"


def _visible(text: str) -> str:
    """Return the text with a mark for each character that cannot be seen or misleads."""
    # Nearly all text is plain. Python sees that at once, and a look at each character is slow.
    if text.isascii() and text.isprintable():
        return text
    seen = _HIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in seen)


def and_more(names: Sequence[str], count: int) -> str:
    """Return the first names of a list, and how many more of its ``count`` names there are."""
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

    The text does not appear in ``repr``, an f-string, a traceback or a log. A copy is the same
    object, so ``asdict`` returns this object and not the text. It cannot be pickled.
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
