"""Read the form of an upload (the legacy API), strictly and within limits.

Clients disagree about the order of fields, about which ones they send, and about the content types
of parts. None of that matters here. A field that we use must not come twice: with two copies, we
might check one and use the other.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from multipart import MultipartSegment, parse_options_header
from packaging.version import Version

from pytp_broker.content import Content, Part, read_all
from pytp_broker.errors import InvalidUpload, PayloadTooLarge
from pytp_broker.http.form_data import find_parts
from pytp_broker.index.digests import SHA256, compute_digests
from pytp_broker.index.distributions import Distribution, check_same
from pytp_broker.names import InvalidNameError, NormalizedName, read_project
from pytp_broker.redaction import printable

# A description or attestations may be this long; the fields that we use are far smaller.
MAX_FIELD_BYTES: Final = 1024 * 1024
MAX_TEXT_BYTES: Final = 1024

ACTION: Final = "file_upload"
PROTOCOL_VERSION: Final = "1"

# The fields for digests, and their algorithms.
_DIGESTS: Final = {
    "md5_digest": "md5",
    "sha256_digest": SHA256,
    "blake2_256_digest": "blake2_256",
}
# Whether to stage the file instead of publishing it (python/peps#5070, an open draft of PEP 694).
_STAGED: Final = "staged"
_BOOLEANS: Final = {"": False, "false": False, "true": True}
_ATTESTATIONS: Final = "attestations"
# The fields that we use.
TEXT_FIELDS: Final = (
    *(":action", "protocol_version", "filetype", "name", "version", _STAGED, _ATTESTATIONS),
    *_DIGESTS,
)
CONTENT: Final = "content"


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file in a form, under the name that the client gave it."""

    filename: str
    content: Content


@dataclass(frozen=True, slots=True)
class Form:
    """A form for a project: the fields that we use, with every value that was sent for them.

    ``is_staged`` says that the client asks us to stage the file, and not to publish it.
    """

    project: NormalizedName
    texts: Mapping[str, tuple[str, ...]]
    files: tuple[FilePart, ...]
    is_staged: bool = False

    @property
    def file(self) -> FilePart:
        """Return the one file; raise InvalidUpload when there is none, or more than one."""
        if len(self.files) != 1:
            raise InvalidUpload("the form must have one file in the field `content`")
        return self.files[0]

    @property
    def attestations(self) -> bytes | None:
        """Return the attestations of the file (PEP 740), or None; raise InvalidUpload."""
        return self.text(_ATTESTATIONS).encode() or None

    def text(self, name: str) -> str:
        """Return a field's one value; an absent field is empty, because pdm sends it empty.

        Raises InvalidUpload for a repeated field.
        """
        return _one_value(self.texts, name)


def _one_value(texts: Mapping[str, tuple[str, ...]], name: str) -> str:
    values = texts.get(name, ("",))
    if len(values) > 1:
        raise InvalidUpload(f"the form has more than one field `{name}`")
    return values[0]


def read_form(body: Content, content_type: str, max_bytes: int) -> Form:
    """Return the form in a body, which must name a project.

    The file in it is not copied. Raises PayloadTooLarge or InvalidUpload.
    """
    if body.size > max_bytes:
        raise PayloadTooLarge(
            f"the form has {_mebibytes(body.size)}; an upload takes at most"
            f" {_mebibytes(max_bytes)} here, its other fields included: send a larger file with"
            " `pytp-broker publish`, or with your client through `pytp-broker proxy`"
        )
    boundary = read_boundary(content_type)
    if boundary is None:
        raise InvalidUpload("the body of an upload must be a form of the type multipart/form-data")
    try:
        parts = find_parts(body, boundary)
    except ValueError as error:  # MultipartError is a ValueError
        raise InvalidUpload(f"the form is malformed: {printable(str(error.args[0]))}") from None
    return make_form(*_gather(parts))


def read_boundary(content_type: str) -> str | None:
    """Return the boundary of a form, which may be empty; None for a body of another type."""
    kind, options = parse_options_header(content_type)
    return options.get("boundary", "") if kind == "multipart/form-data" else None


def make_form(texts: Mapping[str, tuple[str, ...]], files: tuple[FilePart, ...]) -> Form:
    """Return the form that has these fields and files; raise InvalidUpload."""
    is_staged = _read_staged(_one_value(texts, _STAGED))
    return Form(_read_name(_one_value(texts, "name")), texts, files, is_staged)


