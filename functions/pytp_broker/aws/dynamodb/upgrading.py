"""Bring a table of version 0.1.0 to this version's format, in which nothing is found by a scan.

The rows that functions read stay as they are. A crash between two writes leaves a table of the old
format, which the next ``apply`` upgrades.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pytp_broker.aws.dynamodb.applied_reading import GUARD, AppliedReading, Found
from pytp_broker.aws.dynamodb.configuration_rows import CONFIGURATION, MAIN
from pytp_broker.aws.dynamodb.formats import marked
from pytp_broker.aws.dynamodb.listed import LISTED, listed_as
from pytp_broker.aws.dynamodb.operators_tokens import operators_token_item
from pytp_broker.aws.dynamodb.parallel import each
from pytp_broker.aws.dynamodb.runs import OwnRun
from pytp_broker.aws.dynamodb.table import ConditionFailedError, attributes, dump


class Upgrading(AppliedReading):
    """Marks a table with this version's format."""

    _now: Callable[[], float]
    _operator: str

    def _upgrade(self, present: Found, run: OwnRun) -> None:
        """Let everything be found without a scan, then mark the table."""
        # First, so that no `apply` of version 0.1.0 begins, which would pass the catalogue by.
        self._call(self._client.put_item, Item=attributes(**GUARD))
        run.cover(present.rows.keys())
        if present.is_old:
            self._list_tokens_and_sessions()
        main = marked({"enabled": present.rows.configuration.enabled})
        item = attributes(pk=CONFIGURATION, sk=MAIN, document=dump(main))
        self._call(self._client.put_item, Item=item)

    def _list_tokens_and_sessions(self) -> None:
        """Put tokens and sessions into the index, and tokens of operators where `apply` looks."""
        rows = self._pages(
            self._client.scan,
            ConsistentRead=True,
            FilterExpression="sk IN (:token, :session) AND attribute_not_exists(#listed)",
            ProjectionExpression="pk, sk, made_for, #ttl",
            ExpressionAttributeNames={"#ttl": "ttl", "#listed": LISTED},
            ExpressionAttributeValues=attributes(**{":token": "TOKEN", ":session": "SESSION"}),
        )
        each(self._list_row, [row for row in rows if row.get("ttl", 0) > self._now()])

    def _list_row(self, row: Mapping[str, Any]) -> None:
        if "made_for" in row:
            lookup_id = row["pk"].partition("#")[2]
            item = operators_token_item(lookup_id, row["made_for"], row["ttl"])
            self._call(self._client.put_item, Item=item)
        try:
            self._call(
                self._client.update_item,
                Key=attributes(pk=row["pk"], sk=row["sk"]),
                UpdateExpression="SET #listed = :listed",
                ConditionExpression="attribute_exists(pk)",
                ExpressionAttributeNames={"#listed": LISTED},
                ExpressionAttributeValues=attributes(**{":listed": listed_as(row["pk"])}),
            )
        except ConditionFailedError:
            return  # DynamoDB has removed it meanwhile
