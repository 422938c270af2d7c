"""The rows of one run of ``apply``, which name what it may be changing."""

import secrets
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, Final

from pytp_broker.aws.api.dynamodb import DynamoDB
from pytp_broker.aws.dynamodb.catalogue import CATALOGUE, Key, Run, make_runs
from pytp_broker.aws.dynamodb.table import attributes

# A third of the time after which others take a run for a dead one.
_RENEWAL_SECONDS: Final = 5 * 60


class OwnRun:
    """One run of ``apply``: it has rows in the table from its first write to its end."""

    def __init__(
        self,
        call: Callable[..., Any],
        client: DynamoDB,
        by: str,
        now: Callable[[], float],
    ) -> None:
        self._call = call
        self._client = client
        self._by = by
        self._now = now
        self._token = secrets.token_hex(8)
        self._began_at = self._seen_at = int(now())
        self._covered: list[Key] = []
        self._rows: list[Run] = []
        self._lock = Lock()

    def has(self, row: Run) -> bool:
        """Say whether a row is one of this run."""
        return any(mine.sk == row.sk for mine in self._rows)

    def cover(self, keys: Sequence[Key]) -> None:
        """Store these keys, before the rows that have them are written."""
        known = set(self._covered)
        new = [key for key in dict.fromkeys(keys) if key not in known]
        self._covered += new
        self._seen_at = int(self._now())
        times = self._began_at, self._seen_at
        rows = make_runs(self._token, len(self._rows), self._by, times, new)
        self._rows += rows
        self._put(rows)

    def keep_alive(self) -> None:
        """Say anew that the run goes on, if that is due."""
        with self._lock:
            if self._now() - self._seen_at > _RENEWAL_SECONDS:
                now = int(self._now())
                self._rows = [Run(r.sk, r.by, r.began_at, now, r.keys) for r in self._rows]
                self._put(self._rows)
                self._seen_at = now

    def end(self) -> None:
        """Remove the rows: everything that they name is as its entries say."""
        for row in self._rows:
            self._call(self._client.delete_item, Key=attributes(pk=CATALOGUE, sk=row.sk))
        self._rows = []

    def _put(self, rows: Sequence[Run]) -> None:
        for row in rows:
            self._call(self._client.put_item, Item=attributes(**row.item()))
