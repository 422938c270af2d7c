"""Read what a server of the Upload API says: sessions and uploads of files, with checked links."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from pytp_broker.client.uploads.refusals import UploadError
from pytp_broker.names import LOOPBACK_HOSTS
from pytp_broker.redaction import printable

S3_PUT: Final = "vnd-pytp-s3-put"
POST_BYTES: Final = "http-post-bytes"
# The mechanisms that this client knows, the best one first.
MECHANISMS: Final = (S3_PUT, POST_BYTES)

OPEN: Final = "open"
PENDING: Final = "pending"
PROCESSING: Final = "processing"
COMPLETED: Final = "completed"
PUBLISHED: Final = "published"
ERROR: Final = "error"
CANCELED: Final = "canceled"
_SESSION: Final = (OPEN, PROCESSING, PUBLISHED, ERROR, CANCELED)
_UPLOAD: Final = (PENDING, PROCESSING, COMPLETED, ERROR, CANCELED)

# Without a backslash, at which some programs end the host; and without a fragment, which is no part
# of what is asked for, and could be a command to a CI that shows it in a log.
_URL: Final = re.compile(r"[!\"$-\[\]-~]{1,4000}")
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9-]{1,100}")
_HEADER_VALUE: Final = re.compile(r"[ -~]{0,4000}")
# What a server must not set: a credential for its host alone, and what frames the request.
_OWN_HEADERS: Final = frozenset(
    {"authorization", "cookie", "host", "transfer-encoding", "connection"}
)


@dataclass(frozen=True, slots=True)
class PutUrl:
    """Where the bytes are put, with exactly these headers and without a token.

    A `Content-Length` among them must be that of the file.
    """

    url: str
    headers: Mapping[str, str]
    attestations_url: str | None = None


@dataclass(frozen=True, slots=True)
class PostUrl:
    """Where the bytes are posted, and the attestations if the server takes them."""

    url: str
    attestations_url: str | None


@dataclass(frozen=True, slots=True)
class FileUpload:
    """The upload of a file in a session (PEP 694: a file upload session)."""

    url: str
    complete_url: str
    extend_url: str | None
    status: str
    expires_at: datetime
    target: PutUrl | PostUrl | None
    notices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A file that a session has: its status, and the URL of its upload."""

    status: str
    url: str
    notices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Session:
    """A publishing session: a release that is being made."""

    url: str
    upload_url: str
    publish_url: str
    extend_url: str | None
    stage_url: str | None
    mechanisms: tuple[str, ...]
    expires_at: datetime
    status: str
    files: Mapping[str, StagedFile]
    notices: tuple[str, ...]

    @property
    def mechanism(self) -> str:
        """Return the best mechanism that both know; raise UploadError."""
        known = next((each for each in MECHANISMS if each in self.mechanisms), None)
        if known is None:
            offered = ", ".join(f"`{printable(each)}`" for each in self.mechanisms[:20])
            raise UploadError(
                f"the server takes files by {offered or 'nothing'}, and this version knows "
                f"{' and '.join(MECHANISMS)}"
            )
        return known


def read_session(document: Mapping[str, Any], origin: str) -> Session:
    """Return the session that a server describes; raise UploadError."""
    members = _Members(document, "a publishing session", origin)
    links = members.inner("links")
    files = {
        name: _read_file(members.inner("files").inner(name)) for name in members.mapping("files")
    }
    return Session(
        links.link("session"),
        links.link("upload"),
        links.link("publish"),
        links.optional_link("extend"),
        links.optional_link("stage"),
        members.texts("mechanisms"),
        members.moment("expires-at"),
        members.one_of("status", _SESSION),
        files,
        members.texts("notices", required=False),
    )


def _read_file(members: "_Members") -> StagedFile:
    status = members.one_of("status", _UPLOAD)
    return StagedFile(status, members.link("link"), members.texts("notices", required=False))


def read_upload(document: Mapping[str, Any], origin: str) -> FileUpload:
    """Return the upload of a file that a server describes; raise UploadError."""
    members = _Members(document, "the upload of a file", origin)
    links = members.inner("links")
    status = members.one_of("status", _UPLOAD)
    return FileUpload(
        links.link("file-upload-session"),
        links.link("complete"),
        links.optional_link("extend"),
        status,
        members.moment("expires-at"),
        # Once the bytes are there, a server may no longer say where they belong.
        _read_mechanism(members.inner("mechanism")) if status == PENDING else None,
        members.texts("notices", required=False),
    )


