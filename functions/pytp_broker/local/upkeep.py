"""Look after a running server: log changes, renew certificates, remove bytes nobody needs.

An operator changes a running server from another process, with ``apply --data`` or ``token burn
--data``, or makes it read its file again with SIGHUP. The functions see the change within ten
seconds, because they cache no configuration longer. This module logs the change and updates the
certificate.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Any, Final, Protocol

from pytp_broker.errors import StoreUnavailable
from pytp_broker.local.certificates import CertificateFiles
from pytp_broker.local.given_certificate import CertificateError
from pytp_broker.local.log import Log
from pytp_broker.local.measures import UNMEASURED, Measures
from pytp_broker.storage.sqlite import SqliteStore

POLL_SECONDS: Final = 2
# An `apply` may leave 100,000 records; so many of them are in memory at a time.
_AT_ONCE: Final = 1_000
Swap = Callable[[CertificateFiles], None]


class ServerCertificate(Protocol):
    """A certificate that may change while the server runs."""

    files: CertificateFiles

    def refresh(self, names: Sequence[str], now: datetime) -> bool:
        """Bring it up to date; say whether it has changed. Raises CertificateError, OSError."""


class OperatorRecords:
    """The records of what operators did to a store since the last call."""

    def __init__(self, store: SqliteStore) -> None:
        """Start after the records that exist; raise StoreUnavailable."""
        self._store = store
        self._last = store.last_operator_record()
        self.was_empty = self._last == 0

    def skip(self) -> None:
        """Skip the records that exist now."""
        self._last = self._store.last_operator_record()

    def __call__(self) -> Sequence[Mapping[str, Any]]:
        """Return new records in their order, as many as one reads at a time; none at the end."""
        found = self._store.follow_operator_records(self._last, _AT_ONCE)
        self._last = found[-1][0] if found else self._last
        return [record for _, record in found]


@dataclass
class Upkeep:
    """A thread that looks after a running server.

    ``names`` returns the host names that are served now, ``reload`` reads the configuration file
    again, ``records`` returns what operators did since the last call, and ``remove_bytes`` removes
    those that nobody needs any more.
    """

    log: Log
    names: Callable[[], Sequence[str]]
    reload: Callable[[], None]
    records: Callable[[], Sequence[Mapping[str, Any]]]
    remove_bytes: Callable[[], None]
    certificate: ServerCertificate | None
    measures: Measures = UNMEASURED
    _woken: Event = field(default_factory=Event)
    _is_asked: bool = False
    _is_over: bool = False
    _served: Sequence[str] | None = None  # None: read them from the store
    _complaint: str = ""

    def ask_to_reload(self) -> None:
        """Ask the thread to read the files again soon. A signal handler may call this."""
        self._is_asked = True
        self._woken.set()

    def start(self, context: ssl.SSLContext | None) -> Thread:
        """Start the thread in the server's event loop; new certificates go into the context."""
        swap = self.swapping(context)
        thread = Thread(target=self._run, args=(swap,), name="upkeep", daemon=True)
        thread.start()
        return thread

    def swapping(self, context: ssl.SSLContext | None) -> Swap:
        """Return a function that loads files into a TLS context, in the running event loop."""
        loop = asyncio.get_running_loop()

        def swap(files: CertificateFiles) -> None:
            if context is not None:
                with suppress(RuntimeError):  # the loop has just ended
                    loop.call_soon_threadsafe(
                        context.load_cert_chain, files.certificate, files.private_key
                    )

        return swap

    def stop(self) -> None:
        """End the thread when its turn is finished."""
        self._is_over = True
        self._woken.set()

    def _run(self, swap: Swap) -> None:
        while not self._is_over:
            self.turn(swap)
            self._woken.wait(POLL_SECONDS)
            self._woken.clear()

    def turn(self, swap: Swap) -> None:
        """Do what is due; log every failure, and try again in the next turn."""
        is_good = False
        try:
            if self._is_asked:
                self._is_asked = False  # first, so that a later request causes another reading
                self.reload()
                self._served = None
            if self._tell_changes():
                self._served = None
            if self.certificate is not None:
                self._renew(self.certificate, swap)
            self.remove_bytes()
            self._complaint = ""
            is_good = True
        except (StoreUnavailable, CertificateError, OSError) as error:
            self._complain(error)
        except Exception as error:  # noqa: BLE001 - the outermost edge of this thread
            self.log.fault(error)
        self.measures.looked_after(is_good=is_good)

    def _tell_changes(self) -> bool:
        is_told = False
        while records := self.records():
            for record in records:
                self.log.write(**record)
            is_told = True
        return is_told

    def _renew(self, certificate: ServerCertificate, swap: Swap) -> None:
        if self._served is None:
            self._served = self.names()
        told = certificate.files.remarks
        if certificate.refresh(self._served, datetime.now(UTC)):
            swap(certificate.files)
            self.log.write("certificate", message="the server has another certificate now")
            told = ()
        for remark in certificate.files.remarks:
            if remark not in told:
                self.log.write("warning", by="certificate", message=remark)

    def _complain(self, error: Exception) -> None:
        # Log a failure once, not in every turn, until it is over or another failure follows.
        complaint = error.detail if isinstance(error, StoreUnavailable) else str(error)
        if complaint != self._complaint:
            self.log.write("warning", by="upkeep", message=complaint)
        self._complaint = complaint
