"""Registries, issuers and hosts: what a request is addressed to.

One deployment serves many registries. A registry answers under its prefix on the shared host
(``/acme/…``), and without a prefix on every host name that it claims. The root of the shared host
stands for all registries that take part in it, because every released client asks there.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final, Self

from pytp_broker.errors import NotFound, StoreUnavailable

# Every kill switch (registry, issuer, everything) works within this time.
CONFIGURATION_MAX_AGE_SECONDS: Final = 10

# A misconfigured pipeline causes far fewer refusals, also where many share one address. The gateway
# lets through many more in a minute, so one address reaches its own limit before it has used up
# everybody's.
DEFAULT_REFUSALS_PER_MINUTE: Final = 300

# As at PyPI. A release that no longer takes files cannot change what `==1.0` installs.
DEFAULT_RELEASE_OPEN_DAYS: Final = 14

# RFC 1123 §2.1: at most 63 characters between two dots, so that our URLs repeat no token sent here.
_NAME: Final = r"(?=[^:]{1,253}(:|\Z))[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*\.?"
_HOST: Final = re.compile(rf"({_NAME}|\[[0-9A-Fa-f:.]{{2,45}}\])(:[0-9]{{1,5}})?")
# The id of an index that may ask about tokens.
CLIENT_ID: Final = r"[A-Za-z0-9._-]{1,64}"

LEGACY_PATH: Final = "/legacy/"
AUDIENCE_PATH: Final = "/_/oidc/audience"
MINT_PATH: Final = "/_/oidc/mint-token"


@dataclass(frozen=True, slots=True)
class Access:
    """How one issuer's documents are fetched; the default is over the public Internet.

    ``is_private`` allows addresses inside the operator's network. ``ca_pem`` holds the certificates
    of the authorities that this issuer uses instead of the public ones. ``proxy`` is the URL of a
    proxy, or ``ENVIRONMENT_PROXY`` for the one that the broker's environment names.
    """

    is_private: bool = False
    ca_pem: str = ""
    proxy: str = ""


PUBLIC_ACCESS: Final = Access()
ENVIRONMENT_PROXY: Final = "HTTPS_PROXY"


@dataclass(frozen=True, slots=True)
class Issuer:
    """A URL that signs identity tokens, and the kind of CI behind it."""

    url: str
    provider: str
    algorithms: tuple[str, ...]
    jwks_hosts: tuple[str, ...] = ()
    enabled: bool = True
    access: Access = PUBLIC_ACCESS

    def document(self) -> dict[str, Any]:
        """Return the issuer as JSON types."""
        return {
            "url": self.url,
            "provider": self.provider,
            "algorithms": list(self.algorithms),
            "jwks_hosts": list(self.jwks_hosts),
            "enabled": self.enabled,
            "private": self.access.is_private,
            "ca_pem": self.access.ca_pem,
            "proxy": self.access.proxy,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Return the issuer that ``document()`` described."""
        return cls(
            url=document["url"],
            provider=document["provider"],
            algorithms=tuple(document["algorithms"]),
            jwks_hosts=tuple(document["jwks_hosts"]),
            enabled=document["enabled"],
            # The rows of earlier versions have no access settings.
            access=Access(
                is_private=document.get("private", False),
                ca_pem=document.get("ca_pem", ""),
                proxy=document.get("proxy", ""),
            ),
        )


