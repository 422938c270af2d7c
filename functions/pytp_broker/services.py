"""The services that the handlers work with; they are passed in, never looked up."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pytp_broker.audit.record import Audit
from pytp_broker.budgets import RefusalBudget, network_of
from pytp_broker.destinations import Destination
from pytp_broker.errors import DEFAULT_TYPE_BASE, Problem
from pytp_broker.health import Health
from pytp_broker.http.kept_pages import KeptPages
from pytp_broker.known_readers import KnownReaders
from pytp_broker.oidc.documents import Fetch, Reach
from pytp_broker.provenance.attester import Attester, NoAttester
from pytp_broker.provenance.signing import NoSigner, Signer
from pytp_broker.provenance.timestamps import NoStamper, Stamper
from pytp_broker.side_by_side import SideBySide, in_order
from pytp_broker.storage.cache import ConfigurationCache, ReceiptKeyCache
from pytp_broker.storage.file_store import FileStore
from pytp_broker.storage.protocols import RuntimeStore
from pytp_broker.verifier import IMMEDIATE_BYTES, Verifier

if TYPE_CHECKING:
    from pytp_broker.leaks import DisclosureKeys
    from pytp_broker.oidc.keysets import KeySets

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the time; the whole deployment uses this clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Services:
    """The services that every function of the deployment has.

    ``shared_host`` is the host name of the deployment itself. It comes from the deployment's own
    configuration and never from a request, because the audience of the root is derived from it.
    ``error_type_base`` is what the ``type`` of every error begins with.
    """

    store: RuntimeStore
    configurations: ConfigurationCache
    shared_host: str
    now: Clock
    audit: Audit
    error_type_base: str = field(default=DEFAULT_TYPE_BASE, kw_only=True)
    known_readers: KnownReaders = field(default_factory=KnownReaders, kw_only=True)

    def turn_away(
        self,
        source_ip: str,  # noqa: ARG002 - the broker counts by it
        destination: Destination,  # noqa: ARG002
        problem: Problem,
    ) -> Problem:
        """Return the refusal of a request that reaches no endpoint."""
        return problem


@dataclass(frozen=True, slots=True)
class Broker(Services):
    """The services of the broker function: the exchange, leaked tokens, and keys of receipts."""

    key_sets: "KeySets"
    disclosure_keys: "DisclosureKeys"
    receipt_keys: ReceiptKeyCache
    budget: RefusalBudget = field(default_factory=RefusalBudget)
    health: Health = field(default_factory=Health)

    def turn_away(self, source_ip: str, destination: Destination, problem: Problem) -> Problem:
        """Return the refusal, and count it; raise TooManyRequests.

        The gateway's throttle counts such a request like an exchange. A request for a registry that
        does not exist counts for the root, so that an invented name does not give a new budget.
        """
        source = (destination.name, network_of(source_ip))
        self.budget.check(source, destination.refusals_per_minute)
        self.budget.charge(source, destination.refusals_per_minute)
        return problem


@dataclass(frozen=True, slots=True)
class Index(Services):
    """The services of uploads and downloads.

    ``max_upload_bytes`` is the largest body that this deployment's gateway and function take.
    ``verifier`` verifies uploads of more than ``immediate_bytes`` later. ``signer`` signs receipts,
    ``stamper`` gets timestamps for them, and ``attester`` verifies attestations. ``kept_pages``
    are those that were rendered lately. ``side_by_side`` makes calls at the same time that do not
    depend on each other.
    """

    files: FileStore
    max_upload_bytes: int
    verifier: Verifier
    signer: Signer = field(default_factory=NoSigner, kw_only=True)
    stamper: Stamper = field(default_factory=NoStamper, kw_only=True)
    attester: Attester = field(default_factory=NoAttester, kw_only=True)
    immediate_bytes: int = field(default=IMMEDIATE_BYTES, kw_only=True)
    kept_pages: KeptPages = field(default_factory=KeptPages, kw_only=True)
    side_by_side: SideBySide = field(default=in_order, kw_only=True)


def build(  # noqa: PLR0913 - each is given by its name
    store: RuntimeStore,
    *,
    shared_host: str,
    audit: Audit,
    now: Clock = utc_now,
    configurations: ConfigurationCache | None = None,
    error_type_base: str = DEFAULT_TYPE_BASE,
) -> Services:
    """Return the services that every function of a deployment has."""
    return Services(
        store=store,
        configurations=configurations or ConfigurationCache(store.load_configuration),
        shared_host=shared_host,
        now=now,
        audit=audit,
        error_type_base=error_type_base,
    )


def build_broker(  # noqa: PLR0913 - each is given by its name
    services: Services,
    *,
    reach: Reach,
    disclosure_keys_url: str,
    fetch_disclosure_keys: Fetch,
    receipt_keys: ReceiptKeyCache | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> Broker:
    """Return the services of the broker function.

    ``reach`` returns what fetches the documents of an issuer. The other functions verify no token,
    so only this one imports what does.
    """
    from pytp_broker.leaks import DisclosureKeys
    from pytp_broker.oidc.keysets import KeySets

    store, audit = services.store, services.audit
    return Broker(
        **_shared(services),
        key_sets=KeySets(reach, store, audit, wait),
        disclosure_keys=DisclosureKeys(disclosure_keys_url, fetch_disclosure_keys, store, audit),
        receipt_keys=receipt_keys or ReceiptKeyCache(store.list_receipt_keys),
    )


def build_index(  # noqa: PLR0913 - each is given by its name
    services: Services,
    *,
    files: FileStore,
    max_upload_bytes: int,
    verifier: Verifier,
    signer: Signer | None = None,
    stamper: Stamper | None = None,
    attester: Attester | None = None,
    immediate_bytes: int = IMMEDIATE_BYTES,
    kept_pages: KeptPages | None = None,
    side_by_side: SideBySide = in_order,
) -> Index:
    """Return the services of the functions that handle files."""
    return Index(
        **_shared(services),
        files=files,
        max_upload_bytes=max_upload_bytes,
        verifier=verifier,
        signer=signer or NoSigner(),
        stamper=stamper or NoStamper(),
        attester=attester or NoAttester(),
        immediate_bytes=immediate_bytes,
        kept_pages=kept_pages or KeptPages(),
        side_by_side=side_by_side,
    )


def _shared(services: Services) -> dict[str, Any]:
    return {each.name: getattr(services, each.name) for each in fields(Services)}
