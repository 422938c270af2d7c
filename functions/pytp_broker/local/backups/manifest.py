"""The manifest of a backup: what belongs to it, and by which version of the product.

A backup without a good manifest is not one: the manifest takes its place in one step, after
everything that it lists is on the disk. Others may have changed the file since, so nothing in it is
believed before it is checked.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

MANIFEST: Final = "backup.json"
DATABASES: Final = "database"
FILES: Final = "files"
KEYS: Final = "keys"
FORMAT: Final = 1
# No segment begins with a dot, so no name leads out of the folder, and none is a temporary file's.
_SEGMENT: Final = r"[A-Za-z0-9_][A-Za-z0-9._+!~-]*"
_NAME: Final = re.compile(rf"{_SEGMENT}(/{_SEGMENT})*")
# The private keys, by their places in a data folder. The name of a receipt key is its id.
_KEY_NAME: Final = re.compile(r"tls/ca\.(?:pem|key)|receipt-keys/[A-Za-z0-9_-]+\.pem")
_SHA256: Final = re.compile("[0-9a-f]{64}")


class BackupError(Exception):
    """A backup cannot be made, read or restored; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a backup."""

    sha256: str
    size: int

    @classmethod
    def parse(cls, member: Any) -> Self:  # noqa: ANN401 - parsed JSON
        """Return the entry; raise ValueError."""
        sha256, size = member
        if type(sha256) is not str or not _SHA256.fullmatch(sha256) or type(size) is not int:
            raise ValueError(member)
        return cls(sha256, size)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A backup as a whole.

    ``began_at`` is before the moment of the database: what was answered before it is in the backup.
    ``files`` has the bytes by their keys, ``keys`` the private keys by their places in the data
    folder, and ``parts`` is the name under which the database and the private keys are stored.
    """

    version: str
    schema: int
    began_at: datetime
    parts: str
    database: Entry
    files: Mapping[str, Entry]
    keys: Mapping[str, Entry]

    def paths(self) -> dict[str, Entry]:
        """Return every file of the backup by its path in the folder."""
        return {
            f"{DATABASES}/{self.parts}": self.database,
            **{f"{FILES}/{key}": entry for key, entry in self.files.items()},
            **{f"{KEYS}/{self.parts}/{name}": entry for name, entry in self.keys.items()},
        }

    def write(self) -> str:
        """Return the manifest as JSON."""
        document = {
            "format": FORMAT,
            "version": self.version,
            "schema": self.schema,
            "began_at": self.began_at.isoformat(),
            "parts": self.parts,
            "database": _write_entry(self.database),
            "files": {key: _write_entry(entry) for key, entry in sorted(self.files.items())},
            "keys": {name: _write_entry(entry) for name, entry in sorted(self.keys.items())},
        }
        return json.dumps(document, indent=1) + "\n"


def _write_entry(entry: Entry) -> list[object]:
    return [entry.sha256, entry.size]


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a backup; raise BackupError."""
    path = folder / MANIFEST
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BackupError(
            f"{folder} is not a backup: it has no {MANIFEST}, which is written when a backup is "
            "complete"
        ) from None
    except OSError as error:
        raise BackupError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise _damaged(path) from None
    return _parse(path, document)


def _parse(path: Path, document: Any) -> Manifest:  # noqa: ANN401 - parsed JSON
    try:
        if document["format"] != FORMAT:
            raise _newer(path, document)
        return Manifest(
            version=str(document["version"]),
            schema=_whole(document["schema"]),
            began_at=datetime.fromisoformat(document["began_at"]),
            parts=_check(document["parts"], _is_segment),
            database=Entry.parse(document["database"]),
            files=_parse_entries(document["files"], is_file_name),
            keys=_parse_entries(document["keys"], is_key_name),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _damaged(path) from None


def _parse_entries(members: Mapping[str, Any], is_name: Callable[[str], bool]) -> dict[str, Entry]:
    return {_check(name, is_name): Entry.parse(member) for name, member in members.items()}


def _whole(number: Any) -> int:  # noqa: ANN401 - parsed JSON
    if type(number) is not int:  # JSON of Python also has Infinity and NaN
        raise TypeError(number)
    return number


def _check(name: str, is_name: Callable[[str], bool]) -> str:
    if not is_name(name):
        raise ValueError(name)
    return name


def is_file_name(name: str) -> bool:
    """Say whether this is a key of the file store."""
    return _NAME.fullmatch(name) is not None


def _is_segment(name: str) -> bool:
    return re.fullmatch(_SEGMENT, name) is not None


def is_key_name(name: str) -> bool:
    """Say whether this is the place of a private key, or of the authority's certificate."""
    return _KEY_NAME.fullmatch(name) is not None


def _damaged(path: Path) -> BackupError:
    return BackupError(f"{path} is damaged: use another backup")


def _newer(path: Path, document: Mapping[str, Any]) -> BackupError:
    return BackupError(
        f"{path} has the format {document['format']!r} of another version of pytp-broker: use "
        f"version {document.get('version')!r} or a later one"
    )
