"""The attribute by which tokens and sessions are in the index of an operator's commands.

It has one of sixteen values for each kind: a partition takes a thousand writes a second, and so
would an index with one value.
"""

import hashlib
from typing import Final

LISTED: Final = "listed"
INDEX: Final = "Listed"
SHARDS: Final = "0123456789abcdef"


def listed_as(pk: str) -> str:
    """Return the attribute's value for the row with this key: its kind, and a digit of a hash."""
    kind = pk.partition("#")[0]
    return f"{kind}#{hashlib.sha256(pk.encode()).hexdigest()[0]}"
