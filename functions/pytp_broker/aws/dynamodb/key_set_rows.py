"""Rows of DynamoDB for the last good key set of each issuer, and for who refreshes it."""

import json
import secrets
from datetime import datetime, timedelta

from pytp_broker.aws.dynamodb.table import ConditionFailedError, Table, attributes, dump
from pytp_broker.oidc.keycache import StoredKeySet


class KeySetRows(Table):
    """Key sets of issuers."""

    def find_key_set(self, issuer_url: str) -> StoredKeySet | None:
        """Return the issuer's last good key set."""
        row = self._find(f"KEYSET#{issuer_url}", "KEYSET")
        if row is None:
            return None
        document = json.loads(row["document"])
        return StoredKeySet(document["keys"], datetime.fromisoformat(document["fetched_at"]))

    def save_key_set(self, issuer_url: str, key_set: StoredKeySet) -> None:
        """Keep a good key set."""
        document = {
            "keys": [dict(key) for key in key_set.keys],
            "fetched_at": key_set.fetched_at.isoformat(),
        }
        item = attributes(pk=f"KEYSET#{issuer_url}", sk="KEYSET", document=dump(document))
        self._call(self._client.put_item, Item=item)

    def claim_key_set_refresh(self, issuer_url: str, now: datetime, cooldown: timedelta) -> bool:
        """Claim the issuer's next refresh; say whether it is ours."""
        seconds, distance = int(now.timestamp()), int(cooldown.total_seconds())
        claimed_by = secrets.token_hex(8)
        item = attributes(
            pk=f"KEYSET#{issuer_url}", sk="REFRESH", claimed_at=seconds, claimed_by=claimed_by
        )
        try:
            self._call(
                self._client.put_item,
                Item=item,
                ConditionExpression="attribute_not_exists(pk) "
                "OR claimed_at <= :before OR claimed_at >= :after",
                ExpressionAttributeValues=attributes(
                    **{":before": seconds - distance, ":after": seconds + distance}
                ),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ConditionFailedError as taken:
            return bool(taken.item.get("claimed_by") == claimed_by)
        return True
