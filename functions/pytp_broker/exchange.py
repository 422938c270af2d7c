"""Exchange an identity token for an upload token, or for a read token.

Read ``exchange`` and ``admit`` from top to bottom. Every step hands a better checked value to the
next one, or raises a Problem. Nothing is written before every check of the claims has passed. Then
the immutable ids are written, if this is their first use, and after them the token, in one
conditional write.

``exchange_to_read`` makes the same checks, against the readers of a registry. It does not use the
identity token up: a job installs several times, and may publish afterwards.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from pytp_broker.audit.record import hash_prefix
from pytp_broker.audit.requests import Exchange, JobEvent, ReadExchange
from pytp_broker.destinations import Destination
from pytp_broker.errors import (
    InvalidPublisher,
    InvalidToken,
    NotEnabled,
    ReusedToken,
    UnknownIssuer,
)
from pytp_broker.grants import Permission
from pytp_broker.minting import (
    MAX_LIVE_READ_TOKENS,
    Minted,
    list_projects,
    mint,
    mint_to_read,
    read_lookup_ids,
)
from pytp_broker.oidc.identity import verify
from pytp_broker.oidc.signed_claims import SignedClaims
from pytp_broker.oidc.unverified import UnverifiedToken
from pytp_broker.redaction import printable
from pytp_broker.registries import Configuration, Issuer, Registry
from pytp_broker.services import Broker
from pytp_broker.storage.protocols import AlreadyExchangedError
from pytp_broker.tokens import TokenRecord
from pytp_broker.trust.job import Job
from pytp_broker.trust.matching import find_matching
from pytp_broker.trust.providers import PROVIDERS
from pytp_broker.trust.publishers import TrustedPublisher, entry_for, identity_keys, unpinned

_REUSED: Final = "the identity token was exchanged before: ask the CI for a new one"
_TOO_MANY: Final = (
    f"the identity token was exchanged for about {MAX_LIVE_READ_TOKENS} read tokens that still "
    "live: use one of them again, or ask the CI for a new identity token"
)
_EVERYBODY_READS: Final = (
    "everybody may read this registry, so no token is needed, and this identity token gives none"
)

# The audit record keeps this many: about two thousand names. CloudWatch limits a line to 256 KB.
MAX_AUDITED_CHARACTERS: Final = 48 * 1024


@dataclass(frozen=True, slots=True)
class MintRequest:
    """The request of a job: its identity token, the permission and the features of the new one."""

    token: UnverifiedToken
    features: tuple[str, ...]
    permission: Permission


def exchange(
    asked: MintRequest,
    destination: Destination,
    configuration: Configuration,
    broker: Broker,
    event: Exchange,
) -> Minted:
    """Exchange a job's identity token for an upload token (PEP 807).

    Raises a Problem that says what to correct. Then, as far as we know, no token has been stored.
    """
    job, publishers = admit(asked, destination, configuration, broker, event)
    minted = mint(publishers, job, asked.features, configuration, broker.now())
    store(minted.record, broker)
    record_minted(minted, publishers, event)
    return minted


def exchange_to_read(
    asked: MintRequest,
    destination: Destination,
    configuration: Configuration,
    broker: Broker,
    event: ReadExchange,
) -> Minted:
    """Exchange a job's identity token for a token that reads one registry.

    Raises a Problem that says what to correct. Then, as far as we know, no token has been stored.
    """
    registry = destination.registry
    event.registry = registry.name
    try:
        job, readers = admit(asked, destination, configuration, broker, event)
    except InvalidPublisher as problem:
        if registry.is_public:
            problem.say_first(_EVERYBODY_READS)
        raise
    minted = store_read_token(registry, readers, job, broker)
    event.token_hash = hash_prefix(minted.record.token_hash)
    return minted


def admit(
    asked: MintRequest,
    destination: Destination,
    configuration: Configuration,
    broker: Broker,
    event: JobEvent,
) -> tuple[Job, tuple[TrustedPublisher, ...]]:
    """Return the job, and the publishers or readers here that it matches; raise a Problem."""
    issuer = find_issuer(asked.token, destination, configuration)
    event.issuer, event.provider = issuer.url, issuer.provider

    job = verify_job(asked, issuer, destination, broker)
    event.identify(job.identity)
    check_issued(job.claims, configuration)

    candidates = find_candidates(job, destination, configuration, broker)
    matching = find_matching(candidates, job.claims, job.provider)
    publishers = pin(matching, job, broker)
    event.publishers = [p.publisher_id for p in publishers]
    return job, publishers


def find_issuer(
    unverified: UnverifiedToken, destination: Destination, configuration: Configuration
) -> Issuer:
    """Return the issuer if it is allowed here: by exact string, and before any document is fetched.

    Raises UnknownIssuer or NotEnabled.
    """
    url = unverified.unverified_issuer
    enabled = [registry for registry in destination.registries if registry.enabled]
    if not enabled or not configuration.enabled:
        raise NotEnabled("trusted publishing is switched off here")
    issuer = configuration.issuers.get(url) if destination.accepts(url) else None
    if issuer is None:
        raise UnknownIssuer(f"unknown trusted publishing issuer `{printable(url)}`{_advise(url)}")
    # We fetch no issuer's keys for a registry that is switched off.
    if not issuer.enabled or not any(registry.accepts(url) for registry in enabled):
        raise NotEnabled(f"tokens of the issuer `{issuer.url}` are switched off here")
    return issuer


def _advise(url: str) -> str:
    for provider in PROVIDERS.values():
        if provider.issuer is not None and url.startswith(provider.issuer + "/"):
            return (
                f": it looks like the issuer of one enterprise or organization at {provider.title};"
                " ask the registry's operator to add this exact URL as an issuer"
            )
    return ": if it is right, ask the registry's operator to add it as an issuer"


def verify_job(asked: MintRequest, issuer: Issuer, destination: Destination, broker: Broker) -> Job:
    """Return the job that the issuer has signed, with the issuer's key and for this audience.

    Raises InvalidToken, or IssuerUnavailable when the issuer's keys cannot be fetched.
    """
    now = broker.now()
    provider = entry_for(issuer.provider, asked.permission)
    key = broker.key_sets.find_key(issuer, asked.token.unverified_key_id, now)
    claims = verify(asked.token, key, issuer, destination.audience, now, form=provider.token_form)
    return Job.of(claims, provider, asked.permission)


def check_issued(claims: SignedClaims, configuration: Configuration) -> None:
    """Raise InvalidToken for an identity token from before the time that the operator has set."""
    since = configuration.identity_tokens_from
    if since is not None and claims.issued_at < since:
        raise InvalidToken(
            f"the identity token was issued before {since:%Y-%m-%dT%H:%M:%SZ}, and the registry's "
            "operator has ended all tokens from before that time: run the job again"
        )


def find_candidates(
    job: Job, destination: Destination, configuration: Configuration, broker: Broker
) -> list[TrustedPublisher]:
    """Return the publishers or readers that the job may be one of.

    That takes one query for publishers. For readers it takes one for each identity that a reader of
    the provider may have: at most three.
    """
    permission, issuer = job.permission, job.claims.issuer
    names = (registry.name for registry in destination.registries)
    enabled = {name for name in names if configuration.is_enabled(name, issuer)}
    return [
        publisher
        for key in identity_keys(job.claims, job.provider, permission)
        for publisher in broker.store.list_publishers(key)
        if publisher.registry in enabled
        and publisher.permission is permission
        and publisher.issuer == issuer
    ]


def pin(
    publishers: tuple[TrustedPublisher, ...], job: Job, broker: Broker
) -> tuple[TrustedPublisher, ...]:
    """Pin immutable ids on a publisher's first use; raise InvalidPublisher if others were first.

    Writes nothing for a publisher whose ids are given or pinned. Raises ReusedToken for a replayed
    token and InvalidToken for an expired one: either could pin the ids of a former holder. For
    reading, an identity token may be exchanged again while it is valid.
    """
    missing = [unpinned(publisher, job.claims) for publisher in publishers]
    if not any(missing):
        return publishers
    if job.permission is Permission.UPLOAD:
        check_unused(job.claims, broker)
    job.claims.check_unexpired(broker.now())
    pinned = [
        _pin(publisher, pins, broker) if pins else publisher
        for publisher, pins in zip(publishers, missing, strict=True)
    ]
    return find_matching([p for p in pinned if p is not None], job.claims, job.provider)


def check_unused(claims: SignedClaims, broker: Broker) -> None:
    """Raise ReusedToken if a read shows that the identity token has been exchanged before.

    The conditional write of ``store`` decides. This check protects the pins, which are written
    earlier.
    """
    if broker.store.find_token(claims.token_id, None) is not None:
        raise ReusedToken(_REUSED)


def _pin(
    publisher: TrustedPublisher, pins: dict[str, str], broker: Broker
) -> TrustedPublisher | None:
    in_force = broker.store.pin_publisher(publisher, pins)
    return None if in_force is None else publisher.with_pins(in_force)


def store(record: TokenRecord, broker: Broker) -> None:
    """Store the token and mark the identity token used, in one write; raise ReusedToken."""
    try:
        broker.store.add_token(record)
    except AlreadyExchangedError:
        raise ReusedToken(_REUSED) from None


def store_read_token(
    registry: Registry, readers: tuple[TrustedPublisher, ...], job: Job, broker: Broker
) -> Minted:
    """Store a new read token in a free place, and return it; raise ReusedToken.

    An identity token has a fixed number of places, so nobody can fill the store with one. We try a
    few of them at random: with less than half of them taken, the first or the second is free.
    """
    for lookup_id in read_lookup_ids(job.claims.token_id):
        minted = mint_to_read(lookup_id, registry, readers, job, broker.now())
        with suppress(AlreadyExchangedError):
            broker.store.add_token(minted.record)
            return minted
    raise ReusedToken(_TOO_MANY)


def record_minted(
    minted: Minted, publishers: tuple[TrustedPublisher, ...], event: Exchange
) -> None:
    """Add to the audit record the token's hash, and the projects that it is for."""
    listings = list_projects(publishers, MAX_AUDITED_CHARACTERS)
    event.token_hash = hash_prefix(minted.record.token_hash)
    event.projects = [f"{name}/{each}" for name, found in listings.items() for each in found.names]
    event.project_count = minted.record.project_count
