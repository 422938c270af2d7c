"""What may be shown of text that comes from outside, and of secrets: in answers, logs, terminals.

Whoever reads must see what is there and nothing else: no control characters, none that turn the
line around or take no room, no more than a line's worth of it, and no token, wherever one was put.
"""

import re
from typing import Final, NoReturn

MAX_VALUE_CHARACTERS: Final = 200
# A refusal explains itself in a few sentences, each with a value or two.
MAX_SENTENCE_CHARACTERS: Final = 4000

# Invisible, and yet letters, marks or symbols to Unicode and so printable to Python. All others
# that take no room or change the direction (Cf: U+200B, U+202E, U+2066 …) are not printable.
_INVISIBLE: Final = (
    "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef"
)
_HIDDEN: Final = re.compile(f"[{_INVISIBLE}]")
# Nobody means to put a token where it is shown; some scripts do all the same.
_TOKEN: Final = re.compile(
    r"""
    # An upload token, also as the name of a project is normalised.
    (?i:pytp[-_.][0-9a-z]{40,})
    # Its 71 digits, whatever became of the underscore, or as many of a JWT or a password in base64
    # (a hash in hex has one case), with what hangs on them: the next part of a JWT.
    | (?<![0-9A-Za-z])(?=[0-9a-z]*[A-Z])(?=[0-9A-Z]*[a-z])[0-9A-Za-z]{71,}[A-Za-z0-9_.-]*
    # A JWT, whole or in part: JSON begins with a brace and a quotation mark,
    | eyJ[A-Za-z0-9_-]{16,}[A-Za-z0-9_.-]*
    # or with a brace, a blank or the end of a line, and then the mark or the like.
    | (?:eyAi|ew[o0k][gJKNi])(?=[a-z0-9_-]*[A-Z])[A-Za-z0-9_-]{16,}[A-Za-z0-9_.-]*
    # A whole one as the name of a project is normalised.
    | (?i:eyj[a-z0-9-]{10,}-eyj[a-z0-9-]{16,})
    """,
    re.VERBOSE,
)
_MASK: Final = "[a token]"


def printable(text: str, limit: int = MAX_VALUE_CHARACTERS) -> str:
    """Return a value from outside as it may be shown between backticks: visible, masked, short."""
    return legible(text, limit).replace("`", "\N{REPLACEMENT CHARACTER}")


def legible(text: str, limit: int = MAX_SENTENCE_CHARACTERS) -> str:
    """Return a sentence of ours, which may quote values, as it may be shown."""
    # Cut before the work, so that it is little whatever comes; the margin lets a token at the cut
    # be known for one.
    near = text[: limit + 1000]
    masked = _TOKEN.sub(_MASK, near)
    seen = _HIDDEN.sub("\N{REPLACEMENT CHARACTER}", masked)
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in seen)
    return shown if near == text and len(shown) <= limit else shown[:limit] + "…"


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
