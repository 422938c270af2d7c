"""The DynamoDB store: one table, strongly consistent reads, conditional writes, no transactions.

======================================  =========================  ================================
pk                                      sk                         holds
======================================  =========================  ================================
``CONFIGURATION``                       ``MAIN``                   document: the main switch
``CONFIGURATION``                       ``ISSUER#url``             document
``CONFIGURATION``                       ``REGISTRY#name``          document
``PUBLISHER#identity_key``              ``registry#rules_hash``    document, publisher_id, pins
``PUBLISHER#identity_key``              ``…rules_hash#number``     publisher_id, projects
``TRUST#registry#project``              ``TRUST``                  publisher_ids
``PROJECT#registry#project``            ``FILE#filename``          document
``PROJECT#registry#project``            ``RELEASE#key``            document
``REOPENED#registry#project``           ``REOPENED#key``           until, ttl
``REGISTRY#registry``                   ``PROJECT#project``        nothing more
``TOKEN#lookup_id``                     ``TOKEN``                  document, token_hash, registries,
                                                                   burned_at, ttl
``USE#lookup_id``                       ``USE``                    used_for, ttl
``KEYSET#issuer``                       ``KEYSET``                 document
``KEYSET#issuer``                       ``REFRESH``                claimed_at, claimed_by
``OPERATOR``                            ``time#suffix``            document
======================================  =========================  ================================

IAM allows each function certain partitions, and certain attributes where partitions are not fine
enough. What a function must not write is therefore in a separate partition: whom a project trusts,
what a single-use token was used for, which releases the operator has reopened.

A client that retries may find the result of its own first attempt. So every write either has the
same effect when it is repeated, or recognises what it wrote.
"""

import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from random import SystemRandom
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from pytp_broker.audit import AuditRecord
from pytp_broker.aws.dynamodb.publisher_rows import (
    Page,
    PageKey,
    document_of,
    pages_of,
    publisher_key,
    read_pages,
    read_publishers,
    read_trust,
    trusted_text,
)
from pytp_broker.aws.dynamodb.sizes import check_sizes
from pytp_broker.aws.errors import cause_of, code_of
from pytp_broker.errors import StoreUnavailable
from pytp_broker.oidc.keysets import StoredKeySet
from pytp_broker.registries import Configuration, Issuer, Registry
from pytp_broker.storage.protocols import (
    AlreadyExchangedError,
    AlreadyPublishedError,
    Approve,
    Changes,
    Place,
    PublishedFile,
    Release,
    Setup,
    carry_over,
    unexpired,
)
from pytp_broker.tokens import TokenRecord, Trust
from pytp_broker.trust.publishers import TrustedPublisher

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# One round is enough for one operator; several at the same time need a few more.
MAX_APPLY_ROUNDS: Final = 10
# DynamoDB's limit for one BatchGetItem.
MAX_BATCH_KEYS: Final = 100

NOBODY: Final[frozenset[str]] = frozenset()

_CONFIGURATION: Final = "CONFIGURATION"
_MAIN: Final = "MAIN"
_OPERATOR: Final = "OPERATOR"
_APPLIED: Final = "begins_with(pk, :publisher) OR pk = :configuration OR sk = :trust"

# The publishers that each project trusts, as its row stores them.
Trusted = Mapping[Place, frozenset[str]]


class _ConditionFailedError(Exception):
    """The condition of a write does not hold; ``item`` is the stored item, if we asked for it."""

    def __init__(self, item: Mapping[str, Any]) -> None:
        super().__init__()
        self.item = item


@dataclass(frozen=True, slots=True)
class _State:
    """The part of the table that ``apply`` reads and changes."""

    setup: Setup
    pages: Mapping[PageKey, Page]
    trusted: Trusted

    @property
    def effective(self) -> Setup:
        """Return the setup, each publisher with only those projects whose rows trust it."""
        publishers = {
            key: p.with_projects(
                tuple(
                    project
                    for project in p.projects
                    if p.publisher_id in read_trust(self.trusted.get((p.registry, project), NOBODY))
                )
            )
            for key, p in self.setup.publishers.items()
        }
        return Setup(self.setup.configuration, publishers)


