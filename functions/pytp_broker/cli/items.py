"""What commands list and show, as items: the members are the same in tables and in JSON."""

import hashlib
import re
from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Final

from pytp_broker.audit.record import hash_prefix
from pytp_broker.cli.listing import Item
from pytp_broker.index.inventory import ProjectInventory
from pytp_broker.registries import Configuration, Issuer, Registry
from pytp_broker.storage.file_records import RECORDED, PublishedFile
from pytp_broker.tokens import TokenRecord
from pytp_broker.trust.built_in import BUILT_IN_ISSUERS
from pytp_broker.trust.providers import provider_at
from pytp_broker.trust.publishers import TrustedPublisher

_CERTIFICATE: Final = re.compile(
    "-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL
)


def registry_item(registry: Registry, configuration: Configuration, host: str) -> Item:
    """Return a registry; ``host`` is the host that all registries share, or empty if unknown."""
    clients = registry.introspection_clients.items()
    return {
        "name": registry.name,
        "owner": registry.owner or None,
        "enabled": configuration.enabled and registry.enabled,
        "audience": registry.audience_on(host) if host or registry.hosts else registry.audience,
        "hosts": list(registry.hosts),
        "issuers": [url for url in configuration.issuers if registry.accepts(url)],
        "access": registry.access,
        "token_lifetime_seconds": registry.token_lifetime_seconds,
        "read_token_lifetime_seconds": registry.read_token_lifetime_seconds,
        "shared_host_exchange": registry.shared_host_exchange,
        "release_open_days": registry.release_open_days,
        "max_file_size": registry.max_file_size,
        "require_attestations": registry.require_attestations,
        "refusals_per_minute": registry.refusals_per_minute,
        "introspection_clients": [
            {"id": each, "secret_sha256_prefix": hash_prefix(secret)} for each, secret in clients
        ],
    }


def issuer_item(issuer: Issuer, configuration: Configuration) -> Item:
    """Return an issuer, with the registries that accept it."""
    registries = configuration.registries.values()
    return {
        "url": issuer.url,
        "provider": issuer.provider,
        "enabled": issuer.enabled,
        "built_in": BUILT_IN_ISSUERS.get(issuer.url) == issuer,
        "algorithms": list(issuer.algorithms),
        "jwks_hosts": list(issuer.jwks_hosts),
        "private": issuer.access.is_private,
        "proxy": issuer.access.proxy or None,
        "ca_sha256": _fingerprints(issuer.access.ca_pem),
        "registries": sorted(each.name for each in registries if each.accepts(issuer.url)),
    }


def _fingerprints(pem: str) -> list[str]:
    """Return the SHA-256 of each certificate, as other tools show it."""
    certificates = (b64decode(text) for text in _CERTIFICATE.findall(pem))
    return [hashlib.sha256(octets).hexdigest() for octets in certificates]


def publisher_item(publisher: TrustedPublisher, configuration: Configuration) -> Item:
    """Return a publisher, with its rules, its pinned ids and its projects."""
    return {**reader_item(publisher, configuration), "projects": list(publisher.projects)}


def reader_item(publisher: TrustedPublisher, configuration: Configuration) -> Item:
    """Return a reader, with its rules and its pinned ids."""
    return {
        "id": publisher.publisher_id,
        "registry": publisher.registry,
        "enabled": configuration.is_enabled(publisher.registry, publisher.issuer),
        "provider": publisher.provider.name,
        "issuer": publisher.issuer,
        "identity": identity_of(publisher),
        "fields": publisher.ordered_fields(),
        "claims": dict(sorted(publisher.claims.items())),
        "pins": dict(sorted(publisher.pins.items())),
    }


def identity_of(publisher: TrustedPublisher) -> str:
    """Return what identifies a publisher, such as a repository, in one text."""
    claims = (f"{name}={rule}" for name, rule in sorted(publisher.claims.items()))
    return " ".join(publisher.identity.values()) or " ".join(claims)


def trusted_item(publisher: TrustedPublisher) -> Item:
    """Return a publisher as a project names it."""
    return {
        "id": publisher.publisher_id,
        "provider": publisher.provider.name,
        "identity": identity_of(publisher),
    }


def token_item(record: TokenRecord) -> Item:
    """Return a token: what it is for, where it comes from, and what became of it."""
    return {
        "hash": hash_prefix(record.token_hash),
        "state": _state_of(record),
        "permissions": sorted({grant.permission.value for grant in record.grants}),
        "registries": list(record.registries),
        "projects": record.places,
        "project_count": record.project_count,
        "publishers": list(record.publisher_ids),
        "issuer": record.signer,
        "identity": dict(sorted(record.identity.items())),
        "made_by": record.made_by and record.made_by.operator,
        "person": (record.made_by and record.made_by.person) or None,
        "reason": (record.made_by and record.made_by.reason) or None,
        "single_use": record.is_single_use,
        "issued_at": record.issued_at,
        "expires_at": record.expires_at,
        "burned_at": record.burned_at,
        "used_for": record.used_for,
    }


def _state_of(record: TokenRecord) -> str:
    if record.burned_at is not None:
        return "burned"
    return "live" if record.used_for is None else "used"


def project_item(project: ProjectInventory, registry: str) -> dict[str, Any]:
    """Return a project in short."""
    files = project.kept
    return {
        "registry": registry,
        "name": project.name,
        "status": project.status.status,
        "reason": project.status.reason or None,
        "files": len(files),
        "size": sum(file.size for file in files),
        "latest_version": project.latest_version,
        "last_upload_at": max((file.uploaded_at for file in files), default=None),
        "publishers": sorted(project.publisher_ids),
    }


def file_item(
    file: PublishedFile, project: ProjectInventory, issuers: Mapping[str, Issuer]
) -> Item:
    """Return a file: what it is, its state, and who published it."""
    state, reason = _state_of_file(file, project)
    tombstone = project.deleted.get(file.filename)
    return {
        "registry": file.registry,
        "project": file.project,
        "version": file.version,
        "filename": file.filename,
        "size": file.size,
        "sha256": file.sha256,
        "requires_python": file.requires_python,
        "uploaded_at": file.uploaded_at,
        "state": state,
        "reason": reason,
        "deleted_at": tombstone and tombstone.deleted_at,
        "deleted_by": tombstone and tombstone.deleted_by,
        "published_by": _publication_item(file.published_by, issuers),
        "receipt_sha256": file.receipt_sha256,
        "attestations": file.attestation_state and file.attestation_state.document(),
    }


def _state_of_file(file: PublishedFile, project: ProjectInventory) -> tuple[str, str | None]:
    """Return what installers meet, and the operator's reason for it."""
    tombstone, yanked = project.deleted.get(file.filename), project.yank_of(file)
    if tombstone is not None:
        return "deleted", tombstone.reason
    if not project.status.offers_files:
        return project.status.status, project.status.reason
    return ("available", None) if yanked is None else ("yanked", yanked)


def _publication_item(published_by: Mapping[str, str], issuers: Mapping[str, Issuer]) -> Item:
    """Return who published, with the page of the run if the provider has one."""
    recorded = dict(published_by)
    provider = provider_at(recorded.get("issuer", ""), issuers)
    publishers = recorded.pop("publishers", "")
    return {
        **{name: recorded.pop(name, None) for name in RECORDED},
        **recorded,
        "provider": None if provider is None else provider.name,
        "run_url": provider and provider.find_run_url(published_by["issuer"], published_by),
        "publishers": publishers.split(", ") if publishers else [],
    }
