"""Rows of DynamoDB for the listing of a project, which a page reads instead of the rows of files.

``MARKS`` has a mark for each change that is under way. ``CONTENT`` has the listing itself, or where
it is in the bucket. Readers take the listing only if it is not older than the ``floor`` in
``MARKS``: a reader that gets the old ``CONTENT``, and then ``MARKS`` after the change, would take
the change for one that the content has.
"""

import secrets
import time
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Any, Final, Protocol

from pytp_broker.aws.api.dynamodb import DynamoDB
from pytp_broker.aws.dynamodb.file_rows import FileRows
from pytp_broker.aws.dynamodb.listing_state import Content, ListingState, Mark, hash_of, settled
from pytp_broker.aws.dynamodb.table import ConditionFailedError, attributes
from pytp_broker.errors import StoreUnavailable
from pytp_broker.side_by_side import SideBySide, in_order
from pytp_broker.storage.protocols import Place

# A listing of this size has about 500 files. Its row costs 16 read units for a page, and 64 write
# units for a change. A larger one is in the bucket, and its row costs one of each at any size. An
# item could hold 400 KB, but then 30 readers a second would use up what a partition gives.
MAX_INLINE_BYTES: Final = 63 * 1024


class ListingObjects(Protocol):
    """Keeps listings that are too large for a row. Every method raises StoreUnavailable."""

    def save(self, key: str, octets: bytes) -> None:
        """Keep a listing under a new key."""

    def read(self, key: str) -> bytes:
        """Return a listing; raise KeyError if it is not there."""

    def retire(self, key: str) -> None:
        """Let a listing go, some time after it was replaced."""


class ListingRows(FileRows):
    """Listings of projects. Without ``objects``, large projects have none."""

    def __init__(
        self,
        client: DynamoDB,
        table_name: str,
        objects: ListingObjects | None = None,
        now: Callable[[], float] = time.time,
        *,
        side_by_side: SideBySide = in_order,
    ) -> None:
        super().__init__(client, table_name)
        self._objects = objects
        self._now = now
        self._side_by_side = side_by_side

    def _read_listing(self, place: Place) -> ListingState:
        keys = [attributes(**key) for key in listing_keys(place)]
        return ListingState.read(self._read_items(keys))

    def _find_content(self, state: ListingState) -> Content | None:
        """Return the content of a listing; None if there is none, or if it is outdated."""
        if not state.has_content:
            return None
        if not state.key:
            return Content.unpack(state.packed)
        if self._objects is None:
            return None
        try:
            return Content.unpack(self._objects.read(state.key))
        except KeyError:
            return None

    def _add_marks(self, place: Place, marks: AbstractSet[Mark]) -> None:
        self._change_marks(place, "ADD marks :marks", marks)

    def _remove_marks(
        self, place: Place, marks: AbstractSet[Mark], floor: int, stored_hash: str
    ) -> None:
        """Take marks off: the content of this revision, with this hash, has their changes."""
        try:
            self._change_marks(
                place,
                "SET #floor = :floor, #settled = :settled DELETE marks :marks",
                marks,
                floor=floor,
                stored_hash=stored_hash,
                ConditionExpression="attribute_not_exists(#floor) OR #floor <= :floor",
                ExpressionAttributeNames={"#floor": "floor", "#settled": "settled"},
            )
        except ConditionFailedError:  # another writer has set a higher floor
            self._change_marks(place, "DELETE marks :marks", marks)

    def _note_status(self, place: Place) -> None:
        """Say that the project may have a status; nothing takes that back."""
        key, _ = listing_keys(place)
        self._call(
            self._client.update_item,
            Key=attributes(**key),
            UpdateExpression="SET has_status = :yes",
            ExpressionAttributeValues=attributes(**{":yes": 1}),
        )

    def _change_marks(
        self,
        place: Place,
        expression: str,
        marks: AbstractSet[Mark],
        *,
        floor: int | None = None,
        stored_hash: str = "",
        **request: object,
    ) -> None:
        values: dict[str, Any] = {":marks": frozenset(map(str, marks))}
        if floor is not None:
            values |= {":floor": floor, ":settled": settled(floor, stored_hash)}
        key, _ = listing_keys(place)
        self._call(
            self._client.update_item,
            Key=attributes(**key),
            UpdateExpression=expression,
            ExpressionAttributeValues=attributes(**values),
            **request,
        )

    def _replace_content(self, place: Place, state: ListingState, content: Content) -> str | None:
        """Replace the content by the next revision; return its hash if this one is stored now."""
        packed = content.pack()
        held = self._hold(place, packed, state.revision + 1)
        _, key = listing_keys(place)
        is_stored = self._put_content(
            {**key, "revision": state.revision + 1, **held}, state.revision
        )
        # Of two listings one is needed no more: the one that was replaced, or this one that lost.
        self._retire(state.key if is_stored else held.get("object_key", ""))
        return hash_of(packed) if is_stored else None

    def _hold(self, place: Place, packed: bytes, revision: int) -> Mapping[str, Any]:
        """Return what the row of the content holds: the content, or its key in the bucket."""
        if len(packed) <= MAX_INLINE_BYTES:
            return {"content": packed}
        if self._objects is None:
            return {}
        registry, project = place
        # No other writer has this key, so nobody retires the object that another one points at.
        key = f"listings/{registry}/{project}/{revision}-{secrets.token_hex(8)}"
        self._objects.save(key, packed)
        return {"object_key": key}

    def _put_content(self, row: Mapping[str, Any], present: int) -> bool:
        request: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
        if present:
            request = {
                "ConditionExpression": "revision = :present",
                "ExpressionAttributeValues": attributes(**{":present": present}),
            }
        try:
            self._call(
                self._client.put_item,
                Item=attributes(**row),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **request,
            )
        except ConditionFailedError as taken:
            return dict(taken.item) == dict(row)
        return True

    def _retire(self, key: str) -> None:
        # If it fails, an object that nobody needs stays in the bucket.
        if key and self._objects is not None:
            with suppress(StoreUnavailable):
                self._objects.retire(key)


def listing_keys(place: Place) -> tuple[dict[str, str], dict[str, str]]:
    """Return the keys of the rows with the marks and with the content."""
    # A partition of its own: what readers cost here takes nothing from what uploads need.
    partition = "#".join(("LISTING", *place))
    return {"pk": partition, "sk": "MARKS"}, {"pk": partition, "sk": "CONTENT"}
