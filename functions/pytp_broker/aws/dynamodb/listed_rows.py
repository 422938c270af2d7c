"""The index of tokens and sessions, by which an operator's commands list them.

DynamoDB writes the index itself, a moment after the row. So a list may lack what was made in this
moment. Nothing is decided by the index: whether a token is good, only its own row says.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pytp_broker.aws.dynamodb.configuration_rows import CONFIGURATION
from pytp_broker.aws.dynamodb.formats import FormatRows
from pytp_broker.aws.dynamodb.listed import INDEX, LISTED, SHARDS
from pytp_broker.aws.dynamodb.parallel import each
from pytp_broker.aws.dynamodb.table import RefusedCallError, attributes


class ListedRows(FormatRows):
    """Rows that are found by their kind."""

    def _find_listed(self, kind: str, now: datetime) -> list[tuple[str, str]] | None:
        """Return the keys of all rows of this kind whose time to live has not ended.

        Returns None if only a scan finds them: in a table that no ``apply`` of this version has
        upgraded, or whose index is not there, because the stack was not deployed.
        """
        if self._is_old(list(self._query(CONFIGURATION))):
            return None
        try:
            found = each(lambda shard: self._list_shard(f"{kind}#{shard}", now), SHARDS)
        except RefusedCallError:
            return None
        return [key for keys in found for key in keys]

    def _list_shard(self, listed: str, now: datetime) -> list[tuple[str, str]]:
        values: dict[str, Any] = {":listed": listed, ":now": int(now.timestamp())}
        rows = self._pages(
            self._client.query,
            IndexName=INDEX,
            KeyConditionExpression="#listed = :listed AND #ttl >= :now",
            ExpressionAttributeNames={"#listed": LISTED, "#ttl": "ttl"},
            ExpressionAttributeValues=attributes(**values),
        )
        return [(row["pk"], row["sk"]) for row in rows]

    def _scan_kinds(self, *kinds: str, now: datetime) -> Iterator[dict[str, Any]]:
        """Yield the rows with these sort keys whose time to live has not ended."""
        values: dict[str, Any] = {f":{kind.lower()}": kind for kind in kinds}
        return self._pages(
            self._client.scan,
            ConsistentRead=True,
            FilterExpression=f"sk IN ({', '.join(values)}) AND #ttl >= :now",
            ExpressionAttributeNames={"#ttl": "ttl"},
            ExpressionAttributeValues=attributes(**values, **{":now": int(now.timestamp())}),
        )
