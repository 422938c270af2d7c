"""The token of a publishing session: it reads a staged release, and names the session in addresses.

It is ``stage_`` and 43 base62 characters, 256 bits of them random. The store keeps it as it is,
because every answer about the session repeats the addresses that have it. It gives no right to
change anything. Logs and audit records never show it.
"""

import hashlib
import re
import secrets
import string
from typing import Final

PREFIX: Final = "stage_"
_DIGITS: Final = 43
_ALPHABET: Final = string.digits + string.ascii_letters
_FORM: Final = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_DIGITS}}}")


def mint_session_token() -> str:
    """Return a new token that nobody can guess."""
    return PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_DIGITS))


def is_session_token(text: str) -> bool:
    """Say whether a text has the form of a session's token."""
    return _FORM.fullmatch(text) is not None


def session_hash(token: str) -> str:
    """Return the SHA-256 of a session's token in hex; records show its beginning."""
    return hashlib.sha256(token.encode()).hexdigest()


def session_use(registry: str, token: str) -> str:
    """Return the text that names one use of a single-use token: the publish of one session."""
    return f"{registry}/upload#{session_hash(token)}"
