"""Rows of DynamoDB for upload tokens, and for what single-use tokens were used for."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pytp_broker.aws.dynamodb.listed import listed_as
from pytp_broker.aws.dynamodb.publisher_rows import NOBODY, read_trust, trust_key
from pytp_broker.aws.dynamodb.table import ConditionFailedError, Table, attributes, dump
from pytp_broker.grants import Trust
from pytp_broker.storage.protocols import AlreadyExchangedError, Place
from pytp_broker.tokens import TokenRecord


class TokenRows(Table):
    """Upload tokens."""

    def add_token(self, record: TokenRecord) -> None:
        """Store the record; raise AlreadyExchangedError when its lookup id is taken.

        An expired record counts as deleted, because DynamoDB deletes days late.
        """
        try:
            self._call(
                self._client.put_item,
                Item=token_item(record),
                ConditionExpression="attribute_not_exists(pk) OR #ttl < :now",
                ExpressionAttributeNames={"#ttl": "ttl"},
                ExpressionAttributeValues=attributes(**{":now": int(record.issued_at.timestamp())}),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ConditionFailedError as taken:
            if taken.item.get("token_hash") != record.token_hash:
                raise AlreadyExchangedError from None

    def find_token(self, lookup_id: str, place: Place | None) -> tuple[TokenRecord, Trust] | None:
        """Return the record and the publishers that a project trusts now; none without a place."""
        keys = [
            token_key(lookup_id),
            use_key(lookup_id),
            *([trust_key(*place)] if place else []),
        ]
        rows = {row["sk"]: row for row in self._read_items(keys)}
        if "TOKEN" not in rows:
            return None
        trusted = rows.get("TRUST", {}).get("publisher_ids", NOBODY)
        return read_token(rows["TOKEN"], rows.get("USE")), read_trust(trusted)

    def use_token(self, record: TokenRecord, file: str) -> bool:
        """Mark a single-use token as used for a file; say whether that is allowed."""
        marks = attributes(
            used_for=file,
            ttl=int(record.kept_until.timestamp()),
        )
        values: dict[str, Any] = {":file": file, ":issued": int(record.issued_at.timestamp())}
        try:
            self._call(
                self._client.put_item,
                Item={**use_key(record.lookup_id), **marks},
                ConditionExpression="attribute_not_exists(pk) OR used_for = :file "
                "OR #ttl < :issued",
                ExpressionAttributeNames={"#ttl": "ttl"},
                ExpressionAttributeValues=attributes(**values),
            )
        except ConditionFailedError:
            return False
        return True

    def burn_token(
        self, lookup_id: str, token_hash: str, registry: str | None, now: datetime
    ) -> bool:
        """End a token early; say whether this call has ended it."""
        condition = "token_hash = :hash AND attribute_not_exists(burned_at)"
        values: dict[str, Any] = {":hash": token_hash, ":now": int(now.timestamp())}
        if registry is not None:
            condition += " AND contains(registries, :registry)"
            values[":registry"] = registry
        try:
            self._call(
                self._client.update_item,
                Key=token_key(lookup_id),
                UpdateExpression="SET burned_at = :now",
                ConditionExpression=condition,
                ExpressionAttributeValues=attributes(**values),
            )
        except ConditionFailedError:
            return False
        return True


def token_key(lookup_id: str) -> dict[str, Any]:
    """Return the key of a token's row."""
    return attributes(pk=f"TOKEN#{lookup_id}", sk="TOKEN")


def token_item(record: TokenRecord) -> dict[str, Any]:
    """Return the row of a new token."""
    marks = attributes(
        document=dump(record.document()),
        token_hash=record.token_hash,
        registries=frozenset(record.registries),
        ttl=int(record.kept_until.timestamp()),
    )
    key = token_key(record.lookup_id)
    return {**key, **marks, **attributes(listed=listed_as(key["pk"]["S"]))}


def use_key(lookup_id: str) -> dict[str, Any]:
    """Return the key of the row that says what a token was used for."""
    return attributes(pk=f"USE#{lookup_id}", sk="USE")


def read_token(row: Mapping[str, Any], use: Mapping[str, Any] | None) -> TokenRecord:
    """Return the record in a token's row and in the row of its use."""
    # The use of an earlier token with the same lookup id may still be stored.
    is_its_own = use is not None and use["ttl"] == row["ttl"]
    used_for = use["used_for"] if use is not None and is_its_own else None
    return TokenRecord.from_document(json.loads(row["document"]), row.get("burned_at"), used_for)