class DynamoStore:
    """A Store in one DynamoDB table, through the low-level client that is passed in."""

    def __init__(self, client: "DynamoDBClient", table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    # What the operator writes

    def load_configuration(self) -> Configuration:
        """Return the issuers, registries and the main switch."""
        return _read_configuration(self._query(_CONFIGURATION))

    def apply(
        self,
        configuration: Configuration,
        publishers: Sequence[TrustedPublisher],
        approve: Approve | None = None,
    ) -> Changes:
        """Bring the table to this configuration.

        Raises StoreUnavailable if another ``apply`` changes the table at the same time, or if an
        item would be too large for DynamoDB. In the second case nothing is written.

        It reads the table again until the table is as it should be. So two at the same time leave
        what one of them wanted, never a mixture, unless one says that it has failed.
        """
        want = partial(_want, configuration, publishers)
        present = first = self._read_state()
        _check_sizes(want(first))
        planned = Changes.between(first.effective, want(first).setup)
        if approve is not None and not approve(planned):
            return planned
        for attempt in range(1, MAX_APPLY_ROUNDS + 1):
            started_at = time.monotonic()
            for step in self._plan(present, want(present)):
                # A condition fails only if another `apply` changed the table; the next read sees
                # that.
                with suppress(_ConditionFailedError):
                    step()
            present = self._read_state()
            if not self._plan(present, want(present)):
                return Changes.between(first.effective, want(present).setup)
            _step_aside(attempt * (time.monotonic() - started_at))
            present = self._read_state()
            # The approved changes do not include what another `apply` has added meanwhile.
            planned = Changes.between(present.effective, want(present).setup)
            if approve is not None and not approve(planned):
                break
        raise StoreUnavailable("another `apply` is changing the same store; run it again alone")

    def _read_state(self) -> _State:
        rows = list(
            self._pages(
                self._client.scan,
                ConsistentRead=True,
                FilterExpression=_APPLIED,
                ExpressionAttributeValues=_attributes(
                    **{":publisher": "PUBLISHER#", ":configuration": _CONFIGURATION},
                    **{":trust": "TRUST"},
                ),
            )
        )
        mine = [row for row in rows if row["pk"].startswith("PUBLISHER#")]
        publishers = {p.rules_hash: p for p in read_publishers(mine)}
        configuration = _read_configuration(r for r in rows if r["pk"] == _CONFIGURATION)
        trusted = _read_trusted(row for row in rows if row["sk"] == "TRUST")
        return _State(Setup(configuration, publishers), read_pages(mine), trusted)

    def _plan(self, present: _State, wanted: _State) -> list[Callable[[], object]]:
        """Return the writes in their order: first those that take rights away.

        Those that give rights follow. After a crash between any two writes, the next ``apply``
        finishes the work.
        """
        old, new = present.setup.publishers, wanted.setup.publishers
        old_parts = _parts(present.setup.configuration)
        new_parts = _parts(wanted.setup.configuration)
        is_on = wanted.setup.configuration.enabled
        switch = [] if old_parts[_MAIN] == new_parts[_MAIN] else [_MAIN]
        others = [sk for sk in new_parts if sk != _MAIN and old_parts.get(sk) != new_parts[sk]]
        put = partial(self._put_part, new_parts)
        return [
            *(partial(put, sk) for sk in switch if not is_on),
            *(partial(self._distrust, *left) for left in _beyond(present.trusted, wanted.trusted)),
            *(partial(self._remove_page, key) for key in present.pages if key not in wanted.pages),
            *(partial(self._remove_publisher, old[key]) for key in old if key not in new),
            *(partial(self._remove_part, sk) for sk in old_parts if sk not in new_parts),
            *(partial(put, sk) for sk in others if sk in old_parts),
            *(partial(self._add_publisher, new[key]) for key in new if key not in old),
            *(
                partial(self._change_publisher, new[key])
                for key in new
                if key in old and old[key].document() != new[key].document()
            ),
            *(
                partial(self._put_page, key, page)
                for key, page in wanted.pages.items()
                if present.pages.get(key) != page
            ),
            *(partial(self._trust, *given) for given in _beyond(wanted.trusted, present.trusted)),
            *(partial(put, sk) for sk in others if sk not in old_parts),
            *(partial(put, sk) for sk in switch if is_on),
        ]

    def _put_part(self, parts: Mapping[str, Any], sk: str) -> None:
        item = _attributes(pk=_CONFIGURATION, sk=sk, document=_dump(parts[sk]))
        self._call(self._client.put_item, Item=item)

    def _remove_part(self, sk: str) -> None:
        self._call(self._client.delete_item, Key=_attributes(pk=_CONFIGURATION, sk=sk))

    def _put_page(self, key: PageKey, page: Page) -> None:
        item = _attributes(**key._asdict(), **page._asdict())
        self._call(self._client.put_item, Item=item)

    def _remove_page(self, key: PageKey) -> None:
        self._call(self._client.delete_item, Key=_attributes(**key._asdict()))

    def _add_publisher(self, publisher: TrustedPublisher) -> None:
        self._call(
            self._client.put_item,
            Item=_attributes(
                **publisher_key(publisher),
                document=document_of(publisher),
                publisher_id=publisher.publisher_id,
                pins=publisher.pins,
            ),
            ConditionExpression="attribute_not_exists(document)",
        )

    def _change_publisher(self, publisher: TrustedPublisher) -> None:
        # An update, because a put would undo a pin that was made meanwhile.
        self._call(
            self._client.update_item,
            Key=_attributes(**publisher_key(publisher)),
            UpdateExpression="SET document = :document",
            ConditionExpression="publisher_id = :id",
            ExpressionAttributeValues=_attributes(
                **{":document": document_of(publisher), ":id": publisher.publisher_id}
            ),
        )

    def _remove_publisher(self, publisher: TrustedPublisher) -> None:
        self._call(
            self._client.delete_item,
            Key=_attributes(**publisher_key(publisher)),
            ConditionExpression="publisher_id = :id",
            ExpressionAttributeValues=_attributes(**{":id": publisher.publisher_id}),
        )

    def _trust(self, place: Place, publisher_ids: AbstractSet[str]) -> None:
        self._update_trust("ADD publisher_ids :ids", place, publisher_ids)

    def _distrust(self, place: Place, publisher_ids: AbstractSet[str]) -> None:
        self._update_trust("DELETE publisher_ids :ids", place, publisher_ids)

    def _update_trust(self, expression: str, place: Place, publisher_ids: AbstractSet[str]) -> None:
        self._call(
            self._client.update_item,
            Key=_trust_key(*place),
            UpdateExpression=expression,
            ExpressionAttributeValues=_attributes(**{":ids": publisher_ids}),
        )

    def list_tokens(self, now: datetime) -> Sequence[TokenRecord]:
        """Return every token that has not expired, also burned and used ones."""
        values: dict[str, Any] = {":token": "TOKEN#", ":use": "USE#", ":now": int(now.timestamp())}
        rows = self._pages(
            self._client.scan,
            ConsistentRead=True,
            FilterExpression="(begins_with(pk, :token) OR begins_with(pk, :use)) AND #ttl >= :now",
            ExpressionAttributeNames={"#ttl": "ttl"},
            ExpressionAttributeValues=_attributes(**values),
        )
        found: dict[str, dict[str, Mapping[str, Any]]] = {"TOKEN": {}, "USE": {}}
        for row in rows:
            found[row["sk"]][row["pk"].partition("#")[2]] = row
        tokens = (_read_token(row, found["USE"].get(key)) for key, row in found["TOKEN"].items())
        return unexpired(tokens, now)

    def add_operator_record(self, record: AuditRecord, at: datetime) -> None:
        """Store an audit record of what an operator does."""
        sk = f"{at.isoformat(timespec='microseconds')}#{secrets.token_hex(8)}"
        document = _dump({"time": at.isoformat(), **record.document()})
        item = _attributes(pk=_OPERATOR, sk=sk, document=document)
        self._call(self._client.put_item, Item=item)

    def list_operator_records(self) -> Sequence[Mapping[str, Any]]:
        """Return the records of operators in the order of their times."""
        return [json.loads(row["document"]) for row in self._query(_OPERATOR)]

    # What the exchange and the token check need

    def list_publishers(self, identity_key: str) -> Sequence[TrustedPublisher]:
        """Return every publisher of all registries with this identity key, in one query."""
        return read_publishers(self._query(f"PUBLISHER#{identity_key}"))

    def pin_publisher(
        self, publisher: TrustedPublisher, pins: Mapping[str, str]
    ) -> Mapping[str, str] | None:
        """Pin immutable ids that are not pinned yet; return those in force.

        Returns None if the publisher has been removed: a condition keeps this write from bringing
        its row back.
        """
        names = {f"#pin{n}": name for n, name in enumerate(pins)}
        values = {f":pin{n}": value for n, value in enumerate(pins.values())}
        pinned = [
            f"pins.{name} = if_not_exists(pins.{name}, {value})"
            for name, value in zip(names, values, strict=True)
        ]
        # The expression sets the id to the value that it has, because it must not be empty.
        request: dict[str, Any] = {
            "UpdateExpression": "SET " + ", ".join(["publisher_id = :id", *pinned]),
            "ConditionExpression": "publisher_id = :id",
            "ExpressionAttributeValues": _attributes(**{":id": publisher.publisher_id}, **values),
            "ReturnValues": "ALL_NEW",
        }
        if names:
            request["ExpressionAttributeNames"] = names
        try:
            answer = self._call(
                self._client.update_item, Key=_attributes(**publisher_key(publisher)), **request
            )
        except _ConditionFailedError:
            return None
        in_force: Mapping[str, str] = _values(answer["Attributes"])["pins"]
        return in_force

    def add_token(self, record: TokenRecord) -> None:
        """Store the record; raise AlreadyExchangedError when its lookup id is taken.

        An expired record counts as deleted, because DynamoDB deletes days late.
        """
        item = _attributes(
            pk=f"TOKEN#{record.lookup_id}",
            sk="TOKEN",
            document=_dump(record.document()),
            token_hash=record.token_hash,
            registries=frozenset(record.registries),
            ttl=int(record.kept_until.timestamp()),
        )
        try:
            self._call(
                self._client.put_item,
                Item=item,
                ConditionExpression="attribute_not_exists(pk) OR #ttl < :now",
                ExpressionAttributeNames={"#ttl": "ttl"},
                ExpressionAttributeValues=_attributes(
                    **{":now": int(record.issued_at.timestamp())}
                ),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except _ConditionFailedError as taken:
            if taken.item.get("token_hash") != record.token_hash:
                raise AlreadyExchangedError from None

    def find_token(
        self, lookup_id: str, registry: str, project: str
    ) -> tuple[TokenRecord, Trust] | None:
        """Return the record and the publishers that the project trusts now."""
        keys = [
            _attributes(pk=f"TOKEN#{lookup_id}", sk="TOKEN"),
            _attributes(**_use_key(lookup_id)),
            _trust_key(registry, project),
        ]
        rows = {row["sk"]: row for row in self._read_items(keys)}
        if "TOKEN" not in rows:
            return None
        trusted = rows.get("TRUST", {}).get("publisher_ids", NOBODY)
        return _read_token(rows["TOKEN"], rows.get("USE")), read_trust(trusted)

    def list_trust(self, places: Sequence[Place]) -> Mapping[Place, Trust]:
        """Return the publishers that each of these projects trusts now."""
        rows: list[dict[str, Any]] = []
        for start in range(0, len(places), MAX_BATCH_KEYS):
            batch = places[start : start + MAX_BATCH_KEYS]
            rows += self._read_items([_trust_key(*place) for place in batch])
        return {place: read_trust(texts) for place, texts in _read_trusted(rows).items()}

    def use_token(self, record: TokenRecord, file: str) -> bool:
        """Mark a single-use token as used for a file; say whether that is allowed."""
        item = _attributes(
            **_use_key(record.lookup_id),
            used_for=file,
            ttl=int(record.kept_until.timestamp()),
        )
        values: dict[str, Any] = {":file": file, ":issued": int(record.issued_at.timestamp())}
        try:
            self._call(
                self._client.put_item,
                Item=item,
                ConditionExpression="attribute_not_exists(pk) OR used_for = :file "
                "OR #ttl < :issued",
                ExpressionAttributeNames={"#ttl": "ttl"},
                ExpressionAttributeValues=_attributes(**values),
            )
        except _ConditionFailedError:
            return False
        return True

    def burn_token(
        self, lookup_id: str, token_hash: str, registry: str | None, now: datetime
    ) -> bool:
        """End a token early; say whether this call has ended it."""
        condition = "token_hash = :hash AND attribute_not_exists(burned_at)"
        values: dict[str, Any] = {":hash": token_hash, ":now": int(now.timestamp())}
        if registry is not None:
            condition += " AND contains(registries, :registry)"
            values[":registry"] = registry
        try:
            self._call(
                self._client.update_item,
                Key=_attributes(pk=f"TOKEN#{lookup_id}", sk="TOKEN"),
                UpdateExpression="SET burned_at = :now",
                ConditionExpression=condition,
                ExpressionAttributeValues=_attributes(**values),
            )
        except _ConditionFailedError:
            return False
        return True

    def find_key_set(self, issuer_url: str) -> StoredKeySet | None:
        """Return the issuer's last good key set."""
        row = self._find(f"KEYSET#{issuer_url}", "KEYSET")
        if row is None:
            return None
        document = json.loads(row["document"])
        return StoredKeySet(document["keys"], datetime.fromisoformat(document["fetched_at"]))

    def save_key_set(self, issuer_url: str, key_set: StoredKeySet) -> None:
        """Keep a good key set."""
        document = {
            "keys": [dict(key) for key in key_set.keys],
            "fetched_at": key_set.fetched_at.isoformat(),
        }
        item = _attributes(pk=f"KEYSET#{issuer_url}", sk="KEYSET", document=_dump(document))
        self._call(self._client.put_item, Item=item)

    def claim_key_set_refresh(self, issuer_url: str, now: datetime, cooldown: timedelta) -> bool:
        """Claim the issuer's next refresh; say whether it is ours."""
        seconds, distance = int(now.timestamp()), int(cooldown.total_seconds())
        claimed_by = secrets.token_hex(8)
        item = _attributes(
            pk=f"KEYSET#{issuer_url}", sk="REFRESH", claimed_at=seconds, claimed_by=claimed_by
        )
        try:
            self._call(
                self._client.put_item,
                Item=item,
                ConditionExpression="attribute_not_exists(pk) "
                "OR claimed_at <= :before OR claimed_at >= :after",
                ExpressionAttributeValues=_attributes(
                    **{":before": seconds - distance, ":after": seconds + distance}
                ),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except _ConditionFailedError as taken:
            return bool(taken.item.get("claimed_by") == claimed_by)
        return True

    # What the index needs

    def find_file(self, registry: str, project: str, filename: str) -> PublishedFile | None:
        """Return the file of this name in a project."""
        row = self._find(f"PROJECT#{registry}#{project}", f"FILE#{filename}")
        return None if row is None else _read_file(row)

    def add_file(self, file: PublishedFile) -> None:
        """Make the file visible; raise AlreadyPublishedError when the name is taken.

        It takes two writes: the first lists the project, the second makes the file visible.
        """
        project = _attributes(pk=f"REGISTRY#{file.registry}", sk=f"PROJECT#{file.project}")
        self._call(self._client.put_item, Item=project)
        document = _dump(file.document())
        item = _attributes(
            pk=f"PROJECT#{file.registry}#{file.project}",
            sk=f"FILE#{file.filename}",
            document=document,
        )
        try:
            self._call(
                self._client.put_item,
                Item=item,
                ConditionExpression="attribute_not_exists(pk)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except _ConditionFailedError as taken:
            if taken.item.get("document") != document:
                raise AlreadyPublishedError from None

    def find_release(
        self, registry: str, project: str, key: str
    ) -> tuple[Release | None, datetime | None]:
        """Return the record of a release, and until when the operator has reopened it."""
        place = (registry, project, key)
        keys = [_attributes(**_release_key(*place)), _attributes(**_reopened_key(*place))]
        rows = {row["pk"].partition("#")[0]: row for row in self._read_items(keys)}
        document = rows.get("PROJECT", {}).get("document")
        until = rows.get("REOPENED", {}).get("until")
        return (
            None if document is None else Release.from_document(json.loads(document)),
            None if until is None else datetime.fromtimestamp(until, UTC),
        )

    def save_release(self, release: Release, present: Release | None) -> bool:
        """Replace the present record by this one; say whether this one is stored now."""
        document = _dump(release.document())
        key = _release_key(release.registry, release.project, release.key)
        request: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
        if present is not None:
            request = {
                "ConditionExpression": "document = :present",
                "ExpressionAttributeValues": _attributes(**{":present": _dump(present.document())}),
            }
        try:
            self._call(
                self._client.put_item,
                Item=_attributes(**key, document=document),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **request,
            )
        except _ConditionFailedError as taken:
            return bool(taken.item.get("document") == document)
        return True

    def reopen_release(self, registry: str, project: str, key: str, until: datetime) -> None:
        """Let a release take files until this time."""
        seconds = int(until.timestamp())
        item = _attributes(**_reopened_key(registry, project, key), until=seconds, ttl=seconds)
        self._call(self._client.put_item, Item=item)

    def list_files(self, registry: str, project: str) -> Sequence[PublishedFile]:
        """Return the files of a project, ordered by name."""
        rows = self._query(f"PROJECT#{registry}#{project}", "FILE#")
        return [_read_file(row) for row in rows]

    def list_projects(self, registry: str) -> Sequence[str]:
        """Return the normalised names of all projects with a file, ordered.

        A project is also listed if its first ``add_file`` ended between the two writes.
        """
        rows = self._query(f"REGISTRY#{registry}", "PROJECT#")
        return [row["sk"].removeprefix("PROJECT#") for row in rows]

    # Calls

    def _find(self, pk: str, sk: str) -> dict[str, Any] | None:
        key = _attributes(pk=pk, sk=sk)
        answer = self._call(self._client.get_item, Key=key, ConsistentRead=True)
        return _values(answer["Item"]) if "Item" in answer else None

    def _read_items(self, keys: list[dict[str, Any]]) -> list[dict[str, Any]]:
        request = {self._table_name: {"Keys": keys, "ConsistentRead": True}}
        answer = _ask(self._client.batch_get_item, RequestItems=request)
        if answer.get("UnprocessedKeys"):
            # Half an answer would look like "no such token" or "not trusted".
            raise StoreUnavailable("the store did not answer in full")
        return [_values(item) for item in answer["Responses"].get(self._table_name, [])]

    def _query(self, pk: str, prefix: str = "") -> Iterator[dict[str, Any]]:
        condition, values = "pk = :pk", {":pk": pk}
        if prefix:
            condition += " AND begins_with(sk, :prefix)"
            values[":prefix"] = prefix
        return self._pages(
            self._client.query,
            ConsistentRead=True,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=_attributes(**values),
        )

    def _pages(self, operation: Callable[..., Any], **request: object) -> Iterator[dict[str, Any]]:
        answer = self._call(operation, **request)
        yield from map(_values, answer["Items"])
        while "LastEvaluatedKey" in answer:
            start = answer["LastEvaluatedKey"]
            answer = self._call(operation, **request, ExclusiveStartKey=start)
            yield from map(_values, answer["Items"])

    def _call(self, operation: Callable[..., Any], **request: object) -> Mapping[str, Any]:
        return _ask(operation, TableName=self._table_name, **request)


def _ask(operation: Callable[..., Any], **request: object) -> Mapping[str, Any]:
    try:
        answer: Mapping[str, Any] = operation(**request)
    except ClientError as error:
        if code_of(error) == "ConditionalCheckFailedException":
            held: Any = error.response.get("Item", {})
            raise _ConditionFailedError(_values(held)) from None
        raise _unavailable(error) from None
    except BotoCoreError as error:
        raise _unavailable(error) from None
    return answer


def _unavailable(error: ClientError | BotoCoreError) -> StoreUnavailable:
    return StoreUnavailable("the store did not answer", operator_detail=cause_of(error))


# Keys and documents


def _dump(document: Mapping[str, Any]) -> str:
    return json.dumps(document, sort_keys=True)


def _trust_key(registry: str, project: str) -> dict[str, Any]:
    return _attributes(pk=f"TRUST#{registry}#{project}", sk="TRUST")


def _use_key(lookup_id: str) -> dict[str, str]:
    return {"pk": f"USE#{lookup_id}", "sk": "USE"}


def _release_key(registry: str, project: str, key: str) -> dict[str, str]:
    return {"pk": f"PROJECT#{registry}#{project}", "sk": f"RELEASE#{key}"}


def _reopened_key(registry: str, project: str, key: str) -> dict[str, str]:
    return {"pk": f"REOPENED#{registry}#{project}", "sk": f"REOPENED#{key}"}


def _read_trusted(rows: Iterable[Mapping[str, Any]]) -> Trusted:
    # DynamoDB removes an empty set and keeps the row.
    return {_read_place(row["pk"]): row.get("publisher_ids", NOBODY) for row in rows}


def _read_place(pk: str) -> Place:
    _, registry, project = pk.split("#", 2)
    return registry, project


def _read_file(row: Mapping[str, Any]) -> PublishedFile:
    return PublishedFile.from_document(json.loads(row["document"]))


def _read_token(row: Mapping[str, Any], use: Mapping[str, Any] | None) -> TokenRecord:
    # The use of an earlier token with the same lookup id may still be stored.
    is_its_own = use is not None and use["ttl"] == row["ttl"]
    used_for = use["used_for"] if use is not None and is_its_own else None
    return TokenRecord.from_document(json.loads(row["document"]), row.get("burned_at"), used_for)


def _parts(configuration: Configuration) -> dict[str, Any]:
    """Return the documents of a configuration by their sort keys."""
    return {
        _MAIN: {"enabled": configuration.enabled},
        **{f"ISSUER#{i.url}": i.document() for i in configuration.issuers.values()},
        **{f"REGISTRY#{r.name}": r.document() for r in configuration.registries.values()},
    }


def _read_configuration(rows: Iterable[Mapping[str, Any]]) -> Configuration:
    """Return the configuration from the documents that ``_parts`` makes."""
    parts = {row["sk"]: json.loads(row["document"]) for row in rows}
    issuers = [Issuer.from_document(d) for sk, d in parts.items() if sk.startswith("ISSUER#")]
    registries = [
        Registry.from_document(d) for sk, d in parts.items() if sk.startswith("REGISTRY#")
    ]
    return Configuration(
        {issuer.url: issuer for issuer in issuers},
        {registry.name: registry for registry in registries},
        parts.get(_MAIN, {"enabled": True})["enabled"],
    )


def _want(
    configuration: Configuration, publishers: Iterable[TrustedPublisher], present: _State
) -> _State:
    wanted = carry_over(present.setup.publishers.values(), publishers)
    trusted: dict[Place, set[str]] = {}
    for publisher in wanted.values():
        for project in publisher.projects:
            place, publisher_id = (publisher.registry, project), publisher.publisher_id
            before = read_trust(present.trusted.get(place, NOBODY))
            text = trusted_text(publisher_id, before.get(publisher_id, publisher.generation))
            trusted.setdefault(place, set()).add(text)
    frozen = {place: frozenset(texts) for place, texts in trusted.items()}
    return _State(Setup(configuration, wanted), pages_of(wanted.values()), frozen)


def _check_sizes(wanted: _State) -> None:
    parts = {sk: _dump(part) for sk, part in _parts(wanted.setup.configuration).items()}
    publishers = ((p, document_of(p)) for p in wanted.setup.publishers.values())
    check_sizes(parts, publishers, wanted.trusted)


def _step_aside(seconds: float) -> None:
    # Two that undo each other's work in step would never finish. So each waits for a random time,
    # about as long as its round took. One operator alone never waits.
    time.sleep(SystemRandom().uniform(0, seconds))


def _beyond(these: Trusted, those: Trusted) -> list[tuple[Place, frozenset[str]]]:
    """Return the publishers of each place that are in ``these`` and not in ``those``."""
    more = [(place, ids - those.get(place, NOBODY)) for place, ids in these.items()]
    return [(place, ids) for place, ids in more if ids]


# DynamoDB's types: the four that we use


def _attributes(**values: str | int | AbstractSet[str] | Mapping[str, str]) -> dict[str, Any]:
    # DynamoDB cannot store an empty set; a missing attribute means the same.
    return {name: _attribute(value) for name, value in values.items() if value != frozenset()}


def _attribute(value: str | int | AbstractSet[str] | Mapping[str, str]) -> dict[str, Any]:
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, int):
        return {"N": str(value)}
    if isinstance(value, Mapping):
        return {"M": {name: _attribute(text) for name, text in value.items()}}
    return {"SS": sorted(value)}


def _values(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _value(attribute) for name, attribute in item.items()}


def _value(attribute: Mapping[str, Any]) -> object:
    if "N" in attribute:
        return int(attribute["N"])
    if "SS" in attribute:
        return frozenset(attribute["SS"])
    return _values(attribute["M"]) if "M" in attribute else attribute["S"]
