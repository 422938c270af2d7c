"""Mint an upload token or a read token, and write the record that describes it.

An exchange mints for a job, and an operator makes a token for a person.
"""

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Final

from pytp_broker.grants import Grant, Permission
from pytp_broker.making import Making
from pytp_broker.registries import Configuration, Registry
from pytp_broker.tokens import (
    DEFAULT_FEATURES,
    LOOKUP_ID_BYTES,
    Listing,
    TokenRecord,
    UploadToken,
)
from pytp_broker.trust.job import Job
from pytp_broker.trust.publishers import TrustedPublisher

# A used identity token is remembered for this time beyond the last moment at which it could be
# used. The time is longer than a store may take for the write that follows our last look at the
# clock.
REPLAY_MARGIN: Final = timedelta(seconds=60)

# A token's record keeps this many characters of project names for messages: about a hundred names.
MAX_KEPT_CHARACTERS: Final = 2048

# One identity token may be exchanged for this many read tokens that live at the same time. Fifty
# installs at once need fifty. Each token has a place in the store, so that nobody can fill the
# store with one identity token.
MAX_LIVE_READ_TOKENS: Final = 256
# How many places are tried before an exchange is refused; each costs a write.
_TRIED_PLACES: Final = 8


@dataclass(frozen=True, slots=True)
class Minted:
    """A new token and its record."""

    token: UploadToken
    record: TokenRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terms:
    """What a new token may do, and until when it and its record are needed."""

    grants: tuple[Grant, ...]
    projects: Mapping[str, Listing]
    features: tuple[str, ...] = DEFAULT_FEATURES
    expires_at: datetime
    needed_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Origin:
    """Where a new token comes from: the identity token of a job, or an operator.

    Without an issuer and publishers a version that does not know ``made_by`` refuses the token.
    """

    issuer: str = ""
    identity: Mapping[str, str] = field(default_factory=dict)
    identity_key: str = ""
    made_by: Making | None = None
    provider: str = ""
    pins: Mapping[str, str] = field(default_factory=dict)


def mint(
    publishers: tuple[TrustedPublisher, ...],
    job: Job,
    features: tuple[str, ...],
    configuration: Configuration,
    now: datetime,
) -> Minted:
    """Return a new upload token for every project that trusts one of the publishers.

    Raises InvalidToken if the identity token has expired since it was verified.
    """
    job.claims.check_unexpired(now)
    expires_at = now + _lifetime(publishers, configuration)
    terms = _Terms(
        grants=_grants(publishers),
        projects=list_projects(publishers, MAX_KEPT_CHARACTERS),
        features=features,
        expires_at=expires_at,
        needed_until=max(expires_at, job.claims.last_use),
    )
    return _mint(job.claims.token_id, terms, _origin_of(job, publishers), now)


def read_lookup_ids(token_id: str) -> Iterator[str]:
    """Yield the lookup ids that a read token for an identity token may get: some, at random.

    None of them is the lookup id of an upload token, which is the identity token's own id.
    """
    places = secrets.SystemRandom().sample(range(MAX_LIVE_READ_TOKENS), _TRIED_PLACES)
    for place in places:
        yield hashlib.sha256(f"read\n{token_id}\n{place}".encode()).hexdigest()[:32]


def mint_to_read(
    lookup_id: str,
    registry: Registry,
    readers: tuple[TrustedPublisher, ...],
    job: Job,
    now: datetime,
) -> Minted:
    """Return a new token that reads a registry, for one of the readers.

    Raises InvalidToken if the identity token has expired since it was verified.
    """
    job.claims.check_unexpired(now)
    expires_at = now + timedelta(seconds=registry.read_token_lifetime_seconds)
    reader_ids = {reader.publisher_id: reader.generation for reader in readers}
    terms = _Terms(
        grants=(Grant(registry.name, None, Permission.READ, reader_ids),),
        projects={},
        expires_at=expires_at,
        # The record does not mark the identity token as used, so it need not outlive that.
        needed_until=expires_at,
    )
    return _mint(lookup_id, terms, _origin_of(job, readers), now)


