"""Values of the configuration file: what each text must look like."""

import re
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from typing import Annotated, Final
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)

from pytp_broker.file_sizes import SIZE, read_size
from pytp_broker.http.paths import RESERVED_NAMES
from pytp_broker.names import (
    LOOPBACK_HOSTS,
    MAX_PROJECT_CHARACTERS,
    is_host_name,
    is_public_host_name,
    read_project,
)
from pytp_broker.nearest import closest
from pytp_broker.oidc.jwks import ASYMMETRIC_ALGORITHMS
from pytp_broker.redaction import legible
from pytp_broker.registries import CLIENT_ID, LARGEST_FILE_SIZE, PRIVATE, PUBLIC
from pytp_broker.trust.providers import PROVIDERS

ALLOW_LOOPBACK: Final = "allow_loopback"

# Ten years.
MAX_RELEASE_OPEN_DAYS: Final = 3650

MIN_FILE_BYTES: Final = 1024

MAX_TEAM_CHARACTERS: Final = 64
TEAM: Final = "[A-Za-z0-9][A-Za-z0-9._-]*"

_MAX_PORT: Final = 65_535
# One line can list this many kinds of CI.
_MAX_CHOICES: Final = 15


class EmptyTextError(ValueError):
    """A text without visible characters. It is a mistake, and never counts as an absent rule."""

    def __init__(self) -> None:
        super().__init__("is empty")


def _strip(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


def _check_visible(text: str) -> str:
    # An unset variable in a template leaves an empty text, which must not remove a rule.
    if not legible(text).strip("\N{REPLACEMENT CHARACTER} "):
        raise EmptyTextError
    return text


def _check_issuer_url(text: str, info: ValidationInfo) -> str:
    loopback = bool(info.context and info.context[ALLOW_LOOPBACK])
    if not text.isascii() or not text.isprintable() or any(c in text for c in " ?#@\\%"):
        raise ValueError(
            "is not a plain URL: it must have no query, fragment, user name or escapes"
        )
    url = _split(text)
    host = url.hostname or ""
    is_here = loopback and host in LOOPBACK_HOSTS
    if url.scheme != "https" and not (is_here and url.scheme == "http"):
        raise ValueError("must be https (http only for an issuer on this machine, in `serve`)")
    if not is_here and not is_public_host_name(host):
        raise ValueError("must name its host by a fully qualified name, not by an address")
    if text != f"{url.scheme}://{_plain_authority(url)}{url.path}":
        raise ValueError("must be written as the issuer signs it: all in lower case up to the path")
    *inner, last = url.path.split("/")[1:] or [""]
    if "" in inner or {".", ".."} & {*inner, last}:
        raise ValueError("must be written as the issuer signs it, with a plain path")
    return text


def _check_timestamping_url(text: str, info: ValidationInfo) -> str:
    loopback = bool(info.context and info.context[ALLOW_LOOPBACK])
    # Logs and plans show this URL, so it must have no place for a secret.
    if not text.isascii() or not text.isprintable() or any(c in text for c in " ?#@\\"):
        raise ValueError("is not a plain URL: it must have no query, fragment or user name")
    url = _split(text)
    is_here = loopback and url.hostname in LOOPBACK_HOSTS
    if url.scheme != "https" and not (is_here and url.scheme == "http"):
        raise ValueError("must be https (http only for this machine, in `serve`)")
    if not is_here and not is_public_host_name(url.hostname or ""):
        raise ValueError("must name its host by a fully qualified name, not by an address")
    return text


def _split(text: str) -> SplitResult:
    """Return the parts of a URL; raise ValueError if it has a port that is not valid."""
    with suppress(ValueError):  # hides Python's own words for a malformed address or port
        url = urlsplit(text)
        if url.port != 0 and not url.netloc.endswith(":"):
            return url
    raise ValueError("has a malformed host or port; a port is a number from 1 to 65535")


def _plain_authority(url: SplitResult) -> str:
    """Return host and port in their plain spelling."""
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    return f"{host}:{url.port}" if url.port else f"{host}"


def _check_host(text: str) -> str:
    if not is_host_name(text):
        raise ValueError("must be a host name in lower case, without scheme, port or path")
    return text


def _check_jwks_host(text: str, info: ValidationInfo) -> str:
    loopback = bool(info.context and info.context[ALLOW_LOOPBACK])
    host, colon, port = text.partition(":")
    if not is_public_host_name(_check_host(host)) and not (loopback and host in LOOPBACK_HOSTS):
        raise ValueError("must be a fully qualified name, not an address")
    if colon and not (re.fullmatch(r"[1-9][0-9]{0,4}", port) and int(port) <= _MAX_PORT):
        raise ValueError("must have a port from 1 to 65535 after the colon")
    return text


def _check_audience(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z][!-~]{0,254}", text):
        raise ValueError(
            "must start with a letter and have no blanks, because CI systems derive the name of a "
            "variable from it"
        )
    return text


def _check_registry_name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", text):
        raise ValueError("must match [a-z0-9][a-z0-9-]{0,62}: it is the URL prefix")
    if text in RESERVED_NAMES:
        raise ValueError("is reserved; choose another name")
    return text


def one_of(choices: Collection[str]) -> Callable[[str], str]:
    """Return a check that a text is one of these."""

    def check(text: str) -> str:
        if text in choices:
            return text
        meant = closest(text, choices)
        if meant is not None and len(choices) > _MAX_CHOICES:
            raise ValueError(f"is not known; did you mean `{meant}`?")
        hint = f"; did you mean `{meant}`?" if meant is not None else ""
        raise ValueError(f"is not one of: {', '.join(choices)}{hint}")

    return check


def _check_open_days(value: object) -> int | None:
    if value == "unlimited":
        return None
    if type(value) is not int or not 1 <= value <= MAX_RELEASE_OPEN_DAYS:
        raise ValueError(
            f'must be a number of days from 1 to {MAX_RELEASE_OPEN_DAYS}, or "unlimited"'
        )
    return value


def _check_file_size(value: object) -> int:
    size = read_size(value.strip()) if isinstance(value, str) else value
    if type(size) is not int or not MIN_FILE_BYTES <= size <= LARGEST_FILE_SIZE:
        raise ValueError(
            'must be a size such as "1 GiB" or "500 MB", from "1 KiB" to "5 GiB": one PUT to a '
            "bucket takes no more"
        )
    return size


def _check_client_id(text: str) -> str:
    if not re.fullmatch(CLIENT_ID, text):
        raise ValueError("must be 1 to 64 letters, digits, `.`, `_` or `-`")
    return text


def _check_sha256(text: str) -> str:
    if not re.fullmatch("[0-9a-f]{64}", text):
        raise ValueError(
            "must be 64 hexadecimal digits in lower case: `pytp-broker secret` prints them"
        )
    return text


def is_one_of(names: Iterable[str]) -> WithJsonSchema:
    """Return the JSON Schema that tells editors the allowed texts."""
    return WithJsonSchema({"type": "string", "enum": list(names)})


def _check_team_name(text: str) -> str:
    if not re.fullmatch(TEAM, text):
        raise ValueError("must be letters, digits, dots, dashes and underscores, such as `data`")
    return text


def _looks_like(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern})


