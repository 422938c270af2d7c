"""Registries and issuers: what an operator configures, as values.

A publisher is not part of a configuration: the exchange looks publishers up one by one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Self

# A misconfigured pipeline causes far fewer refusals, even if many share one address. The gateway
# lets through many more in a minute, so one address reaches its own limit before it has used up
# everybody's.
DEFAULT_REFUSALS_PER_MINUTE: Final = 300

# An hour is as long as most jobs run, and a job may exchange its identity token again.
DEFAULT_READ_TOKEN_LIFETIME_SECONDS: Final = 3600

# As at PyPI. A release that no longer takes files cannot change what `==1.0` installs.
DEFAULT_RELEASE_OPEN_DAYS: Final = 14
DEFAULT_MAX_FILE_SIZE: Final = 1024**3
# What one PUT to a bucket takes.
LARGEST_FILE_SIZE: Final = 5 * 1024**3

# Who may read a registry: those who have the right to, or everybody.
PRIVATE: Final = "private"
PUBLIC: Final = "public"

# The id of an index that may ask about tokens.
CLIENT_ID: Final = r"[A-Za-z0-9._-]{1,64}"


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

    ``issuers`` are the URLs of the issuers that it accepts; None means every known issuer.
    ``introspection_clients`` are the other indexes that may ask about its tokens: the id of each,
    and the SHA-256 of its secret in hex. ``release_open_days`` is how long a release takes files
    after its first one; None means no limit. ``access`` says who may read: PRIVATE or PUBLIC.
    ``max_file_size`` is how many bytes a published file may have. With ``require_attestations`` a
    file of a job is published only if its attestations are verified. ``owner`` is the team that
    owns the registry; empty if no team does.
    """

    name: str
    issuers: tuple[str, ...] | None
    audience: str | None = None
    hosts: tuple[str, ...] = ()
    token_lifetime_seconds: int = 900
    read_token_lifetime_seconds: int = DEFAULT_READ_TOKEN_LIFETIME_SECONDS
    shared_host_exchange: bool = True
    enabled: bool = True
    introspection_clients: Mapping[str, str] = field(default_factory=dict)
    refusals_per_minute: int = DEFAULT_REFUSALS_PER_MINUTE
    release_open_days: int | None = DEFAULT_RELEASE_OPEN_DAYS
    access: str = PRIVATE
    max_file_size: int = DEFAULT_MAX_FILE_SIZE
    require_attestations: bool = False
    owner: str = ""

    @property
    def is_public(self) -> bool:
        """Say whether everybody may read, without a token."""
        return self.access == PUBLIC

    def audience_on(self, shared_host: str) -> str:
        """Return the configured audience, else one derived from host and name."""
        if self.audience is not None:
            return self.audience
        return default_audience(self.hosts[0] if self.hosts else f"{shared_host}/{self.name}")

    def accepts(self, issuer_url: str) -> bool:
        """Say whether the registry accepts tokens of an issuer, if the issuer is known."""
        return self.issuers is None or issuer_url in self.issuers

    def document(self) -> dict[str, Any]:
        """Return the registry as JSON types."""
        return {
            "name": self.name,
            "issuers": list(self.issuers or ()),
            # A member of its own, so that an earlier version that reads the document accepts no
            # issuer, and does not fail.
            "every_issuer": self.issuers is None,
            "audience": self.audience,
            "hosts": list(self.hosts),
            "token_lifetime_seconds": self.token_lifetime_seconds,
            "read_token_lifetime_seconds": self.read_token_lifetime_seconds,
            "shared_host_exchange": self.shared_host_exchange,
            "enabled": self.enabled,
            "introspection_clients": dict(self.introspection_clients),
            "refusals_per_minute": self.refusals_per_minute,
            "release_open_days": self.release_open_days,
            "access": self.access,
            "max_file_size": self.max_file_size,
            "require_attestations": self.require_attestations,
            "owner": self.owner,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Return the registry that ``document()`` described."""
        return cls(
            name=document["name"],
            issuers=_read_issuers(document),
            audience=document["audience"],
            hosts=tuple(document["hosts"]),
            token_lifetime_seconds=document["token_lifetime_seconds"],
            read_token_lifetime_seconds=document.get(
                "read_token_lifetime_seconds", DEFAULT_READ_TOKEN_LIFETIME_SECONDS
            ),
            shared_host_exchange=document["shared_host_exchange"],
            enabled=document["enabled"],
            introspection_clients=document["introspection_clients"],
            refusals_per_minute=document["refusals_per_minute"],
            # The documents of earlier versions lack these members, and that of read tokens.
            release_open_days=document.get("release_open_days", DEFAULT_RELEASE_OPEN_DAYS),
            access=document.get("access", PRIVATE),
            max_file_size=document.get("max_file_size", DEFAULT_MAX_FILE_SIZE),
            require_attestations=document.get("require_attestations", False),
            owner=document.get("owner", ""),
        )


def _read_issuers(document: Mapping[str, Any]) -> tuple[str, ...] | None:
    # The documents of earlier versions lack this member, and list every issuer.
    return None if document.get("every_issuer") is True else tuple(document["issuers"])


def default_audience(place: str) -> str:
    """Return an audience for a place, starting with a letter.

    CI systems derive a variable's name from the audience, and clients disagree about how to do
    that for one that starts with a digit.
    """
    return place if place[:1].isalpha() else f"pytp-{place}"


@dataclass(frozen=True, slots=True)
class Timestamping:
    """A time-stamping authority (RFC 3161), which says when a receipt's signature existed.

    ``ca_pem`` holds the authorities that sign the certificate of its host, instead of the public
    ones. The certificates that sign timestamps are others, and only a verifier needs these.
    """

    url: str
    ca_pem: str = ""

    def document(self) -> dict[str, str]:
        """Return the authority as JSON types."""
        return {"url": self.url, "ca_pem": self.ca_pem}

    @classmethod
    def from_document(cls, document: Mapping[str, str]) -> Self:
        """Return the authority that ``document()`` described."""
        return cls(document["url"], document["ca_pem"])


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything an operator configures except the publishers, which are looked up one by one."""

    issuers: Mapping[str, Issuer] = field(default_factory=dict)
    registries: Mapping[str, Registry] = field(default_factory=dict)
    enabled: bool = True
    timestamping: Timestamping | None = None
    # An identity token that was issued earlier is refused. `token burn --all` sets it, and `apply`
    # leaves it as it is. It matters after a restore: a store does not know the identity tokens that
    # were exchanged after its backup, and would exchange them again.
    identity_tokens_from: datetime | None = None

    def is_open(self, registry: str) -> bool:
        """Say whether neither the broker nor this registry is switched off."""
        known = self.registries.get(registry)
        return self.enabled and known is not None and known.enabled

    def is_enabled(self, registry: str, issuer: str) -> bool:
        """Say whether tokens of this issuer are good in this registry now."""
        signer = self.issuers.get(issuer)
        return (
            self.is_open(registry)
            and signer is not None
            and signer.enabled
            and self.registries[registry].accepts(issuer)
        )
