"""Rows of DynamoDB for the public keys of receipts."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pytp_broker.aws.dynamodb.table import ConditionFailedError, Table, attributes, dump
from pytp_broker.provenance.receipt_keys import ReceiptKey, oldest_first

# One partition for all of them, because a deployment has a handful, and everybody reads them all.
_RECEIPT_KEYS: Final = "RECEIPTKEYS"


class ReceiptKeyRows(Table):
    """The keys of receipts, as functions read them."""

    def list_receipt_keys(self) -> Sequence[ReceiptKey]:
        """Return every key that there ever was, oldest first."""
        return oldest_first(_read(row) for row in self._query(_RECEIPT_KEYS))


class WrittenReceiptKeyRows(Table):
    """The keys of receipts, as the operator's commands write them."""

    def save_receipt_key(self, key: ReceiptKey, present: ReceiptKey | None) -> bool:
        """Replace the present key of this id, or None, by this one."""
        row = {"pk": _RECEIPT_KEYS, "sk": f"KEY#{key.key_id}"}
        found = self._find(**row)
        stored = None if found is None else _read(found)
        if stored != present:
            return stored == key
        # We compare the stored text: another version may have written the same key differently.
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
        if found is not None:
            condition = {
                "ConditionExpression": "document = :present",
                "ExpressionAttributeValues": attributes(**{":present": found["document"]}),
            }
        try:
            self._call(
                self._client.put_item,
                Item=attributes(**row, document=dump(key.document())),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **condition,
            )
        except ConditionFailedError as taken:
            return _read(taken.item) == key
        return True


def _read(row: Mapping[str, Any]) -> ReceiptKey:
    return ReceiptKey.from_document(json.loads(row["document"]))
