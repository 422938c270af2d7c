"""Get timestamps for the receipts of one publication, if there is a time-stamping authority.

A file is published without one if the authority fails, and an audit record says so. All files of a
release together wait for a limited time, because the client waits for them.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

from pytp_broker.audit.findings import Timestamp
from pytp_broker.audit.record import Audit
from pytp_broker.provenance.timestamps import NoStamper, Stamper, TimestampError
from pytp_broker.registries import Timestamping
from pytp_broker.services import Index
from pytp_broker.storage.file_records import PublishedFile

# API Gateway waits for 30 s, and signing a thousand files takes most of it.
SECONDS_PER_PUBLICATION: Final = 8.0


@dataclass(frozen=True, slots=True)
class Countersigner:
    """Gets timestamps until ``until``, a time of ``clock``; many threads may share it."""

    authority: Timestamping | None
    stamper: Stamper
    audit: Audit
    until: float
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def of(cls, index: Index) -> Self:
        """Return what gets timestamps for a publication that begins now; StoreUnavailable."""
        authority = index.configurations.current().timestamping
        until = time.monotonic() + SECONDS_PER_PUBLICATION
        return cls(authority, index.stamper, index.audit, until)

    @classmethod
    def of_import(cls, authority: Timestamping | None, stamper: Stamper, audit: Audit) -> Self:
        """Return what gets timestamps for an import, for which no client waits."""
        return cls(authority, stamper, audit, math.inf)

    def stamp(self, file: PublishedFile, signature: bytes) -> bytes | None:
        """Return a timestamp of the signature of a file's receipt, or None without one."""
        if self.authority is None:
            return None
        try:
            self._check_time()
            return self.stamper.stamp(self.authority, signature)
        except TimestampError as error:
            event = Timestamp(registry=file.registry, filename=file.filename)
            self.audit(event.missing(f"{self.authority.url}: {error}"))
            return None

    def _check_time(self) -> None:
        if self.clock() >= self.until:
            raise TimestampError(
                f"it was not asked: the files before this one took {SECONDS_PER_PUBLICATION:g} s"
            )


NO_TIMESTAMPS: Final = Countersigner(None, NoStamper(), lambda _: None, math.inf)
