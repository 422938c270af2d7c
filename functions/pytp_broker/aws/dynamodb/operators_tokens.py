"""Rows of DynamoDB that name the tokens that operators made, so that ``apply`` finds them.

They are in a partition of their own. Who may make a token need not have the right to write what
``apply`` writes.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pytp_broker.aws.dynamodb.table import attributes

OPERATORS_TOKENS: Final = "OPERATORSTOKENS"
_PREFIX: Final = "TOKEN#"


def operators_token_key(lookup_id: str) -> dict[str, Any]:
    """Return the key of the row that names a token."""
    return attributes(pk=OPERATORS_TOKENS, sk=f"{_PREFIX}{lookup_id}")


def operators_token_item(lookup_id: str, registry: str, ttl: int) -> dict[str, Any]:
    """Return the row that names a token, which ends with the token."""
    return {**operators_token_key(lookup_id), **attributes(registry=registry, ttl=ttl)}


def read_operators_tokens(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the registry of each token that an operator made, by its lookup id."""
    return {row["sk"].removeprefix(_PREFIX): row["registry"] for row in rows}
