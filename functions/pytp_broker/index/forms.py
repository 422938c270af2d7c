"""Read the form of an upload (the legacy API), strictly and within limits.

Clients disagree about the order of fields, about which ones they send, and about the content types
of parts. None of that matters here. A field that we use must not come twice: with two copies, we
might check one and use the other.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from multipart import MultipartSegment, PushMultipartParser, parse_options_header

from pytp_broker.errors import InvalidUpload, PayloadTooLarge
from pytp_broker.http.messages import Request
from pytp_broker.names import InvalidNameError, NormalizedName, read_project
from pytp_broker.redaction import printable

# A description or attestations may be this long; the fields that we use are far smaller.
MAX_FIELD_BYTES: Final = 1024 * 1024
MAX_TEXT_BYTES: Final = 1024
# uv sends each dependency and each extra in a separate part, and some projects have 1000.
MAX_PARTS: Final = 4096
# A file name has 255 characters at most. RFC 7578 defines three headers; some clients send four.
MAX_HEADER_BYTES: Final = 512
MAX_HEADERS: Final = 4

ACTION: Final = "file_upload"
PROTOCOL_VERSION: Final = "1"

_DIGESTS: Final[Mapping[str, Callable[[bytes], str]]] = {
    "md5_digest": lambda content: hashlib.md5(content, usedforsecurity=False).hexdigest(),
    "sha256_digest": lambda content: hashlib.sha256(content).hexdigest(),
    "blake2_256_digest": lambda content: hashlib.blake2b(content, digest_size=32).hexdigest(),
}
_TEXT_FIELDS: Final = (":action", "protocol_version", "filetype", "name", "version", *_DIGESTS)
_CONTENT: Final = "content"


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file in a form, under the name that the client gave it."""

    filename: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Form:
    """The fields that we use, with every value that was sent for them."""

    texts: Mapping[str, tuple[str, ...]]
    files: tuple[FilePart, ...]

    @property
    def project(self) -> NormalizedName:
        """Return the project, normalised; raise InvalidUpload for anything but one valid name."""
        try:
            return read_project(self.text("name"))
        except InvalidNameError as mistake:
            raise InvalidUpload(f"the form's `name` {mistake}") from None

    @property
    def file(self) -> FilePart:
        """Return the one file; raise InvalidUpload when there is none, or more than one."""
        if len(self.files) != 1:
            raise InvalidUpload("the form must have one file in the field `content`")
        return self.files[0]

    def text(self, name: str) -> str:
        """Return a field's one value; an absent field is empty, because pdm sends it empty.

        Raises InvalidUpload for a repeated field.
        """
        values = self.texts.get(name, ("",))
        if len(values) > 1:
            raise InvalidUpload(f"the form has more than one field `{name}`")
        return values[0]


def read_form(request: Request, max_bytes: int) -> Form:
    """Return the form in a request; raise PayloadTooLarge or InvalidUpload."""
    if len(request.body) > max_bytes:
        raise PayloadTooLarge(
            f"the form has {_mebibytes(len(request.body))}; an upload takes at most"
            f" {_mebibytes(max_bytes)} here, its other fields included"
        )
    content_type, options = parse_options_header(request.headers.get("content-type", ""))
    if content_type != "multipart/form-data":
        raise InvalidUpload("an upload is a form of the type multipart/form-data")
    try:
        parts = _parse(request.body, options.get("boundary", ""))
    except ValueError as error:  # MultipartError is a ValueError
        raise InvalidUpload(f"the form is malformed: {printable(str(error.args[0]))}") from None
    return _gather(parts)


def _mebibytes(size: int) -> str:
    return f"{size / (1024 * 1024):.1f} MiB"


def _parse(body: bytes, boundary: str) -> list[tuple[MultipartSegment, bytes]]:
    parser = PushMultipartParser(
        boundary,
        max_header_size=MAX_HEADER_BYTES,
        max_header_count=MAX_HEADERS,
        max_segment_count=MAX_PARTS,
        strict=True,
    )
    parts: list[tuple[MultipartSegment, list[bytes]]] = []
    with parser:
        for event in parser.parse(body):
            if isinstance(event, MultipartSegment):
                parts.append((event, []))
            elif event is not None:
                parts[-1][1].append(event)
    return [(segment, b"".join(chunks)) for segment, chunks in parts]


def _gather(parts: list[tuple[MultipartSegment, bytes]]) -> Form:
    texts: dict[str, tuple[str, ...]] = {}
    files: list[FilePart] = []
    for segment, octets in parts:
        _check_headers(segment)
        if segment.name == _CONTENT:
            files.append(FilePart(segment.filename or "", octets))
            continue
        _check_size(segment, octets)
        if segment.name in _TEXT_FIELDS:
            texts[segment.name] = (*texts.get(segment.name, ()), _decode(segment, octets))
    return Form(texts, tuple(files))


def _check_headers(segment: MultipartSegment) -> None:
    # The library uses the last of repeated headers, and of a Windows path the last segment.
    names = [name for name, _ in segment.headerlist]
    if len(set(names)) < len(names) or "\\" in segment["Content-Disposition"]:
        raise InvalidUpload("the form has a part with repeated headers or a backslash in its name")


def _check_size(segment: MultipartSegment, octets: bytes) -> None:
    limit = MAX_TEXT_BYTES if segment.name in _TEXT_FIELDS else MAX_FIELD_BYTES
    if len(octets) > limit:
        raise InvalidUpload(f"the form's `{printable(segment.name)}` is longer than {limit} bytes")


def _decode(segment: MultipartSegment, octets: bytes) -> str:
    if segment.filename is not None:
        raise InvalidUpload(f"the form's `{segment.name}` must be text, not a file")
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise InvalidUpload(f"the form's `{segment.name}` is not UTF-8") from None


def check_protocol(form: Form) -> None:
    """Check that the form asks for an upload; raise InvalidUpload."""
    if form.text(":action") != ACTION:
        raise InvalidUpload(f"the form's `:action` must be {ACTION}")
    if form.text("protocol_version") not in ("", PROTOCOL_VERSION):
        raise InvalidUpload(f"the form's `protocol_version` must be {PROTOCOL_VERSION}")


def check_digests(form: Form, content: bytes) -> None:
    """Check that a digest was sent, and that each one sent is the content's.

    Raises InvalidUpload.
    """
    sent = {name: digest for name in _DIGESTS if (digest := form.text(name))}
    if not sent:
        raise InvalidUpload(f"the form must have one of {', '.join(_DIGESTS)}")
    for name, digest in sent.items():
        if digest.lower() != _DIGESTS[name](content):
            raise InvalidUpload(f"the form's `{name}` is not the digest of the file received")
