"""The credentials for another index, and the URL of that index without them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from pytp_broker.client.netrc_file import find_in_netrc
from pytp_broker.redaction import Hidden, printable

USERNAME_VARIABLE: Final = "PYTP_SOURCE_USERNAME"
PASSWORD_VARIABLE: Final = "PYTP_SOURCE_PASSWORD"  # noqa: S105 - its name
_TOKEN_USER: Final = "__token__"  # noqa: S105 - the user name that goes with a token

Origin = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Credential:
    """A user and a password for one origin; no other host ever gets them."""

    origin: Origin
    user: str
    password: Hidden


def origin_of(url: str) -> Origin:
    """Return scheme, host and port of a URL; raise ValueError for a malformed port."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    return parts.scheme, (parts.hostname or "").lower(), port


def without_credentials(url: str) -> str:
    """Return a URL without a user and a password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def shown(url: str) -> str:
    """Return a URL as we show it: no credentials, and no query, which may sign a download."""
    parts = urlsplit(without_credentials(url))
    return printable(parts._replace(query="", fragment="").geturl())


def find_credential(url: str, environ: Mapping[str, str]) -> Credential | None:
    """Return the credential in the URL, in the environment or in netrc, in this order."""
    parts = urlsplit(url)
    found = (
        _in_url(parts) or _in_environment(environ) or find_in_netrc(parts.hostname or "", environ)
    )
    return Credential(origin_of(url), found[0], Hidden(found[1])) if found else None


def _in_url(parts: SplitResult) -> tuple[str, str] | None:
    if parts.username is None and parts.password is None:
        return None
    return unquote(parts.username or ""), unquote(parts.password or "")


def _in_environment(environ: Mapping[str, str]) -> tuple[str, str] | None:
    password = environ.get(PASSWORD_VARIABLE)
    return (environ.get(USERNAME_VARIABLE, _TOKEN_USER), password) if password else None
