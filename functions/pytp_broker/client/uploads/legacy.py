"""Send a file by the legacy API: one form, streamed from the disk, as PyPI-like indexes take it."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from packaging.metadata import RawMetadata, parse_email

from pytp_broker.client.uploads.answers import check_link
from pytp_broker.client.uploads.api import SYSTEM, Clock, patiently, send_once
from pytp_broker.client.uploads.bodies import Body, BytesPart, FilePart
from pytp_broker.client.uploads.local_files import FileError, LocalFile
from pytp_broker.client.uploads.refusals import refused
from pytp_broker.client.uploads.sending import Progress
from pytp_broker.client.uploads.wire import Request, Send
from pytp_broker.redaction import Hidden

# Names of fields where they are not those of `packaging.metadata`.
_NAMES: Final = {
    "platforms": "platform",
    "supported_platforms": "supported_platform",
    "license_files": "license_file",
}
_ACCEPT: Final = "application/json;q=0.9, text/plain;q=0.8, text/html;q=0.7"

Field = tuple[str, str]


@dataclass(frozen=True, slots=True)
class LegacyApi:
    """An index's legacy upload API; ``authorize`` returns what authorises a request."""

    url: str
    origin: str
    send: Send
    authorize: Callable[[], Hidden]
    clock: Clock = SYSTEM

    def upload(self, file: LocalFile, progress: Progress) -> None:
        """Send a file, again after a failure that may pass; raise UploadError or FileError.

        A server that has stored it, and whose answer was lost, answers a second time that all is
        well: the file is the same.
        """
        patiently(lambda: self._upload_once(file, progress), self.clock.wait)

    def _upload_once(self, file: LocalFile, progress: Progress) -> None:
        progress.begin()
        boundary = secrets.token_hex(16)
        head, tail = _around(file, boundary)
        part = FilePart(file.path, file.size)
        body = Body([BytesPart(head), part, BytesPart(tail)], progress.count)
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Accept": _ACCEPT}
        url = check_link(self.url, self.origin, "the upload URL")
        reply = send_once(self.send, Request("POST", url, headers, body, self.authorize()))
        if not reply.is_success:
            raise refused("the index does not take it", reply)


def _around(file: LocalFile, boundary: str) -> tuple[bytes, bytes]:
    """Return what the form has before the file, and after it."""
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields_of(file)
    ]
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="content"; '
        f'filename="{file.filename}"\r\nContent-Type: application/octet-stream\r\n\r\n'
    )
    return "".join([*parts, head]).encode(), f"\r\n--{boundary}--\r\n".encode()


def fields_of(file: LocalFile) -> list[Field]:
    """Return the fields of a file's form: what it is, and its metadata; raise FileError."""
    is_wheel = file.is_wheel
    fields = [
        (":action", "file_upload"),
        ("protocol_version", "1"),
        ("filetype", "bdist_wheel" if is_wheel else "sdist"),
        ("pyversion", file.filename.split("-")[-3] if is_wheel else "source"),
        ("sha256_digest", file.sha256),
        *_metadata_fields(_parse(file.metadata)),
    ]
    if file.attestations:
        fields.append(("attestations", file.attestations.decode()))
    return fields


def _parse(octets: bytes) -> RawMetadata:
    raw, _ = parse_email(octets)
    if not all(raw.get(name) for name in ("metadata_version", "name", "version")):
        raise FileError("has metadata without a version, a name or a metadata version")
    return raw


def _metadata_fields(raw: RawMetadata) -> Iterator[Field]:
    for name, value in raw.items():
        yield from ((_NAMES.get(name, name), text) for text in _texts(name, value))


def _texts(name: str, value: Any) -> list[str]:  # noqa: ANN401 - a text, a list or a mapping
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [f"{label}, {url}" for label, url in value.items()]
    return [", ".join(value)] if name == "keywords" else list(value)
