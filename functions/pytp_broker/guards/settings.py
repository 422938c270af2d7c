"""Which registry a guard asks, and what the other index allows: variables of the environment.

The secret comes from a file or a variable, and never from a command line, which every user of the
machine can read.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from pytp_broker.file_sizes import read_size
from pytp_broker.names import LOOPBACK_HOSTS
from pytp_broker.redaction import Hidden, printable
from pytp_broker.registries import CLIENT_ID

REGISTRY: Final = "PYTP_GUARD_REGISTRY"
CLIENT: Final = "PYTP_GUARD_CLIENT"
SECRET_FILE: Final = "PYTP_GUARD_SECRET_FILE"  # noqa: S105 - the name of a variable
SECRET: Final = "PYTP_GUARD_SECRET"  # noqa: S105 - the name of a variable
READS: Final = "PYTP_GUARD_READS"
MAX_FILE_SIZE: Final = "PYTP_GUARD_MAX_FILE_SIZE"
INDEXES: Final = "PYTP_GUARD_INDEXES"

_DEFAULT_SIZE: Final = "1 GiB"
_READS: Final = {"private": False, "public": True}
# devpi names an index by its user and its own name.
_INDEX: Final = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")
# The secret is sent in a header, as a part of Basic credentials.
_SECRET: Final = re.compile(r"[!-~]{16,256}")


class SettingsError(Exception):
    """A variable is missing or wrong; the text says which, and what it must be."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the registry is, who asks, and whether everybody may read the other index."""

    registry_url: str
    client_id: str
    secret: Hidden = field(repr=False)
    is_public: bool
    max_file_bytes: int

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Self:
        """Return the settings in an environment; raise SettingsError."""
        return cls(
            _read_registry(environment.get(REGISTRY, "")),
            _read_client(environment.get(CLIENT, "")),
            Hidden(_read_secret(environment)),
            _read_reads(environment.get(READS, "private")),
            _read_size(environment.get(MAX_FILE_SIZE, _DEFAULT_SIZE)),
        )


def _read_registry(text: str) -> str:
    """Return the registry's address without a slash at its end."""
    example = "such as https://packages.example.com/acme/"
    try:
        parts = urlsplit(text)
        is_safe = parts.scheme == "https" or (
            parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS
        )
    except ValueError:
        is_safe, parts = False, urlsplit("")
    if not is_safe or not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc:
        # An address with a user may have a password, which no error repeats.
        shown = "an address with a user" if "@" in text else f"`{printable(text)}`"
        seen = shown if text else "not set"
        raise SettingsError(
            f"{REGISTRY} is {seen}; it must be the https address of the registry, {example}"
        )
    return text.rstrip("/")


def _read_client(text: str) -> str:
    if not re.fullmatch(CLIENT_ID, text):
        seen = f"`{printable(text)}`" if text else "not set"
        raise SettingsError(
            f"{CLIENT} is {seen}; it must be the id that you gave `pytp-broker secret`"
        )
    return text


def _read_secret(environment: Mapping[str, str]) -> str:
    """Return the secret; no error repeats it."""
    path, text = environment.get(SECRET_FILE), environment.get(SECRET)
    if (path is None) is (text is None):
        raise SettingsError(
            f"set either {SECRET_FILE} to a file with the secret that `pytp-broker secret` "
            f"printed, or {SECRET} to the secret itself"
        )
    try:
        found = Path(path).read_text().strip() if path is not None else (text or "").strip()
    except (OSError, ValueError) as error:
        raise SettingsError(f"{SECRET_FILE}: cannot be read ({type(error).__name__})") from None
    if not _SECRET.fullmatch(found):
        raise SettingsError(
            f"{SECRET_FILE if path is not None else SECRET}: must hold the secret alone, as "
            "`pytp-broker secret` printed it"
        )
    return found


def _read_reads(text: str) -> bool:
    if text not in _READS:
        raise SettingsError(f"{READS} is `{printable(text)}`; it must be `private` or `public`")
    return _READS[text]


def _read_size(text: str) -> int:
    size = read_size(text)
    if size is None:
        raise SettingsError(
            f"{MAX_FILE_SIZE} is `{printable(text)}`; it must be a size such as `1 GiB`"
        )
    return size


def read_indexes(environment: Mapping[str, str]) -> frozenset[str]:
    """Return the indexes of a devpi-server that take a registry's tokens; raise SettingsError."""
    names = [name.strip() for name in environment.get(INDEXES, "").split(",")]
    if not all(map(_INDEX.fullmatch, names)):
        raise SettingsError(
            f"{INDEXES} is `{printable(', '.join(names))}`; it must be the indexes that take "
            "tokens, such as `root/prod,root/dev`"
        )
    return frozenset(names)