Text = Annotated[str, BeforeValidator(_strip), Field(min_length=1), AfterValidator(_check_visible)]
IssuerUrl = Annotated[Text, Field(max_length=255), AfterValidator(_check_issuer_url)]
TimestampingUrl = Annotated[Text, Field(max_length=255), AfterValidator(_check_timestamping_url)]
HostName = Annotated[Text, AfterValidator(_check_host)]
JwksHost = Annotated[Text, AfterValidator(_check_jwks_host)]
Audience = Annotated[Text, AfterValidator(_check_audience)]
RegistryName = Annotated[Text, AfterValidator(_check_registry_name)]
TeamName = Annotated[
    Text,
    Field(max_length=MAX_TEAM_CHARACTERS),
    AfterValidator(_check_team_name),
    _looks_like(f"^{TEAM}$"),
]
ProjectName = Annotated[
    Text, Field(max_length=MAX_PROJECT_CHARACTERS), AfterValidator(read_project)
]
ClientId = Annotated[Text, AfterValidator(_check_client_id), _looks_like(f"^{CLIENT_ID}$")]
Sha256 = Annotated[Text, AfterValidator(_check_sha256), _looks_like("^[0-9a-f]{64}$")]
ProviderName = Annotated[Text, AfterValidator(one_of(PROVIDERS)), is_one_of(PROVIDERS)]
Algorithm = Annotated[
    Text, AfterValidator(one_of(ASYMMETRIC_ALGORITHMS)), is_one_of(ASYMMETRIC_ALGORITHMS)
]
ReadAccess = Annotated[
    Text, AfterValidator(one_of((PRIVATE, PUBLIC))), is_one_of((PRIVATE, PUBLIC))
]
# A number without a unit is bytes.
FileSize = Annotated[
    int,
    PlainValidator(_check_file_size),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": MIN_FILE_BYTES, "maximum": LARGEST_FILE_SIZE},
                {"type": "string", "pattern": f"^{SIZE}$"},
            ]
        }
    ),
]
# None stands for "unlimited".
ReleaseOpenDays = Annotated[
    int | None,
    PlainValidator(_check_open_days),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": MAX_RELEASE_OPEN_DAYS},
                {"const": "unlimited"},
            ]
        }
    ),
]
