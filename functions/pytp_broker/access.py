"""Check what a token may do now. Uploads, reading, other indexes and proxies all ask here.

The answers differ on purpose (RFC 9110 §15.5.2, §15.5.4): 401 for a missing or unusable token, 403
for a good token without the right. The answer does not reveal whether a token is unknown, expired
or burned.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from pytp_broker.audit.findings import OperatorsToken
from pytp_broker.audit.record import hash_prefix
from pytp_broker.errors import Forbidden, MayOnlyRead, Unauthorized
from pytp_broker.grants import Permission, Trust
from pytp_broker.known_readers import Reader
from pytp_broker.names import may_be_project
from pytp_broker.redaction import and_more, printable
from pytp_broker.registries import Configuration, Registry
from pytp_broker.services import Services
from pytp_broker.storage.protocols import WHOLE_REGISTRY, Place
from pytp_broker.tokens import Listing, TokenRecord, UploadToken

# A right that was checked longer ago is checked again before anything becomes visible.
MAX_AGE: Final = timedelta(seconds=10)
# If each call takes more than five seconds, no two checks are young at the same time.
_MOST_CHECKS: Final = 3

_NOT_GOOD: Final = "the upload token is unknown, expired or burned: get a new one"
_NOT_GOOD_HERE: Final = (
    "the token is unknown, expired, burned, or for another registry: get a new one"
)
_MAY_ONLY_READ: Final = "this token may only read: to publish, send an upload token"
_USED_UP: Final = "the upload token was for a single upload, and has been used"
_UNKNOWN_CLIENT: Final = "the registry knows no introspection client with this id and secret"
_NO_SECRET_HASH: Final = "0" * 64


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
    """The right of a caller in the project that was asked for, or in all if none was named.

    ``publishers`` maps each project to the ids of the publishers that still give the right; to none
    if an operator made the token.
    ``verified_at`` is the time at which the check began.
    """

    caller: Caller
    project: str | None
    record: TokenRecord
    publishers: Mapping[str, tuple[str, ...]]
    verified_at: datetime

    @property
    def projects(self) -> tuple[str, ...]:
        """Return the projects in which the caller has the right."""
        return tuple(self.publishers)

    @property
    def publisher_ids(self) -> tuple[str, ...]:
        """Return the ids of the publishers that give the right, each once."""
        return tuple(dict.fromkeys(i for ids in self.publishers.values() for i in ids))


def verify(caller: Caller, project: str | None, services: Services) -> Right:
    """Return the caller's right in a project, or in all projects here if none is named.

    Raises Unauthorized, or Forbidden if there is no such project. The exchange fixed the token's
    publishers. At every use we check that a project still trusts one of them, and that the issuer
    is still enabled. A token that an operator made is for the projects that its record names, and
    needs neither. That takes one round trip for a project. Without one it takes three, and one
    more for every further hundred projects.
    """
    asked_at = services.now()
    record, trusted = verify_token(caller, project, services)
    _check_enabled(record.signer, caller)
    if _may_only_read(record, caller.registry.name):
        raise MayOnlyRead(_MAY_ONLY_READ)
    if record.made_by is None:
        trust = _list_trust(record, caller, services) if project is None else {project: trusted}
        publishers = _find_publishers(record, caller, trust)
    else:
        publishers = _projects_of_operator(record, caller, project)
    if not publishers:
        raise Forbidden(_explain(record, caller.registry.name, project))
    return Right(caller, project, record, publishers, asked_at)


def report(right: Right, services: Services) -> None:
    """Leave a record, which has an alarm, if an operator made the token of a right to upload.

    It comes before the right is used. A token that a job got leaves none.
    """
    record = right.record
    if record.made_by is not None:
        event = OperatorsToken(
            registry=right.caller.registry.name,
            projects=record.places,
            made_by=record.made_by.operator,
            why=record.made_by.reason,
            token_hash=hash_prefix(record.token_hash),
        )
        services.audit(event.accepted())


def verify_token(
    caller: Caller, project: str | None, services: Services
) -> tuple[TokenRecord, Trust]:
    """Return the record of the caller's live token and the publishers that a project trusts now.

    Raises Unauthorized. It takes one round trip, even if no project is named; then the record
    comes alone.
    """
    found = _find_live(caller, _place(caller, project), services)
    if found is None:
        raise Unauthorized(_NOT_GOOD)
    return found


def _find_live(
    caller: Caller, place: Place | None, services: Services
) -> tuple[TokenRecord, Trust] | None:
    found = services.store.find_token(caller.token.lookup_id, place)
    return found if found and found[0].is_live(caller.token, services.now()) else None


def _place(caller: Caller, project: str | None) -> Place | None:
    if project is None or not may_be_project(project):
        return None
    return caller.registry.name, project


def _check_enabled(signer: str | None, caller: Caller) -> None:
    """Check the switches; no issuer's switch concerns a token that an operator made."""
    configuration, registry = caller.configuration, caller.registry.name
    if signer is None:
        if not configuration.is_open(registry):
            raise Forbidden("the operator has switched off the use of tokens here")
    elif not configuration.is_enabled(registry, signer):
        raise Forbidden(f"the operator has switched off the use of tokens of `{signer}` here")


def _list_trust(record: TokenRecord, caller: Caller, services: Services) -> dict[str, Trust]:
    """Return the projects here that the token may be for, and the publishers that each trusts."""
    places = [(caller.registry.name, name) for name in _list_projects(record, caller, services)]
    trust = services.store.list_trust(places)
    return {place[1]: trust.get(place, {}) for place in places}


