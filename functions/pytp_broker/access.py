"""Check an upload token, and what it may be used for now.

The answers differ on purpose (RFC 9110 §15.5.2, §15.5.4): 401 for a missing or unusable token, 403
for a good token without the right. The answer does not reveal whether a token is unknown, expired
or burned.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from pytp_broker.errors import Forbidden, Unauthorized
from pytp_broker.grants import Permission, Trust
from pytp_broker.names import may_be_project
from pytp_broker.redaction import and_more, printable
from pytp_broker.registries import Configuration, Registry
from pytp_broker.services import Services
from pytp_broker.storage.protocols import Place
from pytp_broker.tokens import Listing, TokenRecord, UploadToken

# A right that was checked longer ago is checked again before anything becomes visible.
MAX_AGE: Final = timedelta(seconds=10)

_NOT_GOOD: Final = "the upload token is unknown, expired or burned: exchange a new identity token"


@dataclass(frozen=True, slots=True)
class Caller:
    """The holder of a token, who asks for a permission in a registry. Nothing is verified yet.

    ``configuration`` is the request's one snapshot of what the operator configured.
    """

    token: UploadToken
    permission: Permission
    registry: Registry
    configuration: Configuration


@dataclass(frozen=True, slots=True)
class Right:
    """The right of a caller in a project, and the publishers that still give it.

    ``verified_at`` is the time at which the check began.
    """

    caller: Caller
    record: TokenRecord
    project: str
    publisher_ids: tuple[str, ...]
    verified_at: datetime


def verify_token(
    caller: Caller, project: str | None, services: Services
) -> tuple[TokenRecord, Trust]:
    """Return the record of the caller's live token and the publishers that a project trusts now.

    Raises Unauthorized. It takes one round trip, also when no project is named; then the record
    comes alone.
    """
    place = (
        (caller.registry.name, project) if project is not None and may_be_project(project) else None
    )
    found = services.store.find_token(caller.token.lookup_id, place)
    if found is None or not found[0].is_live(caller.token, services.now()):
        raise Unauthorized(_NOT_GOOD)
    return found


def verify_right(caller: Caller, project: str, services: Services) -> Right:
    """Return the right, if the caller has the permission in this project now.

    Raises Unauthorized or Forbidden. The exchange fixed the token's publishers. At every use we
    check that the project still trusts one of them, and that the issuer is still enabled.
    """
    asked_at = services.now()
    registry = caller.registry.name
    record, trusted = verify_token(caller, project, services)
    _check_enabled(record, caller)
    publisher_ids = record.publishers_for(caller.permission, registry, project, trusted)
    if not publisher_ids:
        raise Forbidden(_explain(record, registry, project))
    return Right(caller, record, project, publisher_ids, asked_at)


def confirm(right: Right, services: Services) -> None:
    """Check a right again, just before it is used for good; raise as ``verify_right`` does.

    We take the configuration anew, because a switch must also end slow work. We ask the store only
    if the last check is older than ``MAX_AGE``: the token may have expired or been burned since, or
    the publisher may have been removed.
    """
    caller = replace(right.caller, configuration=services.configurations.current())
    if services.now() - right.verified_at >= MAX_AGE:
        verify_right(caller, right.project, services)
    else:
        _check_enabled(right.record, caller)


def verify_any_right(caller: Caller, services: Services) -> tuple[TokenRecord, list[str]]:
    """Return the record of the caller's live token and the projects in which it has a right now.

    Raises Unauthorized, or Forbidden when there is no such project. It takes three round trips, and
    one more for every further hundred projects.
    """
    record, _ = verify_token(caller, None, services)
    _check_enabled(record, caller)
    places = _places_of(record, caller.registry.name, services)
    trust = services.store.list_trust(places)
    projects = [
        project
        for registry, project in places
        if record.publishers_for(
            caller.permission, registry, project, trust.get((registry, project), {})
        )
    ]
    if not projects:
        raise Forbidden("the upload token is for no project of this registry")
    return record, projects


def _check_enabled(record: TokenRecord, caller: Caller) -> None:
    if not caller.configuration.is_enabled(caller.registry.name, record.issuer):
        raise Forbidden(f"uploads to this registry by tokens of `{record.issuer}` are switched off")


def _places_of(record: TokenRecord, registry: str, services: Services) -> list[Place]:
    """Return the projects here that the token may be for; the caller still checks their trust."""
    grants = [grant for grant in record.grants if grant.registry == registry]
    projects = [grant.project for grant in grants if grant.project is not None]
    publisher_ids = {i for grant in grants if grant.project is None for i in grant.publisher_ids}
    if publisher_ids:
        for publisher in services.store.list_publishers(record.identity_key):
            if publisher.publisher_id in publisher_ids:
                projects += publisher.projects
    return [(registry, project) for project in dict.fromkeys(projects)]


def _explain(record: TokenRecord, registry: str, project: str) -> str:
    """Return why the token does not give the right to upload to a project."""
    listing = record.projects.get(registry, Listing((), 0))
    if project in listing.names:
        return (
            f"the project `{project}` no longer trusts the publisher that this upload token "
            "comes from"
        )
    # This registry must not tell what the token may do in other registries.
    projects = and_more([f"`{name}`" for name in listing.names], listing.count)
    asked = f"the file is for the project `{printable(project)}`"
    if not listing.is_complete:
        asked += ", which does not trust the publisher that this upload token comes from"
        return f"{asked}; the token is for {projects}"
    return f"{asked}, but this upload token is for {projects or 'no project of this registry'}"
