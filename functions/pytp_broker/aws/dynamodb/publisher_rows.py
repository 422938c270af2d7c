"""Rows of DynamoDB for trusted publishers, and for the publishers that a project trusts.

An item of DynamoDB has at most 400 KB, and the names of a publisher's projects may take more. So
the publisher's row holds the first projects, and pages after it in the same partition hold the
rest: one query still reads everything. A page belongs to the publisher whose id it has. A page with
another id was left by an interrupted ``apply`` and is ignored.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, NamedTuple

from pytp_broker.aws.dynamodb.table import (
    MAX_BATCH_KEYS,
    ConditionFailedError,
    Table,
    attributes,
    values_of,
)
from pytp_broker.grants import Trust
from pytp_broker.storage.protocols import Place
from pytp_broker.trust.publishers import TrustedPublisher

# Half an item, because the row also has the publisher's rules and pins.
MAX_ROW_CHARACTERS: Final = 200_000

NOBODY: Final[frozenset[str]] = frozenset()

# The publishers that each project trusts, as its row stores them.
Trusted = Mapping[Place, frozenset[str]]


class PublisherRows(Table):
    """Trusted publishers, and the publishers that a project trusts."""

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
            "ExpressionAttributeValues": attributes(**{":id": publisher.publisher_id}, **values),
            "ReturnValues": "ALL_NEW",
        }
        if names:
            request["ExpressionAttributeNames"] = names
        try:
            answer = self._call(
                self._client.update_item, Key=attributes(**publisher_key(publisher)), **request
            )
        except ConditionFailedError:
            return None
        in_force: Mapping[str, str] = values_of(answer["Attributes"])["pins"]
        return in_force

    def list_trust(self, places: Sequence[Place]) -> Mapping[Place, Trust]:
        """Return the publishers that each of these projects trusts now."""
        rows: list[dict[str, Any]] = []
        for start in range(0, len(places), MAX_BATCH_KEYS):
            batch = places[start : start + MAX_BATCH_KEYS]
            rows += self._read_items([trust_key(*place) for place in batch])
        return {place: read_trust(texts) for place, texts in read_trusted(rows).items()}


class PageKey(NamedTuple):
    """The key of a page of a publisher's projects."""

    pk: str
    sk: str


class Page(NamedTuple):
    """A page of a publisher's projects: the publisher's id, and the names as a JSON list."""

    publisher_id: str
    projects: str


def publisher_key(publisher: TrustedPublisher) -> dict[str, str]:
    """Return the key of the publisher's own row."""
    return {
        "pk": f"PUBLISHER#{publisher.identity_key}",
        "sk": f"{publisher.registry}#{publisher.rules_hash}",
    }


def document_of(publisher: TrustedPublisher) -> str:
    """Return the document of the publisher's own row, with the first projects only."""
    first = next(_divide(publisher.projects), [])
    return json.dumps({**publisher.document(), "projects": first}, sort_keys=True)


def pages_of(publishers: Iterable[TrustedPublisher]) -> dict[PageKey, Page]:
    """Return the pages with the further projects of these publishers."""
    pages = {}
    for publisher in publishers:
        first = PageKey(**publisher_key(publisher))
        for number, projects in enumerate(_divide(publisher.projects)):
            if number:
                page = Page(publisher.publisher_id, json.dumps(projects))
                pages[page_key(first, number)] = page
    return pages


def page_key(first: PageKey, number: int) -> PageKey:
    """Return the key of a page, from the key of the publisher's own row."""
    return PageKey(first.pk, f"{first.sk}#{number:04}")


def _divide(projects: Iterable[str]) -> Iterator[list[str]]:
    part: list[str] = []
    size = 0
    for project in projects:
        size += len(project) + 4  # quotation marks, comma and blank
        if size > MAX_ROW_CHARACTERS:
            yield part
            part, size = [], len(project) + 4
        part.append(project)
    yield part


def read_pages(rows: Iterable[Mapping[str, Any]]) -> dict[PageKey, Page]:
    """Return the pages among the rows of publishers."""
    return {
        PageKey(row["pk"], row["sk"]): Page(row["publisher_id"], row["projects"])
        for row in rows
        if "projects" in row
    }


def read_publishers(rows: Iterable[Mapping[str, Any]]) -> list[TrustedPublisher]:
    """Return the publishers in these rows, each with the projects of its pages."""
    found = list(rows)
    further: dict[tuple[str, str], list[str]] = {}
    for key, page in sorted(read_pages(found).items()):
        owner = (key.sk.rpartition("#")[0], page.publisher_id)
        further.setdefault(owner, []).extend(json.loads(page.projects))
    return [_read_publisher(row, further) for row in found if "document" in row]


def _read_publisher(
    row: Mapping[str, Any], further: Mapping[tuple[str, str], list[str]]
) -> TrustedPublisher:
    publisher = TrustedPublisher.from_document(json.loads(row["document"]), row.get("pins", {}))
    more = further.get((row["sk"], publisher.publisher_id), ())
    return publisher.with_projects((*publisher.projects, *more))


# A trusted publisher is written as its id, and from its second generation on as `id@generation`.


def trusted_text(publisher_id: str, generation: int) -> str:
    """Return a trusted publisher as the project's row stores it."""
    return f"{publisher_id}@{generation}" if generation else publisher_id


def read_trust(texts: AbstractSet[str]) -> Trust:
    """Return the publishers that a project trusts, from the project's row.

    Two ``apply`` at once may leave a publisher there twice. Then the later generation counts,
    because it covers fewer tokens.
    """
    trust: dict[str, int] = {}
    for text in texts:
        publisher_id, _, generation = text.partition("@")
        trust[publisher_id] = max(trust.get(publisher_id, 0), int(generation or 0))
    return trust


def trust_key(registry: str, project: str) -> dict[str, Any]:
    """Return the key of a project's row, as DynamoDB's attributes."""
    return attributes(pk=f"TRUST#{registry}#{project}", sk="TRUST")


def read_trusted(rows: Iterable[Mapping[str, Any]]) -> Trusted:
    """Return the publishers in the rows of projects."""
    # DynamoDB removes an empty set and keeps the row.
    return {_read_place(row["pk"]): row.get("publisher_ids", NOBODY) for row in rows}


def _read_place(pk: str) -> Place:
    _, registry, project = pk.split("#", 2)
    return registry, project
