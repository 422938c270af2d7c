"""Rows of DynamoDB for the audit records of what operators do."""

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final

from pytp_broker.audit.record import AuditRecord
from pytp_broker.aws.dynamodb.formats import FORMAT, OPERATOR
from pytp_broker.aws.dynamodb.table import Table, attributes, dump

# So many records are made before they are written, all at the same time.
_AT_ONCE: Final = 1_000


class OperatorRecordRows(Table):
    """Audit records of operators; they are never removed."""

    def add_operator_record(self, record: AuditRecord, at: datetime) -> None:
        """Store an audit record of what an operator does."""
        item = _item(record, at, secrets.token_hex(8))
        self._call(self._client.put_item, Item=item)

    def _add_operator_records(self, records: Iterable[tuple[AuditRecord, datetime]]) -> None:
        """Store many records; those of one moment keep their order."""
        items = _items(records)
        while part := list(islice(items, _AT_ONCE)):
            self._write_all([{"PutRequest": {"Item": item}} for item in part])

    def list_operator_records(self) -> Sequence[Mapping[str, Any]]:
        """Return the records of operators in the order of their times."""
        return [json.loads(row["document"]) for row in self._query(OPERATOR)]

    def newest_operator_records(self, count: int) -> Sequence[Mapping[str, Any]]:
        """Return so many of operators' records, the newest first."""
        rows = self._pages(
            self._client.query,
            ConsistentRead=True,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues=attributes(**{":pk": OPERATOR}),
            ScanIndexForward=False,
            Limit=count,
        )
        return [json.loads(row["document"]) for row in islice(rows, count)]


def _items(records: Iterable[tuple[AuditRecord, datetime]]) -> Iterator[dict[str, Any]]:
    own = secrets.token_hex(4)
    for number, (record, at) in enumerate(records):
        yield _item(record, at, f"{number:08x}{own}")


def _item(record: AuditRecord, at: datetime, suffix: str) -> dict[str, Any]:
    sk = f"{at.isoformat(timespec='microseconds')}#{suffix}"
    document = dump({"time": at.isoformat(), **record.document()})
    return attributes(pk=OPERATOR, sk=sk, document=document, format=FORMAT)
