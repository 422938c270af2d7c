"""Read the files of a configuration as TOML, and join them into one document.

Several files make one configuration, with the issuers and registries of all; ``team_files`` adds
those of teams. A mistake is named with its file and its line.
"""

import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pytp_broker.config.mistakes import ConfigurationError, Mistake, describe, dotted
from pytp_broker.config.positions import KeyPath, find_lines

# A configuration of a hundred thousand publishers has 10 MB. A device or a log may never end.
MAX_FILE_BYTES: Final = 16 * 1024 * 1024

_NOTHING: Final = hashlib.sha256().hexdigest()
_LISTS: Final = ("issuers", "registries", "teams")
_PLACE: Final = re.compile(r" ?\((?:at line (\d+), column \d+|at end of document)\)")
# How tomllib's messages begin, and what we say instead.
_SYNTAX: Final = {
    "Cannot overwrite a value": "this key was given before; each may be given once",
    "Cannot declare": "this table was given before; a list of tables has double brackets",
    "Cannot mutate": "this table is complete already; nothing can be added to it",
    "Duplicate inline table key": "this key was given before; each may be given once",
    "Escaped character": "the text has an escape that is not a character",
    "Expected newline": "something follows the value; a text needs quotes on both sides",
    "Expected '='": "a key must be followed by `=` and a value",
    "Expected ']": "the brackets are not closed",
    "Found invalid character": "the text is not closed on its line",
    "Illegal character": "a control character, or a text that is not closed on its line",
    "Invalid date": "this is not a date; a text needs quotes",
    "Invalid hex": "the text has an escape that is not a character",
    "Invalid initial character": "a key is missing or needs quotes",
    "Invalid statement": "a line must be a `[table]` or `key = value`",
    "Invalid value": "this is not a value; a text needs quotes",
    "Unclosed array": "the list is not closed with `]`",
    "Unclosed inline": "the table is not closed with `}`",
    "Unescaped": "a backslash begins an escape; write it twice, or use single quotes",
    "Unterminated": "the text is not closed",
}


@dataclass(frozen=True, slots=True)
class Source:
    """One file: its name, and what it says."""

    name: str
    document: Mapping[str, Any]
    text: str = ""
    sha256: str = _NOTHING
    folder: Path | None = None  # in which it names other files; None if it is not a file
    _lines: dict[KeyPath, int] = field(default_factory=dict, compare=False)

    def line(self, path: KeyPath) -> int:
        """Return the line of a path, or of the table around it; 0 if no file has it."""
        if self.text and not self._lines:
            self._lines.update(find_lines(self.text))
        lines = (self._lines.get(path[:length], 0) for length in range(len(path), 0, -1))
        return next(filter(None, lines), 0)

    def place(self, path: KeyPath) -> str:
        """Return file and line of a path, or the file alone; an empty text if no file has it."""
        line = self.line(path)
        return f"{self.name}:{line}" if line else self.name


