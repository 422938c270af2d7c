"""Find the destination of a request: a registry, or the root of the shared host.

One deployment serves many registries. A registry answers under its prefix on the shared host
(``/acme/…``), and without a prefix on every host name that it claims. The root of the shared host
stands for all registries that take part in it, because every released client asks there.
"""

from dataclasses import dataclass

from pytp_broker.errors import NotFound
from pytp_broker.names import is_sent_host, without_port
from pytp_broker.registries import (
    DEFAULT_REFUSALS_PER_MINUTE,
    Configuration,
    Registry,
    default_audience,
)


@dataclass(frozen=True, slots=True)
class Destination:
    """The destination of a request: one registry, or the root of the shared host.

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

    def accepts(self, issuer_url: str) -> bool:
        """Say whether a registry here accepts tokens of an issuer, if the issuer is known."""
        return any(registry.accepts(issuer_url) for registry in self.registries)


def locate(configuration: Configuration, host: str, path: str, shared_host: str) -> Destination:
    """Return the destination of a request, by exact match of host name and first path segment.

    ``host`` may carry a port, which we use only in the URLs of our answers. Raises NotFound when
    ``host`` is not a host name, because our answers repeat it.
    """
    if not is_sent_host(host):
        raise NotFound("there is nothing at this address")
    host_name = without_port(host).lower()
    for registry in configuration.registries.values():
        if host_name in registry.hosts:
            return _at_registry(registry, host, "", path, shared_host)
    name, slash, rest = path.removeprefix("/").partition("/")
    if name in configuration.registries:
        registry = configuration.registries[name]
        return _at_registry(registry, host, f"/{name}", slash + rest, shared_host)
    sharing = tuple(r for r in configuration.registries.values() if r.shared_host_exchange)
    return Destination(host, "", path, default_audience(shared_host), sharing, is_shared_root=True)


def root_of(host: str, path: str) -> Destination:
    """Return the root of a host, as it is without any registry."""
    return Destination(host, "", path, "", (), is_shared_root=True)


def _at_registry(
    registry: Registry, host: str, base_path: str, path: str, shared_host: str
) -> Destination:
    audience = registry.audience_on(shared_host)
    return Destination(host, base_path, path, audience, (registry,), is_shared_root=False)
