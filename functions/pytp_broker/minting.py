"""Mint an upload token, and write the record that describes it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Final

from pytp_broker.grants import Grant, Permission
from pytp_broker.registries import Configuration
from pytp_broker.tokens import Listing, TokenRecord, UploadToken
from pytp_broker.trust.job import Job
from pytp_broker.trust.publishers import TrustedPublisher

# A used identity token is remembered for this time beyond the last moment at which it could be
# used. The time is longer than a store may take for the write that follows our last look at the
# clock.
REPLAY_MARGIN: Final = timedelta(seconds=60)

# A token's record keeps this many characters of project names for messages: about a hundred names.
MAX_KEPT_CHARACTERS: Final = 2048


@dataclass(frozen=True, slots=True)
class Minted:
    """A new upload token and its record."""

    token: UploadToken
    record: TokenRecord


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
    token = UploadToken.mint(job.claims.token_id)
    expires_at = now + timedelta(seconds=_lifetime_seconds(publishers, configuration))
    record = TokenRecord(
        lookup_id=token.lookup_id,
        token_hash=token.hash,
        issuer=job.claims.issuer,
        identity=job.identity,
        grants=_grants(publishers),
        projects=list_projects(publishers, MAX_KEPT_CHARACTERS),
        features=features,
        issued_at=now,
        expires_at=expires_at,
        kept_until=max(expires_at, job.claims.last_use) + REPLAY_MARGIN,
        identity_key=publishers[0].identity_key,
    )
    return Minted(token, record)


def _lifetime_seconds(
    publishers: tuple[TrustedPublisher, ...], configuration: Configuration
) -> int:
    # A token for several registries lives as long as the strictest of them allows.
    return min(configuration.registries[p.registry].token_lifetime_seconds for p in publishers)


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
        ends = accumulate(len(project) for project in projects)
        names = tuple(p for p, end in zip(projects, ends, strict=True) if end <= room)
        room -= sum(map(len, names))
        listings[registry] = Listing(names, len(projects))
    return listings