class Sources:
    """One configuration from one or several files."""

    def __init__(self, *sources: Source) -> None:
        """Put the files together; without files, the configuration is empty."""
        self._sources = [*sources] or [Source("", {})]
        self._origins: dict[KeyPath, tuple[Source, KeyPath]] = {}
        self.document: dict[str, Any] = {}
        self.conflicts: list[str] = []
        for source in sources:
            for key, value in source.document.items():
                self._add(source, key, value)

    @property
    def sha256(self) -> str:
        """Return the file's SHA-256; for several files, the SHA-256 of their joined hashes."""
        hashes = [source.sha256 for source in self._sources]
        return (
            hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
        )

    @property
    def files(self) -> Sequence[Source]:
        """Return the files, in their order."""
        return self._sources

    def join(self, source: Source) -> None:
        """Add a file that only adds entries to registries, with ``join_entry``."""
        self._sources.append(source)

    def join_entry(self, source: Source, number: int, registry: int, key: str) -> None:
        """Add what the file's entry of this number has under a key to a registry's list."""
        registries = self.document["registries"]
        present, more = registries[registry], source.document["registries"][number][key]
        listed = present.get(key, [])
        if not isinstance(listed, list):
            return  # it is a mistake of the other file, which the model finds
        grown = {**present, key: [*listed, *more]}
        self.document["registries"] = [
            *registries[:registry],
            grown,
            *registries[registry + 1 :],
        ]
        for place in range(len(more)):
            path = ("registries", registry, key, len(listed) + place)
            self._origins[path] = source, ("registries", number, key, place)

    def place(self, path: KeyPath) -> str:
        """Return the place of a path: file and line, or its dotted name."""
        source, local = self.locate(path)
        return source.place(local) or dotted(local)

    def write(self, mistakes: Iterable[Mistake]) -> list[str]:
        """Return a line for each mistake, in the order of the files."""
        return [self._write(mistake) for mistake in sorted(mistakes, key=self._order)]

    def _order(self, mistake: Mistake) -> tuple[int, int]:
        source, local = self.locate(mistake.path)
        return self._sources.index(source), source.line(local)

    def _write(self, mistake: Mistake) -> str:
        """Return a mistake with its place, its dotted path, and the name of its entry."""
        source, local = self.locate(mistake.path)
        where = [part for part in (source.place(local), dotted(local)) if part]
        owner = describe(self.document, mistake.path)
        return ": ".join([*where, mistake.text]) + (f" ({owner})" if owner else "")

    def _add(self, source: Source, key: str, value: object) -> None:
        present = self.document.get(key)
        if key not in self.document:
            self.document[key] = value
            self._origins[key,] = source, (key,)
            self._add_entries(source, key, value, 0)
        elif key in _LISTS and isinstance(value, list) and isinstance(present, list):
            self.document[key] = [*present, *value]
            self._add_entries(source, key, value, len(present))
        elif key in _LISTS and not isinstance(value, list):
            self._refuse(source, key, f"is not a list of tables: write `[[{key}]]` above each")
        else:
            first = self.place((key,))
            self._refuse(source, key, f"the same key is in {first}; remove one of the two")

    def _refuse(self, source: Source, key: str, text: str) -> None:
        self.conflicts.append(f"{source.place((key,))}: {dotted((key,))}: {text}")

    def _add_entries(self, source: Source, key: str, value: object, offset: int) -> None:
        for number in range(len(value) if isinstance(value, list) else 0):
            self._origins[key, offset + number] = source, (key, number)

    def locate(self, path: KeyPath) -> tuple[Source, KeyPath]:
        """Return the file that a path of the whole document is in, and the path there."""
        for length in (4, 2, 1):
            if path[:length] in self._origins:
                source, local = self._origins[path[:length]]
                return source, (*local, *path[length:])
        return self._sources[0], path


def read_source(path: Path) -> Source:
    """Return what a file says; raise ConfigurationError."""
    name = str(path)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigurationError([f"{name}: {error.strerror}"]) from None
    except ValueError:  # a NUL in the name
        raise ConfigurationError([f"{name}: this is not the name of a file"]) from None
    text = _decode(name, content)
    document = _parse(name, text)
    _anchor(document, path.parent)
    if not document:
        raise ConfigurationError(
            [f"{name}: the file is empty: expected issuers, registries or `enabled`"]
        )
    return Source(name, document, text, hashlib.sha256(content).hexdigest(), path.parent)


def _anchor(document: dict[str, Any], folder: Path) -> None:
    """Resolve the relative paths in a document against its file's folder, not the current one."""
    issuers = document.get("issuers")
    tables = [*(issuers if isinstance(issuers, list) else []), document.get("timestamping")]
    for table in tables:
        file = table.get("ca_file") if isinstance(table, dict) else None
        if isinstance(file, str) and file.strip():
            table["ca_file"] = str(folder / file.strip())


def _decode(name: str, content: bytes) -> str:
    if len(content) > MAX_FILE_BYTES:
        limit = MAX_FILE_BYTES // 1024**2
        raise ConfigurationError(
            [f"{name}: the file has more than {limit} MiB; is it the right one?"]
        )
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ConfigurationError([f"{name}: not TOML: the file is UTF-16; save it as UTF-8"])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(
            [f"{name}:{line}: not TOML: the line is not UTF-8; save the file as UTF-8"]
        ) from None


def _parse(name: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said = str(error)
        place = _PLACE.search(said)
        line = place[1] if place and place[1] else text.count("\n") + 1
        ours = next((ours for theirs, ours in _SYNTAX.items() if said.startswith(theirs)), "")
        raise ConfigurationError([f"{name}:{line}: not TOML" + (ours and f": {ours}")]) from None
    except RecursionError:
        raise ConfigurationError(
            [f"{name}: not TOML: lists or tables are nested too deep"]
        ) from None
    except ValueError:  # a number with more digits than Python allows
        raise ConfigurationError([f"{name}: not TOML: a number has too many digits"]) from None
