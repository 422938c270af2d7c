"""Write the pages of the simple API in HTML (PEP 503, frozen by PEP 833) and in JSON.

They have version 1.4 of the API: PEP 691 with sizes and upload times (PEP 700), core metadata (PEP
714) and status (PEP 792).
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any, Final

from packaging.version import Version

from pytp_broker.http import paths
from pytp_broker.index.listings import ListedFile, ProjectListing
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.project_status import ACTIVE, ProjectStatus

API_VERSION: Final = "1.4"
# It is part of each page's tag, so it must be another one when the same listing gives other bytes:
# otherwise clients keep the page of before. A test knows the bytes of this one.
RENDERING: Final = 1

_META: Final = {"api-version": API_VERSION}


def projects_json(projects: Sequence[str]) -> bytes:
    """Return the list of projects as JSON."""
    return _json({"meta": _META, "projects": [{"name": project} for project in projects]})


def projects_html(projects: Sequence[str], base_path: str) -> bytes:
    """Return the list of projects as HTML."""
    links = [
        _link({"href": paths.PROJECT.url(base_path, project=project)}, project)
        for project in projects
    ]
    return _html("Projects", links)


def project_json(listing: ProjectListing, base_path: str, secure_base: str | None = None) -> bytes:
    """Return a project's page as JSON.

    ``secure_base`` is the https URL of the registry, for links to provenance (PEP 740).
    """
    # The first of two spellings of a version counts.
    spellings = dict.fromkeys(listed.file.version for listed in listing.files)
    versions = sorted({Version(spelling) for spelling in spellings})
    return _json(
        {
            "meta": _META,
            "name": listing.project,
            "versions": [str(version) for version in versions],
            "files": [_file_document(each, base_path, secure_base) for each in listing.files],
            "project-status": _status_document(listing.status),
        }
    )


def project_html(listing: ProjectListing, base_path: str, secure_base: str | None = None) -> bytes:
    """Return a project's page as HTML; ``secure_base`` is as in its JSON."""
    links = [
        _link(_file_attributes(each, base_path, secure_base), each.file.filename)
        for each in listing.files
    ]
    return _html(f"Links for {listing.project}", links, _status_tags(listing.status))


def _status_document(status: ProjectStatus) -> dict[str, str]:
    document = {"status": status.status}
    return {**document, "reason": status.reason} if status.reason else document


def _status_tags(status: ProjectStatus) -> list[str]:
    """Return the tags for the status; a page without them is an active project's."""
    if status == ACTIVE:
        return []
    members = _status_document(status).values()
    names = ("pypi:project-status", "pypi:project-status-reason")
    return [
        f'<meta name="{name}" content="{escape(value)}">'
        for name, value in zip(names, members, strict=False)
    ]


def _file_document(listed: ListedFile, base_path: str, secure_base: str | None) -> dict[str, Any]:
    file, yanked = listed.file, listed.state.yanked
    document = {
        "filename": file.filename,
        "url": _file_url(file, base_path),
        "hashes": {"sha256": file.sha256},
        "size": file.size,
        "upload-time": _time_text(file.uploaded_at),
        "yanked": False if yanked is None else yanked or True,
    }
    if file.advertises_metadata:
        document["core-metadata"] = {"sha256": file.metadata_sha256}
    if file.requires_python is not None:
        document["requires-python"] = file.requires_python
    if (provenance := _provenance_url(file, secure_base)) is not None:
        document["provenance"] = provenance
    return document


def _provenance_url(file: PublishedFile, secure_base: str | None) -> str | None:
    """Return the URL of the provenance of a file whose attestations are verified."""
    if secure_base is None or not file.is_attested:
        return None
    return paths.PROVENANCE.url(
        secure_base, project=file.project, version=file.version, filename=file.filename
    )


def _time_text(moment: datetime) -> str:
    text = moment.astimezone(UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z")


def _file_attributes(listed: ListedFile, base_path: str, secure_base: str | None) -> dict[str, str]:
    file, yanked = listed.file, listed.state.yanked
    attributes = {"href": f"{_file_url(file, base_path)}#sha256={file.sha256}"}
    if file.advertises_metadata:
        attributes["data-core-metadata"] = f"sha256={file.metadata_sha256}"
        # The attribute's name before PEP 714.
        attributes["data-dist-info-metadata"] = attributes["data-core-metadata"]
    if file.requires_python is not None:
        attributes["data-requires-python"] = file.requires_python
    if yanked is not None:
        attributes["data-yanked"] = yanked
    if (provenance := _provenance_url(file, secure_base)) is not None:
        attributes["data-provenance"] = provenance
    return attributes


def _file_url(file: PublishedFile, base_path: str) -> str:
    """Return the URL of a file; ``.metadata`` after it leads to its metadata (PEP 658)."""
    return paths.FILE.url(base_path, sha256=file.sha256, filename=file.filename)


def _link(attributes: dict[str, str], text: str) -> str:
    pairs = " ".join(f'{name}="{escape(value)}"' for name, value in attributes.items())
    return f"<a {pairs}>{escape(text)}</a><br>"


def _html(title: str, links: Sequence[str], tags: Sequence[str] = ()) -> bytes:
    lines = (
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta name="pypi:repository-version" content="{API_VERSION}">',
        *tags,
        f"<title>{escape(title)}</title>",
        "</head>",
        "<body>",
        f"<h1>{escape(title)}</h1>",
        *links,
        "</body>",
        "</html>",
        "",
    )
    return "\n".join(lines).encode()


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
