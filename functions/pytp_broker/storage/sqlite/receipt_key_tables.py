"""Table of SQLite for the public keys of receipts."""

import json
from collections.abc import Sequence

from pytp_broker.provenance.receipt_keys import ReceiptKey, oldest_first
from pytp_broker.storage.sqlite.database import Database, dump


class ReceiptKeyTables(Database):
    """The keys of receipts."""

    def list_receipt_keys(self) -> Sequence[ReceiptKey]:
        """Return every key that there ever was, oldest first."""
        with self._read() as connection:
            found = connection.execute("SELECT document FROM receipt_keys").fetchall()
        return oldest_first(_read(document) for (document,) in found)

    def save_receipt_key(self, key: ReceiptKey, present: ReceiptKey | None) -> bool:
        """Replace the present key of this id, or None, by this one."""
        with self._write() as connection:
            found = connection.execute(
                "SELECT document FROM receipt_keys WHERE key_id = ?", (key.key_id,)
            ).fetchone()
            stored = _read(found[0]) if found else None
            if stored != present:
                return stored == key
            connection.execute(
                "INSERT OR REPLACE INTO receipt_keys (key_id, document) VALUES (?, ?)",
                (key.key_id, dump(key.document())),
            )
        return True


def _read(document: str) -> ReceiptKey:
    return ReceiptKey.from_document(json.loads(document))