def _mebibytes(size: int) -> str:
    return f"{size / (1024 * 1024):.1f} MiB"


def _gather(
    parts: list[tuple[MultipartSegment, Part]],
) -> tuple[dict[str, tuple[str, ...]], tuple[FilePart, ...]]:
    texts: dict[str, tuple[str, ...]] = {}
    files: list[FilePart] = []
    for segment, octets in parts:
        _check_headers(segment)
        if segment.name == CONTENT:
            files.append(FilePart(segment.filename or "", octets))
            continue
        _check_size(segment, octets)
        if segment.name in TEXT_FIELDS:
            texts[segment.name] = (*texts.get(segment.name, ()), _decode(segment, octets))
    return texts, tuple(files)


def _check_headers(segment: MultipartSegment) -> None:
    # The library uses the last of repeated headers, and of a Windows path the last segment.
    names = [name for name, _ in segment.headerlist]
    if len(set(names)) < len(names) or "\\" in segment["Content-Disposition"]:
        raise InvalidUpload("the form has a part with repeated headers or a backslash in its name")


def _check_size(segment: MultipartSegment, octets: Part) -> None:
    is_short = segment.name in TEXT_FIELDS and segment.name != _ATTESTATIONS
    limit = MAX_TEXT_BYTES if is_short else MAX_FIELD_BYTES
    if octets.size > limit:
        raise InvalidUpload(f"the form's `{printable(segment.name)}` is longer than {limit} bytes")


def _decode(segment: MultipartSegment, octets: Part) -> str:
    if segment.filename is not None:
        raise InvalidUpload(f"the form's `{segment.name}` must be text, not a file")
    try:
        return read_all(octets).decode()
    except UnicodeDecodeError:
        raise InvalidUpload(f"the form's `{segment.name}` is not UTF-8") from None


def _read_name(text: str) -> NormalizedName:
    try:
        return read_project(text)
    except InvalidNameError as mistake:
        raise InvalidUpload(f"the form's `name` {mistake}") from None


def _read_staged(text: str) -> bool:
    if text not in _BOOLEANS:
        raise InvalidUpload(
            f"the form's `{_STAGED}` must be `true` or `false`, not `{printable(text)}`"
        )
    return _BOOLEANS[text]


def check_protocol(form: Form) -> None:
    """Check that the form asks for an upload; raise InvalidUpload."""
    if form.text(":action") != ACTION:
        raise InvalidUpload(f"the form's `:action` must be {ACTION}")
    if form.text("protocol_version") not in ("", PROTOCOL_VERSION):
        raise InvalidUpload(f"the form's `protocol_version` must be {PROTOCOL_VERSION}")


def check_form(form: Form, distribution: Distribution) -> None:
    """Check that the form describes this distribution, and has content; raise InvalidUpload."""
    filetype = form.text("filetype")
    if filetype != distribution.filetype:
        raise InvalidUpload(
            f"the form's `filetype` must be {distribution.filetype} for `{distribution.filename}`, "
            f"not `{printable(filetype)}`"
        )
    check_same(distribution, form.project, _parse_version(form.text("version")), "form")
    if not form.file.content.size:
        raise InvalidUpload("the file is empty")


def _parse_version(text: str) -> Version:
    try:
        return Version(text)
    except ValueError:  # InvalidVersion, or a number of too many digits
        raise InvalidUpload("the form's `version` must be a version (PEP 440)") from None


def compute_sent_digests(form: Form) -> dict[str, str]:
    """Return the sha256 of the file, and those digests that the form has, by algorithm."""
    sent = [name for name, values in form.texts.items() if any(values)]
    return compute_digests(form.file.content, algorithms_of(sent))


def algorithms_of(names: Collection[str]) -> set[str]:
    """Return sha256, and the algorithm of each of these fields that is for a digest."""
    return {SHA256, *(algorithm for name, algorithm in _DIGESTS.items() if name in names)}


def check_digests(form: Form, digests: Mapping[str, str]) -> None:
    """Check that a digest was sent, and that each one sent is the file's.

    Raises InvalidUpload.
    """
    sent = {name: digest for name in _DIGESTS if (digest := form.text(name))}
    if not sent:
        raise InvalidUpload(f"the form must have one of {', '.join(_DIGESTS)}")
    for name, digest in sent.items():
        if digest.lower() != digests[_DIGESTS[name]]:
            raise InvalidUpload(
                f"the form's `{name}` is not the digest of the file that we received"
            )
