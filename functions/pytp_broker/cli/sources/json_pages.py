"""Read the JSON pages of another index (PEP 691, PEP 700, PEP 792)."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from pytp_broker.cli.sources.page_links import (
    UnreadablePageError,
    known_digests,
    location_of,
    offered,
    read_reason,
    read_status,
)
from pytp_broker.index.offers import Offer, OfferedProject
from pytp_broker.names import NormalizedName
from pytp_broker.strict_json import parse_json


def read_project_names(body: bytes) -> list[str]:
    """Return the names on the list of projects; raise UnreadablePageError."""
    projects = _members(_document(body), "projects")
    return [_text(project, "name") for project in projects]


def read_project(body: bytes, url: str, project: NormalizedName) -> OfferedProject:
    """Return what a project's page offers; raise UnreadablePageError."""
    document = _document(body)
    status = document.get("project-status")
    found = status if isinstance(status, dict) else {}
    offers = (_offer(file, url) for file in _members(document, "files"))
    return offered(project, offers, read_status(found.get("status"), found.get("reason")))


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = parse_json(body)
    except ValueError:
        raise UnreadablePageError("is not JSON") from None
    meta = document.get("meta") if isinstance(document, dict) else None
    version = meta.get("api-version") if isinstance(meta, dict) else None
    if not isinstance(document, dict) or not isinstance(version, str):
        raise UnreadablePageError("is JSON, but not a page of the simple API (PEP 691)")
    if version.partition(".")[0] != "1":
        raise UnreadablePageError("has another version of the simple API than 1")
    return document


def _members(document: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    members = document.get(name)
    if not isinstance(members, list) or not all(isinstance(each, dict) for each in members):
        raise UnreadablePageError(f"has no list `{name}`")
    return iter(members)


def _text(member: Mapping[str, Any], name: str) -> str:
    text = member.get(name)
    if not isinstance(text, str):
        raise UnreadablePageError(f"has an entry without `{name}`")
    return text


def _offer(file: Mapping[str, Any], base: str) -> Offer:
    hashes, size, yanked = file.get("hashes"), file.get("size"), file.get("yanked", False)
    return Offer(
        filename=_text(file, "filename"),
        location=location_of(_text(file, "url"), base),
        digests=known_digests(hashes) if isinstance(hashes, dict) else {},
        size=size if isinstance(size, int) and size >= 0 else None,
        uploaded_at=_time(file.get("upload-time")),
        yanked=None if yanked is False else read_reason(yanked),
    )


def _time(text: object) -> datetime | None:
    """Return an upload time; None if it is not one, or so early that no time zone can hold it."""
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
