"""Begin a publishing session for one version of a project.

A project's name belongs to its trusted publishers before the project has a file, so a session need
not reserve it: nobody else can begin a session for it, or publish into it.
"""

from dataclasses import dataclass
from typing import Final

from packaging.version import Version

from pytp_broker.access import Caller, check_unused, report, verify
from pytp_broker.audit.requests import SessionEvent
from pytp_broker.errors import InvalidUpload, TooManyRequests
from pytp_broker.index.publishing import check_active
from pytp_broker.index.releases import check_version, key_of
from pytp_broker.index.sessions.entering import describe
from pytp_broker.index.sessions.transitions import LIFETIME
from pytp_broker.names import (
    MAX_FILE_NAME_CHARACTERS,
    InvalidNameError,
    NormalizedName,
    read_project,
)
from pytp_broker.redaction import printable
from pytp_broker.services import Index
from pytp_broker.storage.protocols import TooManySessionsError
from pytp_broker.storage.session_tokens import mint_session_token, session_use
from pytp_broker.storage.sessions import MAX_SESSIONS, Session, SessionStatus

# A session may be there for a week, so soon is not sooner.
_RETRY_AFTER_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True)
class Release:
    """What a session is for: one version of one project."""

    project: NormalizedName
    version: Version

    @classmethod
    def parse(cls, name: str, version: str) -> "Release":
        """Return the release that a client names; raise InvalidUpload."""
        try:
            return cls(read_project(name), _read_version(version))
        except InvalidNameError as mistake:
            raise InvalidUpload(f"the member `name` {mistake}") from None


def _read_version(text: str) -> Version:
    """Return a version that the name of a file has room for; raise InvalidUpload."""
    try:
        version = Version(text)
    except ValueError:  # InvalidVersion, or a number of too many digits
        raise InvalidUpload(
            f"the member `version` must be a version (PEP 440), not `{printable(text)}`"
        ) from None
    if len(str(version)) > MAX_FILE_NAME_CHARACTERS:
        raise InvalidUpload(
            f"the member `version` must have at most {MAX_FILE_NAME_CHARACTERS} characters"
        )
    return version


def create(
    release: Release, caller: Caller, index: Index, event: SessionEvent
) -> tuple[Session, bool]:
    """Return the live session of the release, and whether it is new.

    Raises Unauthorized, Forbidden, ProjectClosed or InvalidRelease, and TooManyRequests if the
    project has too many live sessions.
    """
    event.project, event.version = release.project, str(release.version)
    right = verify(caller, release.project, index)
    event.publishers = right.publisher_ids
    session = new_session(release, caller.registry.name, index)
    check_unused(right.record, session_use(session.registry, session.token))
    report(right, index)
    registry = caller.registry
    check_active(release.project, index.store.find_status(registry.name, release.project))
    check_version(release.project, release.version, registry, index)
    present = add(session, index)
    describe(event, present)
    return present, present.token == session.token


def new_session(
    release: Release, registry: str, index: Index, *, is_legacy: bool = False
) -> Session:
    """Return an open session without files, which is not stored yet."""
    now = index.now()
    return Session(
        token=mint_session_token(),
        registry=registry,
        project=release.project,
        version=str(release.version),
        key=key_of(release.version),
        status=SessionStatus.OPEN,
        created_at=now,
        expires_at=now + LIFETIME,
        revision=1,
        files={},
        is_legacy=is_legacy,
    )


def add(session: Session, index: Index) -> Session:
    """Store a session; return the live one of its release. Raises TooManyRequests."""
    try:
        return index.store.add_session(session)
    except TooManySessionsError:
        raise TooManyRequests(
            f"the project `{session.project}` has {MAX_SESSIONS} sessions that are neither "
            "published nor canceled: publish or cancel one of them",
            retry_after_seconds=_RETRY_AFTER_SECONDS,
        ) from None