@dataclass(frozen=True, slots=True)
class Registry:
    """One upload destination with its own prefix, audience, issuers and publishers.

    ``introspection_clients`` are the other indexes that may ask about its tokens: the id of each,
    and the SHA-256 of its secret in hex. ``release_open_days`` is how long a release takes files
    after its first one; None means no limit.
    """

    name: str
    issuers: tuple[str, ...]
    audience: str | None = None
    hosts: tuple[str, ...] = ()
    token_lifetime_seconds: int = 900
    shared_host_exchange: bool = True
    enabled: bool = True
    introspection_clients: Mapping[str, str] = field(default_factory=dict)
    refusals_per_minute: int = DEFAULT_REFUSALS_PER_MINUTE
    release_open_days: int | None = DEFAULT_RELEASE_OPEN_DAYS

    def audience_on(self, shared_host: str) -> str:
        """Return the configured audience, else one derived from host and name."""
        if self.audience is not None:
            return self.audience
        return default_audience(self.hosts[0] if self.hosts else f"{shared_host}/{self.name}")

    def document(self) -> dict[str, Any]:
        """Return the registry as JSON types."""
        return {
            "name": self.name,
            "issuers": list(self.issuers),
            "audience": self.audience,
            "hosts": list(self.hosts),
            "token_lifetime_seconds": self.token_lifetime_seconds,
            "shared_host_exchange": self.shared_host_exchange,
            "enabled": self.enabled,
            "introspection_clients": dict(self.introspection_clients),
            "refusals_per_minute": self.refusals_per_minute,
            "release_open_days": self.release_open_days,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Return the registry that ``document()`` described."""
        return cls(
            name=document["name"],
            issuers=tuple(document["issuers"]),
            audience=document["audience"],
            hosts=tuple(document["hosts"]),
            token_lifetime_seconds=document["token_lifetime_seconds"],
            shared_host_exchange=document["shared_host_exchange"],
            enabled=document["enabled"],
            introspection_clients=document["introspection_clients"],
            refusals_per_minute=document["refusals_per_minute"],
            # The documents of earlier versions lack this member.
            release_open_days=document.get("release_open_days", DEFAULT_RELEASE_OPEN_DAYS),
        )


def default_audience(place: str) -> str:
    """Return an audience for a place, starting with a letter.

    CI systems derive a variable's name from the audience, and clients disagree about how to do
    that for one that starts with a digit.
    """
    return place if place[:1].isalpha() else f"pytp-{place}"


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything an operator configures except the publishers, which are looked up one by one."""

    issuers: Mapping[str, Issuer] = field(default_factory=dict)
    registries: Mapping[str, Registry] = field(default_factory=dict)
    enabled: bool = True

    def is_enabled(self, registry: str, issuer: str) -> bool:
        """Say whether tokens of this issuer are good in this registry now."""
        known = self.registries.get(registry)
        signer = self.issuers.get(issuer)
        return (
            self.enabled
            and known is not None
            and known.enabled
            and signer is not None
            and signer.enabled
            and issuer in known.issuers
        )


# Lambda freezes the process between requests: the monotonic clock may stop, and the wall clock may
# be set back. A configuration is fresh only if both clocks agree.
_CLOCKS: Final = (time.monotonic, time.time)
_Moment = tuple[float, ...]


class ConfigurationCache:
    """Cache of the configuration: never older than ten seconds, so it fails closed.

    ``max_age_seconds`` sets a shorter time.
    """

    def __init__(
        self,
        load: Callable[[], Configuration],
        clocks: Sequence[Callable[[], float]] = _CLOCKS,
        max_age_seconds: float = CONFIGURATION_MAX_AGE_SECONDS,
    ) -> None:
        self._load = load
        self._max_age_seconds = max_age_seconds
        self._clocks = clocks
        self._lock = Lock()
        self._loaded: tuple[_Moment, Configuration] | None = None
        self._failed_at: _Moment = ()  # no failure yet: the empty tuple is less than any moment
        self._cause = ""

    def current(self) -> Configuration:
        """Return the configuration; raise StoreUnavailable when it cannot be read."""
        arrived_at = self._moment()
        with self._lock:
            asked_at = self._moment()
            if self._loaded and self._is_fresh(self._loaded[0], asked_at):
                return self._loaded[1]
            if arrived_at < self._failed_at:
                # This request has waited for a load that failed; it does not wait for another one.
                detail = "the configuration cannot be read"
                raise StoreUnavailable(detail, operator_detail=self._cause)
            return self._reload(asked_at)

    def _moment(self) -> _Moment:
        return tuple(clock() for clock in self._clocks)

    def _is_fresh(self, loaded_at: _Moment, now: _Moment) -> bool:
        """Say whether every clock shows that less than the maximum age has passed."""
        ages = (end - begin for begin, end in zip(loaded_at, now, strict=True))
        return all(0 <= age < self._max_age_seconds for age in ages)

    def _reload(self, asked_at: _Moment) -> Configuration:
        try:
            configuration = self._load()
        except StoreUnavailable as problem:
            self._failed_at, self._cause = self._moment(), problem.operator_detail
            raise
        self._loaded = (asked_at, configuration)
        return configuration


@dataclass(frozen=True, slots=True)
class Destination:
    """What a request is addressed to: one registry, or the root of the shared host.

    ``base_path`` leads to it (empty at a root), ``path`` is the rest. ``registries`` is the one
    registry, or all that take part in the shared host's exchange.
    """

    host: str
    base_path: str
    path: str
    audience: str
    registries: tuple[Registry, ...]
    is_shared_root: bool

    @property
    def registry(self) -> Registry:
        """Return the one registry; raise NotFound at the shared root."""
        if self.is_shared_root:
            raise NotFound("there is no registry at this address")
        return self.registries[0]

    @property
    def name(self) -> str:
        """Return the registry's name, or "" at the shared root; never text that a caller chose."""
        return "" if self.is_shared_root else self.registries[0].name

    @property
    def refusals_per_minute(self) -> int:
        """Return how many refused exchanges a minute one address may cause here."""
        limits = (registry.refusals_per_minute for registry in self.registries)
        return max(limits, default=DEFAULT_REFUSALS_PER_MINUTE)

    @property
    def issuer_urls(self) -> frozenset[str]:
        """Return the URLs of all issuers that a registry here accepts."""
        return frozenset(url for registry in self.registries for url in registry.issuers)

    def discovery_document(
        self, scheme: str, features: tuple[str, ...], default: tuple[str, ...]
    ) -> dict[str, object]:
        """Return where to exchange tokens for this destination (PEP 807)."""
        base_url = f"{scheme}://{self.host}{self.base_path}"
        return {
            "audience-endpoint": base_url + AUDIENCE_PATH,
            "token-mint-endpoint": base_url + MINT_PATH,
            "features": list(features),
            "default-features": list(default),
        }


def locate(configuration: Configuration, host: str, path: str, shared_host: str) -> Destination:
    """Return the destination of a request, by exact match of host name and first path segment.

    ``host`` may carry a port, which we use only in the URLs of our answers. Raises NotFound when
    ``host`` is not a host name, because our answers repeat it.
    """
    if not _HOST.fullmatch(host):
        raise NotFound("there is nothing at this address")
    host_name = host.rsplit(":", 1)[0].lower() if not host.endswith("]") else host
    for registry in configuration.registries.values():
        if host_name in registry.hosts:
            return _at_registry(registry, host, "", path, shared_host)
    name, slash, rest = path.removeprefix("/").partition("/")
    if slash and name in configuration.registries:
        registry = configuration.registries[name]
        return _at_registry(registry, host, f"/{name}", f"/{rest}", shared_host)
    sharing = tuple(r for r in configuration.registries.values() if r.shared_host_exchange)
    return Destination(host, "", path, default_audience(shared_host), sharing, is_shared_root=True)


def _at_registry(
    registry: Registry, host: str, base_path: str, path: str, shared_host: str
) -> Destination:
    audience = registry.audience_on(shared_host)
    return Destination(host, base_path, path, audience, (registry,), is_shared_root=False)
