"""Write a configuration file of what a store holds; ``apply`` of this file changes nothing.

Pinned ids are comments. As keys they would be rules, and a publisher with another rule is another
publisher: its tokens would end. ``apply`` finds the pins in the store, and keeps them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import tomli_w

from pytp_broker.redaction import legible
from pytp_broker.registries import ENVIRONMENT_PROXY, Access, Issuer, Registry, Timestamping
from pytp_broker.storage.plan import Setup
from pytp_broker.trust.providers import PROVIDERS
from pytp_broker.trust.publishers import TrustedPublisher

_TOP: Final = """\
# What a broker holds, as `pytp-broker export` wrote it. `plan` with this file finds no changes.
# Not in it: tokens, files, their states, keys of receipts, and issuers that are built in.
# Ids that were pinned on first use are comments: the broker keeps them as long as the publisher
# or the reader stays. To write one down for good, make it a key; that changes the publisher's
# rules, so its live tokens end.
"""


@dataclass(frozen=True, slots=True)
class Export:
    """A configuration file, and the files with certificates that it names."""

    text: str
    certificates: Mapping[str, str]


@dataclass(slots=True)
class _Writer:
    """Writes tables, and collects the certificates that need files of their own."""

    prefix: str
    certificates: dict[str, str] = field(default_factory=dict)

    def save(self, pem: str) -> dict[str, str]:
        """Return the key that names a file with these certificates; none without any."""
        if not pem:
            return {}
        known = {text: name for name, text in self.certificates.items()}
        name = known.get(pem, f"{self.prefix}ca-{len(self.certificates) + 1}.pem")
        self.certificates[name] = pem
        return {"ca_file": name}


def export(setup: Setup, prefix: str = "") -> Export:
    """Return a store's setup as a file; the names of its certificates' files begin as given."""
    main, writer = setup.configuration, _Writer(prefix)
    by_registry: dict[str, list[TrustedPublisher]] = {name: [] for name in main.registries}
    for publisher in sorted(setup.publishers.values(), key=_order):
        by_registry.setdefault(publisher.registry, []).append(publisher)
    owners = sorted({registry.owner for registry in main.registries.values()} - {""})
    parts = [
        _TOP + tomli_w.dumps({"enabled": main.enabled}),
        *_timestamping(main.timestamping, writer),
        *(_issuer(main.issuers[url], writer) for url in sorted(main.issuers)),
        *(_table("[[teams]]", {"name": name}) for name in owners),
        *(
            part
            for name in sorted(main.registries)
            for part in _registry(main.registries[name], by_registry[name])
        ),
    ]
    return Export("\n".join(parts), writer.certificates)


def _order(publisher: TrustedPublisher) -> tuple[bool, tuple[str, ...], str]:
    return publisher.is_reader, tuple(sorted(publisher.projects)), publisher.rules_hash


def _table(header: str, members: Mapping[str, Any]) -> str:
    return f"{header}\n{tomli_w.dumps(members)}"


def _timestamping(authority: Timestamping | None, writer: _Writer) -> Iterator[str]:
    if authority is not None:
        yield _table("[timestamping]", {"url": authority.url, **writer.save(authority.ca_pem)})


def _issuer(issuer: Issuer, writer: _Writer) -> str:
    access: Access = issuer.access
    proxy = True if access.proxy == ENVIRONMENT_PROXY else access.proxy
    optional = {
        "jwks_hosts": list(issuer.jwks_hosts),
        "private": access.is_private,
        "proxy": proxy,
    }
    members = {
        "url": issuer.url,
        "provider": issuer.provider,
        "algorithms": list(issuer.algorithms),
        **{name: value for name, value in optional.items() if value},
        "enabled": issuer.enabled,
        **writer.save(access.ca_pem),
    }
    return _table("[[issuers]]", members)


def _registry(registry: Registry, trusted: list[TrustedPublisher]) -> Iterator[str]:
    yield _table("[[registries]]", _settings(registry))
    for name, secret in sorted(registry.introspection_clients.items()):
        members = {"id": name, "secret_sha256": secret}
        yield _table("[[registries.introspection_clients]]", members)
    for publisher in trusted:
        yield _trusted(publisher)


def _settings(registry: Registry) -> dict[str, Any]:
    """Return the name of a registry, and the settings that are not the default."""
    plain = Registry(registry.name, None)
    days = registry.release_open_days
    optional = {
        "owner": (registry.owner, plain.owner),
        "hosts": (list(registry.hosts), []),
        "audience": (registry.audience, None),
        "issuers": (None if registry.issuers is None else list(registry.issuers), None),
        "access": (registry.access, plain.access),
        "token_lifetime": (registry.token_lifetime_seconds, plain.token_lifetime_seconds),
        "read_token_lifetime": (
            registry.read_token_lifetime_seconds,
            plain.read_token_lifetime_seconds,
        ),
        "shared_host_exchange": (registry.shared_host_exchange, plain.shared_host_exchange),
        "enabled": (registry.enabled, plain.enabled),
        "refusals_per_minute": (registry.refusals_per_minute, plain.refusals_per_minute),
        "release_open_days": ("unlimited" if days is None else days, plain.release_open_days),
        "max_file_size": (registry.max_file_size, plain.max_file_size),
        "require_attestations": (registry.require_attestations, plain.require_attestations),
    }
    given = {name: value for name, (value, default) in optional.items() if value != default}
    return {"name": registry.name, **given}


def _trusted(publisher: TrustedPublisher) -> str:
    kind = "registries.readers" if publisher.is_reader else "registries.publishers"
    provider = publisher.provider.name
    projects = {"projects": sorted(publisher.projects)} if publisher.projects else {}
    fields = {
        name: value if isinstance(value, str) else list(value)
        for name, value in publisher.ordered_fields().items()
    }
    # A publisher of any issuer is known by its claims alone, and has its rules in its own table.
    is_generic = PROVIDERS[provider].is_generic
    claims_at = f"[{kind}.{provider}.claims]" if is_generic else f"[{kind}.claims]"
    parts = [
        _table(f"[[{kind}]]", {**projects, "issuer": publisher.issuer}),
        _table(f"[{kind}.{provider}]", fields),
        *([_table(claims_at, dict(sorted(publisher.claims.items())))] if publisher.claims else []),
    ]
    pins = (f"# pinned: {n} = {legible(v)}\n" for n, v in sorted(publisher.pins.items()))
    return "".join([*pins, *parts])
