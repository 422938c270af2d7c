"""Rows of DynamoDB for publishing sessions.

``SESSION#token`` has a session. ``LIVE#registry#project`` has a row for each version that has a
live session, which finds the session and is counted. A function may delete nothing, so a row that
is no longer needed becomes vacant, and DynamoDB removes it.
"""

from collections.abc import Callable, Sequence
from typing import Any

from pytp_broker.aws.dynamodb.file_rows import file_item, file_key
from pytp_broker.aws.dynamodb.parallel import each
from pytp_broker.aws.dynamodb.reservations import (
    ATTEMPTS,
    Claim,
    Reservations,
    Row,
    batch_of,
    session_key,
)
from pytp_broker.aws.dynamodb.table import ConditionFailedError, attributes
from pytp_broker.errors import StoreUnavailable
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.protocols import TooManySessionsError
from pytp_broker.storage.sessions import MAX_SESSIONS, Session, SessionStatus, unpack


class SessionRows(Reservations):
    """Publishing sessions."""

    def add_session(self, session: Session) -> Session:
        """Store a new session; return the one that is in force, which may be another."""
        for _ in range(ATTEMPTS):
            live = self._list_live(session)
            token = live.pop(session.key, None)
            rival = None if token is None else self.find_session(token)
            if rival is not None and rival.is_live(session.created_at):
                return rival
            if rival is not None and rival.status is SessionStatus.PUBLISHED:
                self._finish(rival)
                continue
            if len(live) >= MAX_SESSIONS:
                raise TooManySessionsError
            # The session is there before anything points at it.
            self._add_session(session)
            if self._point_at(session, token):
                return self._counted(session)
            self._replace_session(_withdrawn(session), session.revision)
        raise StoreUnavailable("other sessions of this version are being created: try again")

    def save_session(self, session: Session, present: Session) -> bool:
        """Replace the present revision by this one; say whether this one is stored now."""
        if session.expires_at > present.expires_at:
            self._prolong_pointer(session)
        is_saved = self._replace_session(session, present.revision)
        if is_saved and session.is_over:
            self._vacate_pointer(session)
        return is_saved

    def reserve(self, session: Session, files: Sequence[PublishedFile]) -> Sequence[str]:
        """Reserve the names of files; return the names that are taken."""
        now = session.processing_since or session.created_at
        marks = {"reserved_by": session.reservation, "batch": batch_of(session, len(files))}

        def claim(file: PublishedFile) -> Claim:
            return self._claim_name({**file_item(file), **marks}, now)

        claims = each(claim, files)
        taken = [f.filename for f, made in zip(files, claims, strict=True) if not made.is_mine]
        if taken:
            self._release(session, session.reservation)
        return taken

    def publish_session(self, session: Session) -> bool:
        """Make all files visible that the revision before this one has reserved."""
        self._list_project(session.registry, session.project)
        held = self._swap_session(session, session.revision - 1)
        if held is None or _is_publication(held, session):
            self._finish(session, is_settled=held is not None and "ttl" in held)
            return True
        # The publish was rolled back while it reserved names. It may have reserved some later.
        self._release(session, session.published_reservation)
        return False

    def release(self, session: Session) -> None:
        """Give the names free again that this session has reserved."""
        self._release(session, session.reservation)

    def _release(self, session: Session, reservation: str) -> None:
        ttl = int(session.created_at.timestamp())

        def vacate(filename: str) -> None:
            key = file_key(session.registry, session.project, filename)
            request = _if_reserved(reservation)
            self._try(self._client.put_item, Item=attributes(**key, ttl=ttl), **request)

        each(vacate, session.filenames)

    def _finish(self, session: Session, *, is_settled: bool = False) -> None:
        """Take the reservations off the visible files; then the session's row may go.

        The pointer goes last. While it is there, the next session of the version finishes this one.
        """

        def settle(filename: str) -> None:
            key = attributes(**file_key(session.registry, session.project, filename))
            request = _if_reserved(session.published_reservation)
            change = "REMOVE reserved_by"
            self._try(self._client.update_item, Key=key, UpdateExpression=change, **request)

        if not is_settled:
            each(settle, session.filenames)
            self._let_expire(session)
        self._vacate_pointer(session)

    def _let_expire(self, session: Session) -> None:
        self._try(
            self._client.update_item,
            Key=attributes(**session_key(session.token)),
            UpdateExpression="SET #ttl = :ttl",
            ConditionExpression="attribute_exists(revision)",
            ExpressionAttributeNames={"#ttl": "ttl"},
            ExpressionAttributeValues=attributes(**{":ttl": int(session.kept_until.timestamp())}),
        )

    def _list_live(self, session: Session) -> dict[str, str]:
        """Return the tokens of the live sessions in a session's project, by version.

        The session of the same version may be over.
        """
        now, mine = int(session.created_at.timestamp()), _pointer_key(session)["sk"]
        rows = self._query(_pointer_key(session)["pk"])
        return {
            row["sk"].removeprefix("VERSION#"): row["session_token"]
            for row in rows
            if "session_token" in row and (row["ttl"] > now or row["sk"] == mine)
        }

    def _counted(self, session: Session) -> Session:
        """Return a session that was just added, unless it is one too many: then withdraw it."""
        if len(self._list_live(session)) > MAX_SESSIONS:
            self._vacate_pointer(session)
            self._replace_session(_withdrawn(session), session.revision)
            raise TooManySessionsError
        return session

    def _point_at(self, session: Session, former: str | None) -> bool:
        """Point at a new session in place of a former one; say whether it is done."""
        # A vacant row has no token.
        former = former or ""
        return self._try(
            self._client.put_item,
            Item=_pointer_item(session),
            ConditionExpression="attribute_not_exists(session_token) OR session_token IN (:a, :b)",
            ExpressionAttributeValues=attributes(**{":a": former, ":b": session.token}),
        )

    def _prolong_pointer(self, session: Session) -> None:
        self._try(
            self._client.put_item, Item=_pointer_item(session), **_if_pointed_at(session.token)
        )

    def _vacate_pointer(self, session: Session) -> None:
        vacant = attributes(**_pointer_key(session), ttl=int(session.created_at.timestamp()))
        self._try(self._client.put_item, Item=vacant, **_if_pointed_at(session.token))

    def _try(self, operation: Callable[..., Any], **request: object) -> bool:
        """Make a conditional write; say whether its condition holds."""
        try:
            self._call(operation, **request)
        except ConditionFailedError:
            return False
        return True


def _pointer_key(session: Session) -> dict[str, str]:
    place = f"{session.registry}#{session.project}"
    return {"pk": f"LIVE#{place}", "sk": f"VERSION#{session.key}"}


def _pointer_item(session: Session) -> dict[str, Any]:
    ttl = int(session.expires_at.timestamp())
    return attributes(**_pointer_key(session), session_token=session.token, ttl=ttl)


def _if_pointed_at(token: str) -> dict[str, Any]:
    return {
        "ConditionExpression": "session_token = :token",
        "ExpressionAttributeValues": attributes(**{":token": token}),
    }


def _if_reserved(reservation: str) -> dict[str, Any]:
    return {
        "ConditionExpression": "reserved_by = :mine",
        "ExpressionAttributeValues": attributes(**{":mine": reservation}),
    }


def _is_publication(held: Row, session: Session) -> bool:
    """Say whether the stored session has published already what this one publishes."""
    present = unpack(held["document"]) if held else None
    return present is not None and present.is_publication_of(session.published_reservation)


def _withdrawn(session: Session) -> Session:
    """Return a session that lost against another before anybody heard of it."""
    return session.changed(status=SessionStatus.CANCELED, ended_at=session.created_at)
