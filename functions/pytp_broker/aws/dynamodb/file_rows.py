"""Rows of DynamoDB for published files, releases and the list of projects."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from pytp_broker.aws.dynamodb.reservations import ATTEMPTS, Claim, Reservations, Row, is_whole
from pytp_broker.aws.dynamodb.table import ConditionFailedError, attributes, dump
from pytp_broker.errors import StoreUnavailable
from pytp_broker.provenance.attester import AttestationState
from pytp_broker.storage.file_records import Entry, PublishedFile, Release
from pytp_broker.storage.project_status import ACTIVE, ProjectStatus
from pytp_broker.storage.protocols import AlreadyPublishedError, ReservedError
from pytp_broker.storage.withdrawals import Tombstone, Withdrawals


class FileRows(Reservations):
    """Records of published files and of releases; the bytes are elsewhere."""

    def find_entry(self, registry: str, project: str, filename: str) -> Entry:
        """Return the file of this name in a project, its tombstone, and the project's status."""
        place = (registry, project, filename)
        keys = file_key(*place), deleted_key(*place), status_key(registry, project)
        rows = self._find_rows(*keys)
        files = self._visible([rows["PROJECT"]] if "PROJECT" in rows else [])
        tombstone = rows.get("YANKED")
        return Entry(
            read_file(files[0]) if files else None,
            None if tombstone is None else read_tombstone(tombstone),
            read_status(rows.get("STATUS")),
        )

    def _show_file(self, file: PublishedFile) -> bool:
        """Make the file visible; raise AlreadyPublishedError or ReservedError.

        Say whether this call did it, and not an earlier attempt: the file may be deleted by now.
        """
        claim = self._claim_name(file_item(file), file.uploaded_at)
        if claim is Claim.RESERVED:
            raise ReservedError
        if claim is Claim.TAKEN:
            raise AlreadyPublishedError
        return claim is Claim.WRITTEN

    def save_attestation_state(
        self, registry: str, project: str, filename: str, state: AttestationState
    ) -> None:
        """Keep what is known now of a file's attestations, in an attribute of the file's row.

        Its condition is on the key alone: a condition on an attribute would need a right to it, and
        that right would also let the verify function write the attribute.
        """
        with suppress(ConditionFailedError):
            self._call(
                self._client.update_item,
                Key=attributes(**file_key(registry, project, filename)),
                UpdateExpression="SET attestation_state = :state",
                ConditionExpression="attribute_exists(pk)",
                ExpressionAttributeValues=attributes(**{":state": dump(state.document())}),
            )

    def find_release(
        self, registry: str, project: str, key: str
    ) -> tuple[Release | None, datetime | None]:
        """Return the record of a release, and until when the operator has reopened it."""
        place = (registry, project, key)
        rows = self._find_rows(_release_key(*place), reopened_key(*place))
        document = rows.get("PROJECT", {}).get("document")
        until = rows.get("REOPENED", {}).get("until")
        return (
            None if document is None else Release.from_document(json.loads(document)),
            None if until is None else datetime.fromtimestamp(until, UTC),
        )

    def save_release(self, release: Release, present: Release | None) -> bool:
        """Replace the present record by this one; say whether this one is stored now."""
        document = dump(release.document())
        key = _release_key(release.registry, release.project, release.key)
        request: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
        if present is not None:
            request = {
                "ConditionExpression": "document = :present",
                "ExpressionAttributeValues": attributes(**{":present": dump(present.document())}),
            }
        try:
            self._call(
                self._client.put_item,
                Item=attributes(**key, document=document),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **request,
            )
        except ConditionFailedError as taken:
            return bool(taken.item.get("document") == document)
        return True

    def list_files(self, registry: str, project: str) -> Sequence[PublishedFile]:
        """Return all files of a project, ordered by name: deleted ones, too."""
        return [read_file(row) for row in self._list_rows(registry, project)]

    def _list_rows(self, registry: str, project: str) -> list[Row]:
        """Return the rows of all visible files of a project, ordered by name."""
        for _ in range(ATTEMPTS):
            rows = self._visible(self._query(f"PROJECT#{registry}#{project}", "FILE#"))
            # A query that began before a session was published may have missed some of its files.
            if is_whole(rows):
                return rows
        raise StoreUnavailable("files of this project are being published: try again")

    def list_withdrawn(self, registry: str, project: str) -> Withdrawals:
        """Return the yanked releases and the deleted files of a project."""
        yanked, deleted = {}, {}
        for row in self._query(f"YANKED#{registry}#{project}"):
            kind, _, name = row["sk"].partition("#")
            if kind == "DELETED":
                deleted[name] = read_tombstone(row)
            else:
                yanked[name] = row["reason"]
        return Withdrawals(yanked, deleted)

    def find_status(self, registry: str, project: str) -> ProjectStatus:
        """Return the status that an operator has given a project; without one it is active."""
        return read_status(self._find(**status_key(registry, project)))

    def list_projects(self, registry: str) -> Sequence[str]:
        """Return the normalised names of all projects with a file, ordered.

        A project is also listed if its first file was announced, and did not become visible.
        """
        rows = self._query(f"REGISTRY#{registry}", "PROJECT#")
        return [row["sk"].removeprefix("PROJECT#") for row in rows]

    def _find_rows(self, *keys: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        """Return those of these rows that exist, each by the kind of its partition."""
        rows = self._read_items([attributes(**key) for key in keys])
        return {row["pk"].partition("#")[0]: row for row in rows}


def file_key(registry: str, project: str, filename: str) -> dict[str, str]:
    """Return the key of a file's row."""
    return {"pk": f"PROJECT#{registry}#{project}", "sk": f"FILE#{filename}"}


def file_item(file: PublishedFile) -> dict[str, str]:
    """Return the row of a file."""
    key = file_key(file.registry, file.project, file.filename)
    return {**key, "document": dump(file.document())}


def _release_key(registry: str, project: str, key: str) -> dict[str, str]:
    return {"pk": f"PROJECT#{registry}#{project}", "sk": f"RELEASE#{key}"}


def reopened_key(registry: str, project: str, key: str) -> dict[str, str]:
    """Return the key of the row that says until when a release is reopened."""
    return {"pk": f"REOPENED#{registry}#{project}", "sk": f"REOPENED#{key}"}


def yanked_key(registry: str, project: str, key: str) -> dict[str, str]:
    """Return the key of the row that says why a release is yanked."""
    return {"pk": f"YANKED#{registry}#{project}", "sk": f"YANKED#{key}"}


def deleted_key(registry: str, project: str, filename: str) -> dict[str, str]:
    """Return the key of a file's tombstone: beside what is yanked, so that one query reads both."""
    return {"pk": f"YANKED#{registry}#{project}", "sk": f"DELETED#{filename}"}


def status_key(registry: str, project: str) -> dict[str, str]:
    """Return the key of the row that says which status a project has."""
    return {"pk": f"STATUS#{registry}#{project}", "sk": "STATUS"}


def read_file(row: Mapping[str, Any]) -> PublishedFile:
    """Return the file that a row holds."""
    return PublishedFile.from_document(read_document(row))


def read_document(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document in a file's row, with what is known of its attestations now."""
    document: dict[str, Any] = json.loads(row["document"])
    if "attestation_state" in row:
        document["attestation_state"] = json.loads(row["attestation_state"])
    return document


def read_status(row: Mapping[str, Any] | None) -> ProjectStatus:
    """Return the status that a row holds; a project without a row is active."""
    return ACTIVE if row is None else ProjectStatus(row["status"], row["reason"])


def read_tombstone(row: Mapping[str, Any]) -> Tombstone:
    """Return the tombstone that a row holds."""
    deleted_at = datetime.fromtimestamp(row["deleted_at"], UTC)
    return Tombstone(row["reason"], row["deleted_by"], deleted_at)
