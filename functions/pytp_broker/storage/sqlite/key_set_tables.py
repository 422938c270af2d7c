"""Tables of SQLite for the last good key set of each issuer, and for when it was refreshed."""

import json
from datetime import datetime, timedelta

from pytp_broker.oidc.keycache import StoredKeySet
from pytp_broker.storage.sqlite.database import Database


class KeySetTables(Database):
    """Key sets of issuers."""

    def find_key_set(self, issuer_url: str) -> StoredKeySet | None:
        """Return the issuer's last good key set."""
        with self._read() as connection:
            found = connection.execute(
                "SELECT keys, fetched_at FROM key_sets WHERE issuer = ?", (issuer_url,)
            ).fetchone()
        if found is None:
            return None
        keys, fetched_at = found
        return StoredKeySet(json.loads(keys), datetime.fromisoformat(fetched_at))

    def save_key_set(self, issuer_url: str, key_set: StoredKeySet) -> None:
        """Keep a good key set."""
        keys = json.dumps([dict(key) for key in key_set.keys])
        with self._write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO key_sets (issuer, keys, fetched_at) VALUES (?, ?, ?)",
                (issuer_url, keys, key_set.fetched_at.isoformat()),
            )

    def claim_key_set_refresh(self, issuer_url: str, now: datetime, cooldown: timedelta) -> bool:
        """Claim the issuer's next refresh; say whether it is ours."""
        with self._write() as connection:
            claimed = connection.execute(
                "INSERT INTO key_set_refreshes (issuer, claimed_at) VALUES (:issuer, :now) "
                "ON CONFLICT (issuer) DO UPDATE SET claimed_at = :now "
                "WHERE abs(:now - claimed_at) >= :cooldown",
                {
                    "issuer": issuer_url,
                    "now": int(now.timestamp()),
                    "cooldown": int(cooldown.total_seconds()),
                },
            )
            return claimed.rowcount == 1
