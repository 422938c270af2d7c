"""The functions with services that never wait: where they would, they raise WouldWaitError."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final, NoReturn, TypeAlias, TypeVar

from pytp_broker.audit.record import Audit
from pytp_broker.endpoints import broker, introspect, read
from pytp_broker.endpoints.events import Event, handle_here
from pytp_broker.oidc.jwks import VerificationKey
from pytp_broker.oidc.keysets import KeySets
from pytp_broker.registries import Configuration, Issuer
from pytp_broker.services import Broker, Index
from pytp_broker.storage.sqlite import SqliteStore
from pytp_broker.storage.sqlite.at_once import WouldWaitError, WritesAtOnce

Result: TypeAlias = Mapping[str, Any]
Function: TypeAlias = Callable[[Event], Result]

T = TypeVar("T")


def functions_at_hand(
    store: SqliteStore, writes: WritesAtOnce, audit: Audit, exchange: Broker, index: Index
) -> Mapping[str, Function]:
    """Return the functions by their names in the template; uploads always wait."""
    shared: dict[str, Any] = {
        "store": _StoreAtHand(store, writes),
        "configurations": _ConfigurationAtHand(exchange),
        "audit": audit,
    }
    exchange_at_hand = replace(
        exchange,
        **shared,
        **_without("disclosure_keys", "receipt_keys", "health"),
        key_sets=_KeysAtHand(exchange.key_sets),  # type: ignore[arg-type] # has what is asked
    )
    index_at_hand = replace(
        index, **shared, **_without("files", "verifier", "signer", "stamper", "attester")
    )
    return {
        "BrokerFunction": partial(handle_here, routes=broker.ROUTES, services=exchange_at_hand),
        "ReadFunction": partial(handle_here, routes=read.ROUTES, services=index_at_hand),
        "IntrospectFunction": partial(
            handle_here, routes=introspect.ROUTES, services=index_at_hand
        ),
    }


def _without(*services: str) -> dict[str, Any]:
    return dict.fromkeys(services, _NothingAtHand())


def _required(found: T | None) -> T:
    if found is None:
        raise WouldWaitError
    return found


class _NothingAtHand:
    """A service that always waits: whatever is asked of it raises WouldWaitError."""

    def __getattr__(self, name: str) -> NoReturn:
        raise WouldWaitError(name)


class _ConfigurationAtHand(_NothingAtHand):
    """The configuration, while it is fresh."""

    def __init__(self, exchange: Broker) -> None:
        self._cache = exchange.configurations

    def current(self) -> Configuration:
        """Return the configuration; raise WouldWaitError."""
        return _required(self._cache.at_hand())


class _KeysAtHand(_NothingAtHand):
    """The keys of issuers that are in memory and fresh."""

    def __init__(self, key_sets: KeySets) -> None:
        self._key_sets = key_sets

    def find_key(self, issuer: Issuer, unverified_key_id: str, now: datetime) -> VerificationKey:
        """Return the issuer's key of this id; raise WouldWaitError."""
        return _required(self._key_sets.key_at_hand(issuer, unverified_key_id, now))


class _StoreAtHand(_NothingAtHand):
    """What the embedded store does in microseconds; every other call waits."""

    def __init__(self, store: SqliteStore, writes: WritesAtOnce) -> None:
        at_once = store.writing_by(writes)
        self.list_publishers: Final = at_once.list_publishers
        self.find_token: Final = at_once.find_token
        self.find_edition: Final = at_once.find_edition
        self.add_token: Final = at_once.add_token
        self.burn_token: Final = at_once.burn_token
        self.use_token: Final = at_once.use_token