def _read_mechanism(members: "_Members") -> PutUrl | PostUrl:
    identifier = members.one_of("identifier", MECHANISMS)
    attestations_url = members.optional_link("attestations_url")
    if identifier == POST_BYTES:
        return PostUrl(members.link("file_url"), attestations_url)
    if (method := members.text("method", "PUT")) != "PUT":
        raise UploadError(f"the server wants `{printable(method)}` for {S3_PUT}, which is a PUT")
    url = _storage_url(members.text("url"), members.origin)
    return PutUrl(url, _read_headers(members.mapping("headers")), attestations_url)


def _storage_url(url: str, origin: str) -> str:
    """Return where bytes are put, which may be another host: it gets no token.

    Only a registry on this machine may name a store on it. Another one could mean any service here.
    """
    parts, registry = _split(url), _split(origin)
    hosts = [] if parts is None or registry is None else [parts[1], registry[1]]
    is_local = bool(hosts) and all(host in LOOPBACK_HOSTS for host in hosts)
    if parts is None or not (parts[0] == "https" or (parts[0] == "http" and is_local)):
        raise UploadError(f"the server wants the file at {printable(url)}, which is not https")
    return url


def _read_headers(headers: Mapping[str, Any]) -> Mapping[str, str]:
    for name, value in headers.items():
        is_good = isinstance(value, str) and _HEADER_VALUE.fullmatch(value)
        if not is_good or not _HEADER_NAME.fullmatch(name) or name.lower() in _OWN_HEADERS:
            raise UploadError(f"the server wants a header `{printable(name)}`, which is not sent")
    return headers


def check_link(url: str, origin: str, what: str) -> str:
    """Return a URL that has this scheme, host and port; raise UploadError for another."""
    parts = _split(url)
    if parts is None or f"{parts[0]}://{parts[2]}" != origin:
        raise UploadError(
            f"{what} leads to {printable(url)}, which is not at {printable(origin)}: a token is "
            "sent nowhere else"
        )
    return url


def _split(url: str) -> tuple[str, str, str] | None:
    """Return scheme, host name, and host with port; None if programs disagree about the host."""
    if not _URL.fullmatch(url):
        return None
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or "", parts.netloc.lower()
    except ValueError:
        return None


def origin_of(url: str) -> str:
    """Return scheme, host and port of a URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}"


@dataclass(frozen=True, slots=True)
class _Members:
    """The members of a JSON object that a server sent, read with their types."""

    document: Mapping[str, Any]
    what: str
    origin: str

    def _wrong(self, name: str, expected: str) -> UploadError:
        return UploadError(
            f"the server describes {self.what} without a good `{printable(name)}` ({expected} is "
            "expected): it does not speak the Upload API 2.0 that this version knows"
        )

    def text(self, name: str, default: str | None = None) -> str:
        value = self.document.get(name, default)
        if not isinstance(value, str):
            raise self._wrong(name, "a text")
        return value

    def texts(self, name: str, *, required: bool = True) -> tuple[str, ...]:
        value = self.document.get(name, None if required else [])
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise self._wrong(name, "a list of texts")
        return tuple(value)

    def one_of(self, name: str, choices: tuple[str, ...]) -> str:
        value = self.text(name)
        if value not in choices:
            raise self._wrong(name, " or ".join(choices))
        return value

    def mapping(self, name: str) -> Mapping[str, Any]:
        value = self.document.get(name)
        if not isinstance(value, dict):
            raise self._wrong(name, "an object")
        return value

    def inner(self, name: str) -> "_Members":
        return _Members(self.mapping(name), self.what, self.origin)

    def link(self, name: str) -> str:
        return check_link(self.text(name), self.origin, f"the link `{printable(name)}`")

    def optional_link(self, name: str) -> str | None:
        return self.link(name) if self.document.get(name) is not None else None

    def moment(self, name: str) -> datetime:
        try:
            return datetime.fromisoformat(self.text(name)).astimezone(UTC)
        except (ValueError, OverflowError):
            raise self._wrong(name, "a time such as 2030-08-01T12:00:00Z") from None
