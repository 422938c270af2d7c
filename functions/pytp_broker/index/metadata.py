"""Core metadata inside a distribution: the few fields that an index needs, by packaging's rules."""

import re
from dataclasses import dataclass
from typing import Final

from packaging.metadata import InvalidMetadata, Metadata, parse_email
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from pytp_broker.errors import InvalidUpload
from pytp_broker.tokens import holds_token

# There are some 35 fields; a large project repeats one of them a thousand times. The parser's work
# is the product of the two.
MAX_FIELD_NAMES: Final = 100
MAX_FIELDS: Final = 10_000
MAX_REQUIRES_PYTHON_CHARACTERS: Final = 1024

_FIELD_NAME: Final = re.compile(r"^[^\s:]+(?=:)", re.MULTILINE)
# PKG-INFO says what is dynamic since this version (PEP 643).
_KNOWS_DYNAMIC: Final = Version("2.2")
_DEPENDENCIES: Final = frozenset({"requires-dist", "requires-python", "provides-extra"})
_USED: Final = frozenset({"metadata-version", "name", "version", "requires-python"})


@dataclass(frozen=True, slots=True)
class CoreMetadata:
    """What METADATA or PKG-INFO says."""

    project: NormalizedName
    version: Version
    requires_python: str | None
    has_static_dependencies: bool


def parse_metadata(octets: bytes) -> CoreMetadata:
    """Return the fields that an index needs, each one valid; raise InvalidUpload.

    Fields that we do not use are not checked: real tools write some ahead of their metadata's
    version.
    """
    raw, unparsed = parse_email(_read_header(octets))
    if _USED & unparsed.keys():
        raise InvalidUpload("the metadata in the archive repeats a field that must be unique")
    # An empty field is an absent one; the specifier's own text is what clients are shown.
    specifier = " ".join(raw.get("requires_python", "").split())
    try:
        return _validate(Metadata.from_raw(raw, validate=False), specifier)
    except ValueError as error:
        field = getattr(error, "field", "version")
        raise InvalidUpload(f"the metadata in the archive has no valid `{field}`") from None


def _read_header(octets: bytes) -> str:
    """Return the fields without the description, which may be anything."""
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        raise InvalidUpload("the metadata in the archive is not UTF-8") from None
    header = text.replace("\r\n", "\n").replace("\r", "\n").partition("\n\n")[0]
    names = _FIELD_NAME.findall(header)
    if len(names) > MAX_FIELDS or len(set(names)) > MAX_FIELD_NAMES:
        raise InvalidUpload("the metadata in the archive has too many fields")
    return header


def _validate(metadata: Metadata, requires_python: str) -> CoreMetadata:
    if len(requires_python) > MAX_REQUIRES_PYTHON_CHARACTERS:
        raise InvalidUpload("the metadata in the archive has too long a `requires-python`")
    # `===` takes any text, and installers print it.
    is_plain = requires_python.isascii() and requires_python.isprintable()
    if not is_plain or holds_token(requires_python):
        raise InvalidUpload("the metadata in the archive has no valid `requires-python`")
    for field in ("metadata_version", "requires_python"):
        getattr(metadata, field)  # packaging validates a field when it is read
    return CoreMetadata(
        project=canonicalize_name(metadata.name),
        version=metadata.version,
        requires_python=requires_python or None,
        has_static_dependencies=_has_static_dependencies(metadata),
    )


def _has_static_dependencies(metadata: Metadata) -> bool:
    """Say whether the dependencies hold for every wheel that is built from an sdist (PEP 643)."""
    if Version(metadata.metadata_version) < _KNOWS_DYNAMIC:
        return False
    try:
        return _DEPENDENCIES.isdisjoint(metadata.dynamic or ())
    except InvalidMetadata:
        # `Dynamic` names a field that nobody knows: it may be one of these, misspelt.
        return False
