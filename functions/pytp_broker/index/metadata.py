"""Core metadata inside a distribution: what an index and installers read, by packaging's rules."""

import re
from dataclasses import dataclass
from typing import Final

from packaging.metadata import InvalidMetadata, Metadata, RawMetadata, parse_email
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from pytp_broker.errors import InvalidUpload
from pytp_broker.redaction import printable
from pytp_broker.tokens import holds_token

# There are some 35 fields; a large project repeats one of them a thousand times. The parser's work
# is the product of the two.
MAX_FIELD_NAMES: Final = 100
MAX_FIELDS: Final = 10_000
MAX_REQUIRES_PYTHON_CHARACTERS: Final = 1024
# The largest that we know, boto3-stubs, has 53,000 characters of requirements and 880 commas in
# them. Behind each comma stands a specifier, which takes 0.1 ms.
MAX_REQUIREMENTS_CHARACTERS: Final = 256 * 1024
MAX_REQUIREMENTS_COMMAS: Final = 10_000

# uv keeps a number of a version in 64 bits, and Python reads at most 4300 digits.
_HUGE_NUMBER: Final = re.compile(r"[0-9]{20}")
# A scheme, and then a host or, for a file, a path from the root.
_FULL_URL: Final = re.compile(r"(?:file:///|[a-z][a-z0-9+.-]*://[^/?#])", re.IGNORECASE)
_FIELD_NAME: Final = re.compile(r"^[^\s:]+(?=:)", re.MULTILINE)
# PKG-INFO says what is dynamic since this version (PEP 643).
_KNOWS_DYNAMIC: Final = Version("2.2")
# A draft that was never accepted: wheels had it until 2018, and installers read it as 2.1.
_DRAFT: Final = "2.0"
_READ_AS: Final = "2.1"
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

    Requirements are checked too, because no installer takes a distribution with a broken one.
    Other fields are not: real tools write some ahead of their metadata's version.
    """
    raw, unparsed = parse_email(_read_header(octets))
    if _USED & unparsed.keys():
        raise InvalidUpload("the metadata in the archive repeats a field that must be unique")
    if raw.get("metadata_version") == _DRAFT:
        raw["metadata_version"] = _READ_AS
    _check_encoding(raw)
    _check_requirements(raw.get("requires_dist", []))
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


def _check_encoding(raw: RawMetadata) -> None:
    """Check that no field for installers has an encoded word: uv decodes it, and pip does not."""
    fields = {
        "Requires-Dist": raw.get("requires_dist", []),
        "Provides-Extra": raw.get("provides_extra", []),
        "Dynamic": raw.get("dynamic", []),
        "Requires-Python": [raw.get("requires_python", "")],
    }
    for name, values in fields.items():
        if any("=?" in value for value in values):
            raise InvalidUpload(
                f"the metadata in the archive has a `{name}` with an encoded word (`=?…?=`), which "
                "installers read differently: write it as plain text"
            )


def _check_requirements(requirements: list[str]) -> None:
    texts = "".join(requirements)
    if len(texts) > MAX_REQUIREMENTS_CHARACTERS or texts.count(",") > MAX_REQUIREMENTS_COMMAS:
        raise InvalidUpload("the metadata in the archive has too many requirements")
    for requirement in requirements:
        _check_requirement(requirement)


def _check_requirement(text: str) -> None:
    """Check that a `Requires-Dist` is a requirement that an installer can use (PEP 508).

    A direct reference may be one: a private registry's packages may need what only a URL has.
    """
    shown = printable(text)
    try:
        url = _read_requirement(text).url
    except (ValueError, RecursionError):  # RecursionError: thousands of parentheses in a marker
        raise InvalidUpload(
            f"the metadata in the archive says `Requires-Dist: {shown}`, which is not a "
            "requirement that installers can read: correct it (PEP 508) and build again"
        ) from None
    if not text.replace("\t", " ").isprintable():
        raise InvalidUpload(
            f"the metadata in the archive says `Requires-Dist: {shown}` with characters that "
            "cannot be printed, and installers print it: remove them and build again"
        )
    if url is not None and not _FULL_URL.match(url):
        raise InvalidUpload(
            f"the metadata in the archive says `Requires-Dist: {shown}`, whose address means "
            "nothing on another machine: give a version or a full URL, and build again"
        )


def _read_requirement(text: str) -> Requirement:
    requirement = Requirement(text)
    for specifier in requirement.specifier:
        Version(specifier.version.removesuffix(".*"))  # `===` takes any text, and uv does not
    if any(_HUGE_NUMBER.search(specifier.version) for specifier in requirement.specifier):
        raise ValueError(text)
    return requirement


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
