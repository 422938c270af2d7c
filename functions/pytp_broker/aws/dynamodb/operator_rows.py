"""Rows of DynamoDB for what operators do, and the reads that only their commands make."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from pytp_broker.aws.dynamodb.configuration_rows import (
    CONFIGURATION,
    IDENTITY_TOKENS,
    registry_key,
)
from pytp_broker.aws.dynamodb.file_rows import (
    deleted_key,
    read_tombstone,
    reopened_key,
    status_key,
    yanked_key,
)
from pytp_broker.aws.dynamodb.listed_rows import ListedRows
from pytp_broker.aws.dynamodb.operators_tokens import operators_token_item, operators_token_key
from pytp_broker.aws.dynamodb.table import ConditionFailedError, attributes, dump
from pytp_broker.aws.dynamodb.token_rows import read_token, token_item, token_key, use_key
from pytp_broker.storage.project_status import ACTIVE, ProjectStatus
from pytp_broker.storage.protocols import unexpired
from pytp_broker.storage.sessions import Session, unpack
from pytp_broker.storage.withdrawals import Tombstone
from pytp_broker.tokens import TokenRecord


class OperatorRows(ListedRows):
    """What operators do to projects and tokens, and reads that only their commands make."""

    def list_tokens(self, now: datetime) -> Sequence[TokenRecord]:
        """Return every token that has not expired, including burned and used ones."""
        keys = self._find_listed("TOKEN", now)
        if keys is None:
            rows = list(self._scan_kinds("TOKEN", "USE", now=now))
        else:
            ids = [pk.partition("#")[2] for pk, _ in keys]
            rows = self._read_all([key(i) for i in ids for key in (token_key, use_key)])
        found: dict[str, dict[str, Mapping[str, Any]]] = {"TOKEN": {}, "USE": {}}
        for row in rows:
            found[row["sk"]][row["pk"].partition("#")[2]] = row
        tokens = (read_token(row, found["USE"].get(key)) for key, row in found["TOKEN"].items())
        return unexpired(tokens, now)

    def refuse_identity_tokens(self, before: datetime) -> None:
        """Refuse identity tokens that were issued before this time; a later time stays."""
        seconds = int(before.timestamp())
        with suppress(ConditionFailedError):
            self._call(
                self._client.put_item,
                Item=attributes(
                    pk=CONFIGURATION,
                    sk=IDENTITY_TOKENS,
                    document=dump({"from": seconds}),
                    refused_before=seconds,
                ),
                ConditionExpression="attribute_not_exists(pk) OR refused_before < :before",
                ExpressionAttributeValues=attributes(**{":before": seconds}),
            )

    def list_sessions(self, now: datetime) -> Sequence[Session]:
        """Return every live publishing session, by time of creation."""
        keys = self._find_listed("SESSION", now)
        if keys is None:
            rows = list(self._scan_kinds("SESSION", now=now))
        else:
            rows = self._read_all([attributes(pk=pk, sk=sk) for pk, sk in keys])
        live = (session for row in rows if (session := unpack(row["document"])).is_live(now))
        return sorted(live, key=lambda session: (session.created_at, session.token))

    def add_operators_token(self, record: TokenRecord) -> bool:
        """Store a token that an operator made; say whether its registry is there.

        We look for the registry after the token is stored. An ``apply`` that removes the registry
        before we look leaves the token to us; one that removes it later finds the token.
        """
        (registry,) = record.registries
        # No condition: the lookup id is random, so a call that is tried again finds its own row.
        # First the row by which `apply` finds the token.
        lookup_id, ttl = record.lookup_id, int(record.kept_until.timestamp())
        named = operators_token_item(lookup_id, registry, ttl)
        item = {**token_item(record), **attributes(made_for=registry)}
        for row in (named, item):
            self._call(self._client.put_item, Item=row)
        if self._find(CONFIGURATION, registry_key(registry)) is not None:
            return True
        for key in (token_key(lookup_id), operators_token_key(lookup_id)):
            self._call(self._client.delete_item, Key=key)
        return False

    def reopen_release(self, registry: str, project: str, key: str, until: datetime) -> None:
        """Let a release take files until this time."""
        seconds = int(until.timestamp())
        item = attributes(**reopened_key(registry, project, key), until=seconds, ttl=seconds)
        self._call(self._client.put_item, Item=item)

    def yank_release(self, registry: str, project: str, key: str, reason: str | None) -> None:
        """Yank a release; without a reason, unyank it."""
        row = attributes(**yanked_key(registry, project, key))
        if reason is None:
            self._call(self._client.delete_item, Key=row)
        else:
            self._call(self._client.put_item, Item={**row, **attributes(reason=reason)})

    def delete_file(
        self, registry: str, project: str, filename: str, tombstone: Tombstone
    ) -> Tombstone:
        """Give a published file a tombstone; return the one that is in force now."""
        marks = attributes(
            reason=tombstone.reason,
            deleted_by=tombstone.deleted_by,
            deleted_at=int(tombstone.deleted_at.timestamp()),
        )
        try:
            self._call(
                self._client.put_item,
                Item={**attributes(**deleted_key(registry, project, filename)), **marks},
                ConditionExpression="attribute_not_exists(pk)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ConditionFailedError as taken:
            return read_tombstone(taken.item)
        return tombstone

    def set_status(self, registry: str, project: str, status: ProjectStatus) -> None:
        """Give a project a status; an active one needs no row."""
        row = attributes(**status_key(registry, project))
        if status == ACTIVE:
            self._call(self._client.delete_item, Key=row)
        else:
            marks = attributes(status=status.status, reason=status.reason)
            self._call(self._client.put_item, Item={**row, **marks})
