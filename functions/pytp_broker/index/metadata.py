"""Read the core metadata inside a distribution, and check it by the rules of ``packaging``."""

import re
from dataclasses import dataclass
from typing import Final

from packaging.metadata import InvalidMetadata, Metadata, RawMetadata, parse_email
from packaging.requirements import Requirement
from packaging.version import Version

from pytp_broker.errors import InvalidUpload
from pytp_broker.names import NormalizedName, normalize
from pytp_broker.redaction import printable
from pytp_broker.tokens import holds_token

# There are some 35 fields, and a large project repeats one of them a thousand times. The parser's
# work grows with the product of these two numbers.
MAX_FIELD_NAMES: Final = 100
MAX_FIELDS: Final = 10_000
MAX_REQUIRES_PYTHON_CHARACTERS: Final = 1024
# The largest project that we know, boto3-stubs, has 53,000 characters of requirements with 880
# commas. A specifier follows each comma and takes 0.1 ms.
MAX_REQUIREMENTS_CHARACTERS: Final = 256 * 1024
MAX_REQUIREMENTS_COMMAS: Final = 10_000

# uv stores each number of a version in 64 bits, and Python reads at most 4300 digits.
_HUGE_NUMBER: Final = re.compile(r"[0-9]{20}")
# A scheme and a host, or `file:` and an absolute path.
_FULL_URL: Final = re.compile(r"(?:file:///|[a-z][a-z0-9+.-]*://[^/?#])", re.IGNORECASE)
_FIELD_NAME: Final = re.compile(r"^[^\s:]+(?=:)", re.MULTILINE)
# Since this version, PKG-INFO says which fields are dynamic (PEP 643).
_KNOWS_DYNAMIC: Final = Version("2.2")
# A draft that was never accepted. Wheels named it until 2018, and installers read it as 2.1.
_DRAFT: Final = "2.0"
_READ_AS: Final = "2.1"
_DEPENDENCIES: Final = frozenset({"requires-dist", "requires-python", "provides-extra"})
_USED: Final = frozenset({"metadata-version", "name", "version", "requires-python"})


@dataclass(frozen=True, slots=True)
class CoreMetadata:
    """The fields of METADATA or PKG-INFO that an index needs."""

    project: NormalizedName
    version: Version
    requires_python: str | None
    has_static_dependencies: bool


def parse_metadata(octets: bytes) -> CoreMetadata:
    """Return the fields that an index needs, each one valid; raise InvalidUpload.

    Requirements are checked too, because no installer takes a distribution with a broken one. Other
    fields are not checked: real tools write some that their metadata version does not define yet.
    """
    raw, unparsed = parse_email(_read_header(octets))
    if _USED & unparsed.keys():
        raise InvalidUpload("the metadata in the archive repeats a field that must be unique")
    if raw.get("metadata_version") == _DRAFT:
        raw["metadata_version"] = _READ_AS
    _check_encoding(raw)
    _check_requirements(raw.get("requires_dist", []))
    # An empty field counts as absent. Clients are shown the specifier as it is written.
    specifier = " ".join(raw.get("requires_python", "").split())
    try:
        return _read_fields(Metadata.from_raw(raw, validate=False), specifier)
    except ValueError as error:
        field = getattr(error, "field", "version")
        raise InvalidUpload(f"the metadata in the archive has no valid `{field}`") from None


def _read_header(octets: bytes) -> str:
    """Return the fields without the description, which may hold anything."""
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
    """Check that no field for installers has an encoded word: uv decodes these, pip does not."""
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

    A direct reference is allowed, because packages of a private registry may need a project that
    only a URL offers.
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
        Version(specifier.version.removesuffix(".*"))  # `===` allows any text; uv does not
    if any(_HUGE_NUMBER.search(specifier.version) for specifier in requirement.specifier):
        raise ValueError(text)
    return requirement


def _read_fields(metadata: Metadata, requires_python: str) -> CoreMetadata:
    if len(requires_python) > MAX_REQUIRES_PYTHON_CHARACTERS:
        raise InvalidUpload("the metadata in the archive has a `requires-python` that is too long")
    # `===` allows any text, and installers print it.
    is_plain = requires_python.isascii() and requires_python.isprintable()
    if not is_plain or holds_token(requires_python):
        raise InvalidUpload("the metadata in the archive has no valid `requires-python`")
    # packaging validates a field when it is read. All that we use is read here, and nothing else.
    has_static_dependencies = _has_static_dependencies(metadata)
    return CoreMetadata(
        project=normalize(metadata.name),
        version=metadata.version,
        requires_python=requires_python if metadata.requires_python else None,
        has_static_dependencies=has_static_dependencies,
    )


def _has_static_dependencies(metadata: Metadata) -> bool:
    """Say whether the dependencies hold for every wheel that is built from an sdist (PEP 643)."""
    if Version(metadata.metadata_version) < _KNOWS_DYNAMIC:
        return False
    try:
        return _DEPENDENCIES.isdisjoint(metadata.dynamic or ())
    except InvalidMetadata:
        # `Dynamic` names an unknown field, which may be one of these misspelt.
        return False