def make_to_read(registry: str, making: Making, lifetime: timedelta, now: datetime) -> Minted:
    """Return a new token with which a person reads a registry; an operator made it."""
    return _make(Grant(registry, None, Permission.READ, {}), {}, making, lifetime, now)


def make_to_upload(
    registry: str, project: str, making: Making, lifetime: timedelta, now: datetime
) -> Minted:
    """Return a new token with which a person uploads to one project; an operator made it."""
    grant = Grant(registry, project, Permission.UPLOAD, {})
    return _make(grant, {registry: Listing((project,), 1)}, making, lifetime, now)


def _make(
    grant: Grant,
    projects: Mapping[str, Listing],
    making: Making,
    lifetime: timedelta,
    now: datetime,
) -> Minted:
    end = now + lifetime
    terms = _Terms(grants=(grant,), projects=projects, expires_at=end, needed_until=end)
    # No identity token has this lookup id, because nobody can choose a hash.
    return _mint(secrets.token_hex(LOOKUP_ID_BYTES), terms, _Origin(made_by=making), now)


def _origin_of(job: Job, publishers: tuple[TrustedPublisher, ...]) -> _Origin:
    return _Origin(
        issuer=job.claims.issuer,
        identity=job.identity,
        identity_key=publishers[0].identity_key,
        provider=job.provider.name,
        # All publishers of one job expect the same ids: those that its claims have.
        pins={name: text for each in publishers for name, text in each.expected_ids.items()},
    )


def _mint(lookup_id: str, terms: _Terms, origin: _Origin, now: datetime) -> Minted:
    token = UploadToken.mint(lookup_id)
    record = TokenRecord(
        lookup_id=lookup_id,
        token_hash=token.hash,
        issuer=origin.issuer,
        identity=origin.identity,
        grants=terms.grants,
        projects=terms.projects,
        features=terms.features,
        issued_at=now,
        expires_at=terms.expires_at,
        kept_until=terms.needed_until + REPLAY_MARGIN,
        identity_key=origin.identity_key,
        made_by=origin.made_by,
        provider=origin.provider,
        pins=origin.pins,
    )
    return Minted(token, record)


def _lifetime(publishers: tuple[TrustedPublisher, ...], configuration: Configuration) -> timedelta:
    # A token for several registries lives as long as the strictest of them allows.
    registries = (configuration.registries[each.registry] for each in publishers)
    return timedelta(seconds=min(each.token_lifetime_seconds for each in registries))


def _grants(publishers: tuple[TrustedPublisher, ...]) -> tuple[Grant, ...]:
    found: dict[str, dict[str, int]] = {}
    for publisher in publishers:
        found.setdefault(publisher.registry, {})[publisher.publisher_id] = publisher.generation
    return tuple(
        Grant(registry, None, Permission.UPLOAD, publisher_ids)
        for registry, publisher_ids in found.items()
    )


def list_projects(publishers: tuple[TrustedPublisher, ...], characters: int) -> dict[str, Listing]:
    """Return the projects by registry: every count, and names up to this many characters in all."""
    found: dict[str, dict[str, None]] = {}
    for publisher in publishers:
        found.setdefault(publisher.registry, {}).update(dict.fromkeys(publisher.projects))
    room = characters
    listings = {}
    for registry, projects in found.items():
        names = _first(projects, room)
        room -= sum(map(len, names))
        listings[registry] = Listing(names, len(projects))
    return listings


def _first(projects: Iterable[str], characters: int) -> tuple[str, ...]:
    """Return the projects from the first on, with up to this many characters in all."""
    names = tuple(projects)
    if sum(map(len, names)) <= characters:  # nearly always
        return names
    ends = accumulate(map(len, names))
    return tuple(name for name, end in zip(names, ends, strict=True) if end <= characters)
