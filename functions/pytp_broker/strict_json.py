"""Parse JSON strictly, so that no two readers of the same bytes can see different values.

Lenient parsers disagree about repeated members. If we checked one copy and other code used the
other copy, the check would be worthless.
"""

import json
from typing import Any, Final

from pytp_broker.errors import InvalidPayload


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("repeated member")
    return members


def _refuse_constant(constant: str) -> None:
    raise ValueError(constant)


_STRICT: Final = json.JSONDecoder(
    object_pairs_hook=_unique_members, parse_constant=_refuse_constant
)


def parse_json_object(text: bytes) -> dict[str, Any]:
    """Parse a strict JSON object; raise InvalidPayload."""
    try:
        document = parse_json(text)
    except ValueError:
        raise InvalidPayload("the body is not a JSON object with unique members") from None
    if not isinstance(document, dict):
        raise InvalidPayload("the body is JSON, but not an object")
    return document


def parse_json(text: bytes) -> object:
    """Parse strict JSON: UTF-8 without a mark, no repeated member, no NaN, no half character.

    Raises ValueError.
    """
    try:
        document: object = _STRICT.decode(text.decode())
        # Half of a character (a lone surrogate) cannot be stored. UTF-8 cannot hold one, so only an
        # escape can write it, and most documents have no escape.
        if b"\\u" in text:
            json.dumps(document, ensure_ascii=False).encode()
    except RecursionError:  # writing takes a few calls more than reading
        raise ValueError("too deep") from None
    return document