def _list_projects(record: TokenRecord, caller: Caller, services: Services) -> list[str]:
    grants = record.grants_of(caller.permission, caller.registry.name)
    projects = [grant.project for grant in grants if grant.project is not None]
    publisher_ids = {i for grant in grants if grant.project is None for i in grant.publisher_ids}
    if publisher_ids:
        for publisher in services.store.list_publishers(record.identity_key):
            if publisher.publisher_id in publisher_ids:
                projects += publisher.projects
    return list(dict.fromkeys(projects))


def _find_publishers(
    record: TokenRecord, caller: Caller, trust: Mapping[str, Trust]
) -> dict[str, tuple[str, ...]]:
    """Return the projects that trust one of the token's publishers, and the ids of these."""
    permission, registry = caller.permission, caller.registry.name
    return {
        name: publisher_ids
        for name, trusted in trust.items()
        if (publisher_ids := record.publishers_for(permission, registry, name, trusted))
    }


def _projects_of_operator(
    record: TokenRecord, caller: Caller, project: str | None
) -> dict[str, tuple[str, ...]]:
    """Return the asked projects for which an operator made the token; no publisher gives it."""
    projects = record.operators_projects(caller.permission, caller.registry.name)
    return {name: () for name in projects if project in {None, name}}


def _explain(record: TokenRecord, registry: str, project: str | None) -> str:
    """Return why the token does not give the right to upload to a project, or to any."""
    if project is None:
        return "the upload token does not give a right to any project of this registry"
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


def _may_only_read(record: TokenRecord, registry: str) -> bool:
    may_upload = record.grants_of(Permission.UPLOAD, registry)
    return not may_upload and bool(record.grants_of(Permission.READ, registry))


def verify_uploader(caller: Caller, services: Services) -> None:
    """Check that the caller's token is good for uploads to this registry, in one round trip.

    Raises Unauthorized or Forbidden. Whether a project trusts the token is for ``verify`` to say.
    """
    record, _ = verify_token(caller, None, services)
    _check_enabled(record.signer, caller)
    if _may_only_read(record, caller.registry.name):
        raise MayOnlyRead(_MAY_ONLY_READ)
    if not record.grants_of(Permission.UPLOAD, caller.registry.name):
        raise Forbidden(_explain(record, caller.registry.name, None))


def verify_reader(caller: Caller, services: Services) -> None:
    """Check that the caller may read the registry; raise Unauthorized or Forbidden.

    It takes one round trip, and none for ten seconds after. The expiry and the switches are checked
    every time.
    """
    key, known = (caller.registry.name, caller.token.hash), services.known_readers
    reader = known.find(key)
    if reader is None:
        asked_at = known.now()
        record = find_reader(caller, services)
        reader = Reader(record.signer, record.expires_at, asked_at)
        known.add(key, reader)
    if services.now() >= reader.expires_at:
        raise Unauthorized(_NOT_GOOD_HERE)
    _check_enabled(reader.signer, caller)


def find_reader(caller: Caller, services: Services) -> TokenRecord:
    """Return the record of a caller who may read the registry; it takes one round trip.

    Raises Unauthorized, also for a token of another registry, or Forbidden. The registry must still
    trust one of the token's publishers, unless an operator made the token. A single-use token reads
    until it is used, and reading does not use it up.
    """
    registry = caller.registry.name
    found = _find_live(caller, (registry, WHOLE_REGISTRY), services)
    grants = found[0].grants_of(caller.permission, registry) if found else []
    if found is None or not grants:
        raise Unauthorized(_NOT_GOOD_HERE)
    record, trusted = found
    check_unused(record, None)
    _check_enabled(record.signer, caller)
    if record.made_by is None and not any(grant.publishers_among(trusted) for grant in grants):
        raise Forbidden(f"the registry `{registry}` no longer trusts where this token comes from")
    return record


def confirm(right: Right, services: Services) -> None:
    """Check a right again, just before it is used for good; raise as ``verify`` does.

    We take the configuration anew, because a switch must also end slow work. We ask the store only
    if the last check is older than ``MAX_AGE``: the token may have expired or been burned since, or
    the publisher may have been removed. A slow call for one of them makes the other one old, so we
    look again until neither is, or until the store has been slow for too often.
    """
    caller = _renew(right, services)
    for _ in range(_MOST_CHECKS):
        if not is_old(right, services):
            break
        right = verify(caller, right.project, services)
        caller = _renew(right, services)
    _check_enabled(right.record.signer, caller)


def _renew(right: Right, services: Services) -> Caller:
    return replace(right.caller, configuration=services.configurations.current())


def is_old(right: Right, services: Services) -> bool:
    """Say whether what was checked with this right must be checked again before it is used."""
    return services.now() - right.verified_at >= MAX_AGE


def check_unused(record: TokenRecord, use: str | None) -> None:
    """Raise Unauthorized if a single-use token was used, unless in this very way (PEP 807).

    This asks the record that was read with the right, before anything is stored; ``use_up`` asks
    the store again.
    """
    if not record.may_be_used_for(use):
        raise Unauthorized(_USED_UP)


def use_up(record: TokenRecord, use: str, services: Services) -> None:
    """Use a single-use token; raise Unauthorized if it was used in another way (PEP 807).

    An upload does this just before the file becomes visible, so that one of two uploads at the same
    time loses. After a crash in between, the client sends the same file again.
    """
    if record.is_single_use and not services.store.use_token(record, use):
        raise Unauthorized(_USED_UP)


def verify_client(client_id: str, secret: str, registry: Registry) -> None:
    """Check that the registry knows the index that asks about tokens; raise Unauthorized."""
    expected = registry.introspection_clients.get(client_id, _NO_SECRET_HASH)
    if not hmac.compare_digest(hashlib.sha256(secret.encode()).hexdigest(), expected):
        raise Unauthorized(_UNKNOWN_CLIENT)
