"""Reservations of file names by publishing sessions, as DynamoDB's rows of files show them.

A session that publishes writes the row of each file with the attribute ``reserved_by``. Nobody sees
such a file until the session's row says that this reservation is published: that one write makes
all files visible. A reservation of a session that did not publish is void, and any writer may
replace it.

The attribute ``batch`` stays. It says which files became visible together, and how many they are,
so that a reader that has found some of them knows that others are missing.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from enum import Enum
from typing import Any, Final

from pytp_broker.aws.dynamodb.listed import LISTED, listed_as
from pytp_broker.aws.dynamodb.table import ConditionFailedError, Table, attributes
from pytp_broker.errors import StoreUnavailable
from pytp_broker.storage.sessions import INTERRUPTED, Session, SessionStatus, pack, unpack

# How often we try again when somebody else writes the same rows at the same moment.
ATTEMPTS: Final = 20
# No reservation has this mark.
_NO_RESERVATION: Final = "none"

Row = dict[str, Any]


class Claim(Enum):
    """What has come of a write that claims the name of a file.

    It is ``WRITTEN``, or ``FOUND`` as an earlier attempt wrote it; or the name is ``TAKEN`` by a
    published file, or ``RESERVED`` by a session that publishes right now.
    """

    WRITTEN = "written"
    FOUND = "found"
    TAKEN = "taken"
    RESERVED = "reserved"

    @property
    def is_mine(self) -> bool:
        """Say whether the row is there."""
        return self in {Claim.WRITTEN, Claim.FOUND}


class Reservations(Table):
    """Rows of sessions, and the rows of files that sessions reserve."""

    def find_session(self, token: str) -> Session | None:
        """Return the session of this token."""
        row = self._find(**session_key(token))
        return None if row is None else unpack(row["document"])

    def _add_session(self, session: Session) -> None:
        """Write the row of a session that nobody else knows of."""
        item = _session_item(session, pack(session))
        self._call(self._client.put_item, Item=item)

    def _replace_session(self, session: Session, present: int) -> bool:
        """Write a session's row in place of this revision; say whether it is stored now."""
        held = self._swap_session(session, present)
        return held is None or bool(held.get("document") == pack(session))

    def _swap_session(self, session: Session, present: int) -> Row | None:
        """Write a session's row in place of this revision; return the row that is there instead."""
        try:
            self._call(
                self._client.put_item,
                Item=_session_item(session, pack(session)),
                ConditionExpression="revision = :present",
                ExpressionAttributeValues=attributes(**{":present": present}),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ConditionFailedError as held:
            return dict(held.item)
        return None

    def _list_project(self, registry: str, project: str) -> None:
        """List a project, before a file of it becomes visible."""
        self._call(self._client.put_item, Item=project_item(registry, project))

    def _claim_name(self, item: Row, now: datetime) -> Claim:
        """Write the row of a file, if nobody has its name; say what has come of it."""
        mine = {name: item.get(name) for name in ("document", "reserved_by")}
        void = _NO_RESERVATION
        for _ in range(ATTEMPTS):
            held = self._put_file(item, void)
            if held is None:
                return Claim.WRITTEN
            if {name: held.get(name) for name in mine} == mine:
                return Claim.FOUND
            void = held.get("reserved_by", _NO_RESERVATION)
            holder = self._find_holder(held, now)
            if holder is not None:
                return Claim.TAKEN if holder is SessionStatus.PUBLISHED else Claim.RESERVED
        raise StoreUnavailable("others are publishing files of this name: try again")

    def _put_file(self, item: Row, void: str) -> Row | None:
        """Write the row of a file in place of none or a void one; return the one that is there."""
        try:
            self._call(
                self._client.put_item,
                Item=attributes(**item),
                ConditionExpression="attribute_not_exists(document) OR reserved_by = :void",
                ExpressionAttributeValues=attributes(**{":void": void}),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ConditionFailedError as taken:
            return dict(taken.item)
        return None

    def _find_holder(self, row: Row, now: datetime) -> SessionStatus | None:
        """Say what has the name of a file: PUBLISHED, PROCESSING, or None if that is void."""
        reservation = row.get("reserved_by")
        if reservation is None:
            return SessionStatus.PUBLISHED
        session = self.find_session(reservation.partition("#")[0])
        if session is None:
            return None
        if session.is_publication_of(reservation):
            return SessionStatus.PUBLISHED
        if session.reservation != reservation or session.status is not SessionStatus.PROCESSING:
            return None
        if not session.is_interrupted(now):
            return SessionStatus.PROCESSING
        # First it must not be able to publish, because it would publish without this file.
        self._replace_session(session.failed(INTERRUPTED), session.revision)
        return self._find_holder(row, now)

    def _visible(self, rows: Iterable[Row]) -> list[Row]:
        """Return those of these rows of files that are visible."""
        found: dict[str, bool] = {}
        visible = []
        for row in rows:
            reservation = row.get("reserved_by")
            if reservation is not None and reservation not in found:
                found[reservation] = self._is_published(reservation)
            if "document" in row and found.get(reservation or "", True):
                visible.append(row)
        return visible

    def _is_published(self, reservation: str) -> bool:
        """Say whether a session has published what this mark reserved, without reading it all."""
        token, _, revision = reservation.partition("#")
        row = self._find(**session_key(token), names=("status", "revision"))
        published = SessionStatus.PUBLISHED.value, int(revision) + 1
        return row is not None and (row["status"], row["revision"]) == published


def project_item(registry: str, project: str) -> dict[str, Any]:
    """Return the row that lists a project, as DynamoDB's attributes."""
    return attributes(pk=f"REGISTRY#{registry}", sk=f"PROJECT#{project}")


def batch_of(session: Session, size: int) -> str:
    """Return what the rows of files say that a session publishes together."""
    # Not the session's token, because the rows stay.
    return f"{hashlib.sha256(session.reservation.encode()).hexdigest()[:32]}/{size}"


def is_whole(rows: Iterable[Row]) -> bool:
    """Say whether these rows of a project have all files of each batch of which they have one."""
    batches: dict[str, list[Row]] = {}
    for row in rows:
        if "batch" in row:
            batches.setdefault(row["batch"], []).append(row)
    return all(has_all(batch) for batch in batches.values())


def has_all(batch: list[Row]) -> bool:
    """Say whether these rows of one batch are all that it has."""
    return str(batch[0]["batch"]).endswith(f"/{len(batch)}")


def session_key(token: str) -> dict[str, str]:
    """Return the key of a session's row."""
    return {"pk": f"SESSION#{token}", "sk": "SESSION"}


def _session_item(session: Session, packed: bytes) -> dict[str, Any]:
    """Return the row of a session.

    A published one gets its time to live when its files no longer need the row.
    """
    published = session.status is SessionStatus.PUBLISHED
    lifetime = {} if published else {"ttl": int(session.kept_until.timestamp())}
    key = session_key(session.token)
    listed = {} if session.is_over else {LISTED: listed_as(key["pk"])}
    return attributes(
        **key,
        **listed,
        document=packed,
        revision=session.revision,
        status=session.status.value,
        expires_at=int(session.expires_at.timestamp()),
        **lifetime,
    )
