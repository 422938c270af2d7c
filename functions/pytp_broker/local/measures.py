"""What the server counts of itself while it works; without a port for metrics it counts nothing."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from pytp_broker.audit.record import Audit, AuditRecord
from pytp_broker.local.lanes import Lane
from pytp_broker.local.log import Log
from pytp_broker.oidc.documents import Fetch, FetchError, Reach
from pytp_broker.provenance.dsse import Signature
from pytp_broker.provenance.signing import Signer
from pytp_broker.registries import Access


@dataclass(frozen=True, slots=True)
class Answered:
    """A request that was answered: its method and decoded path, and how it ended."""

    method: str
    path: str
    status: int
    seconds: float
    sent_bytes: int


@dataclass(frozen=True, slots=True)
class Watched:
    """The parts of a server whose state is shown; each may be asked from another thread.

    ``key_set_ages`` returns a provider and an age in seconds for each issuer whose keys we have.
    ``configuration_age`` is None until the configuration was read. ``registries`` returns the names
    that are configured, as far as we know.
    """

    lanes: Mapping[str, Lane]
    connections: Callable[[], int]
    waiting_files: Callable[[], int]
    refusing_sources: Callable[[], int]
    key_set_ages: Callable[[], Iterable[tuple[str, float]]]
    configuration_age: Callable[[], float | None]
    registries: Callable[[], Collection[str]]


class Measures:
    """The measures of a server that nobody asks for: each call does nothing."""

    def watch(self, watched: Watched) -> None:
        """Take the parts of a server whose state is shown."""

    def answered(self, request: Answered) -> None:
        """Count a request."""

    def received(self, octets: int) -> None:
        """Count the bytes of a body."""

    def recorded(self, record: AuditRecord) -> None:
        """Count an audit record."""

    def refused(self, reason: str) -> None:
        """Count a connection that was closed without an answer."""

    def fetched(self, *, is_good: bool) -> None:
        """Count a document of an issuer."""

    def signed(self, *, is_good: bool) -> None:
        """Count a receipt."""

    def looked_after(self, *, is_good: bool) -> None:
        """Count a turn of the upkeep."""


UNMEASURED = Measures()


def audited(log: Log, measures: Measures) -> Audit:
    """Return what writes a record and then counts it; it raises OSError as the log does."""

    def audit(record: AuditRecord) -> None:
        log.audit(record)
        measures.recorded(record)

    return audit


def measured_reach(reach: Reach, measures: Measures) -> Reach:
    """Return what fetches the documents of issuers and counts them."""

    def measured(access: Access) -> Fetch:
        return _counting(reach(access), measures)

    return measured


def _counting(fetch: Callable[[str], bytes], measures: Measures) -> Fetch:
    def fetch_and_count(url: str) -> bytes:
        try:
            document = fetch(url)
        except FetchError:
            measures.fetched(is_good=False)
            raise
        measures.fetched(is_good=True)
        return document

    return fetch_and_count


@dataclass(frozen=True, slots=True)
class MeasuredSigner:
    """A Signer whose receipts are counted."""

    signer: Signer
    measures: Measures

    def sign(self, message: bytes) -> Signature:
        """Return the signature; raise StoreUnavailable."""
        is_good = False
        try:
            signature = self.signer.sign(message)
            is_good = True
        finally:
            self.measures.signed(is_good=is_good)
        return signature
