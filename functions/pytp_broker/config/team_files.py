"""Read the files of teams, and add what they may say to the registries that the teams own.

The main file says which team owns which registry, and in which files the team writes. A team's file
may come from a repository where others review, so it must not be able to do more than this: add
publishers and readers to the team's own registries. Issuers, host names, switches, teams and every
other setting of a registry stay in the main file.

Files are on this machine and in the folder of the file that names them. A team's file names no
further files, so nothing is included by way of another file.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pytp_broker.config.mistakes import ConfigurationError, dotted
from pytp_broker.config.positions import KeyPath
from pytp_broker.config.sources import Source, Sources, read_source
from pytp_broker.redaction import printable

MAX_TEAM_FILES: Final = 1000
# A configuration of half a million publishers.
MAX_TEAM_CHARACTERS: Final = 64 * 1024 * 1024

_TEAMS_KEYS: Final = ("publishers", "readers")
_ALLOWED: Final = "`name`, `publishers` and `readers`"
_URL: Final = re.compile("[A-Za-z][A-Za-z0-9+.-]*://|git@")


def join_team_files(sources: Sources) -> None:
    """Add the files that the main files name for teams; raise ConfigurationError."""
    finder, lines = _Finder(sources), list[str]()
    joined: list[tuple[str, Source]] = []
    for team, place, path in finder.find():
        try:
            joined.append((team, _read(path, place, joined_size(joined))))
        except ConfigurationError as error:
            lines += error.lines
    lines += finder.mistakes
    for team, source in joined:
        lines += _join(sources, team, source)
    if lines:
        raise ConfigurationError(lines)


def joined_size(joined: list[tuple[str, Source]]) -> int:
    """Return how many characters the files have that were read so far."""
    return sum(len(source.text) for _, source in joined)


def _read(path: Path, place: str, size: int) -> Source:
    if not path.is_file():  # a device or a pipe may never end
        raise ConfigurationError([f"{place}: `{printable(str(path))}` is not a file"])
    if size > MAX_TEAM_CHARACTERS:
        limit = MAX_TEAM_CHARACTERS // 1024**2
        raise ConfigurationError([f"{place}: the files of the teams have more than {limit} MiB"])
    return read_source(path)


class _Finder:
    """Finds the files of teams, and the mistakes in how they are named."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self.mistakes: list[str] = []
        mains = (Path(s.name) for s in sources.files if s.folder is not None)
        self._seen = {path.resolve(): f"the file `{path}`" for path in mains}

    def find(self) -> Iterator[tuple[str, str, Path]]:
        """Yield the team, the place that names the file, and the file."""
        count = 0
        for team, path, text in _includes(self._sources.document):
            source, local = self._sources.locate(path)
            place = f"{source.place(local)}: {dotted(local)}"
            for file in self._files(text, source.folder, place):
                count += 1
                if count > MAX_TEAM_FILES:
                    self.mistakes.append(f"{place}: there are more than {MAX_TEAM_FILES} files")
                    return
                yield team, place, file

    def _files(self, text: str, folder: Path | None, place: str) -> Iterator[Path]:
        why = _explain_name(text) if folder is not None else "only a file may name other files"
        if why or folder is None:
            self._refuse(place, text, why)
            return
        found = sorted(folder.glob(text)) if "*" in text else [folder / text]
        if not found:
            self._refuse(place, text, "matches no file")
        for path in found:
            why = self._explain_file(path, folder)
            if why:
                self._refuse(place, str(path), why)
            else:
                yield path

    def _explain_file(self, path: Path, folder: Path) -> str:
        """Return why a file may not be read; empty if it may."""
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError) as error:  # RuntimeError: symbolic links in a circle
            return f"cannot be found: {getattr(error, 'strerror', None) or 'links in a circle'}"
        if not real.is_relative_to(folder.resolve()):
            return "leads out of the folder of this file, by a symbolic link"
        if real in self._seen:
            return f"is read already, for {self._seen[real]}"
        self._seen[real] = f"`{path}`"
        return ""

    def _refuse(self, place: str, text: str, why: str) -> None:
        self.mistakes.append(f"{place}: `{printable(text)}` {why}")


def _includes(document: Mapping[str, Any]) -> Iterator[tuple[str, KeyPath, str]]:
    """Yield each file that is named for a team; the model finds what is no text."""
    teams = document.get("teams")
    for i, team in enumerate(teams if isinstance(teams, list) else []):
        if not isinstance(team, dict) or not isinstance(team.get("name"), str):
            continue
        included = team.get("include")
        for j, text in enumerate(included if isinstance(included, list) else []):
            if isinstance(text, str) and text.strip():
                yield team["name"].strip(), ("teams", i, "include", j), text.strip()


def _explain_name(text: str) -> str:
    """Return why a text cannot name files of a team; empty if it can."""
    parts = text.replace("\\", "/").split("/")
    if _URL.match(text):
        return "is a URL: check the repository out, and name a file in it"
    if "\0" in text:
        return "is not the name of a file"
    if text.startswith(("/", "\\", "~")) or parts[0].endswith(":"):
        return "must be relative to the folder of this file"
    if ".." in parts:
        return "must stay in the folder of this file: it has `..`"
    if "**" in text or {*text} & {*"?["}:
        return "may have `*` for a part of one name, and no other wildcard"
    return ""


# --- what a team's file may say -------------------------------------------------------------------


def _join(sources: Sources, team: str, source: Source) -> Iterator[str]:
    """Add a team's file to the configuration; yield a line for each mistake."""
    sources.join(source)
    yield from (
        _line(
            source,
            (key,),
            f"belongs in the main file; a file of team `{team}` may have `[[registries]]` alone",
        )
        for key in source.document
        if key != "registries"
    )
    entries = source.document.get("registries", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        yield _line(source, ("registries",), "is not a list of tables: write `[[registries]]`")
        return
    for number, entry in enumerate(entries):
        mistakes = list(_check_entry(sources, team, source, number, entry))
        if not mistakes:
            _join_entry(sources, source, number, entry)
        yield from mistakes


def _check_entry(
    sources: Sources, team: str, source: Source, number: int, entry: Mapping[str, Any]
) -> Iterator[str]:
    path = ("registries", number)
    why = _explain_owner(sources, team, entry.get("name"))
    if why:
        yield _line(source, (*path, "name"), why)
    for key, value in entry.items():
        if key in _TEAMS_KEYS and not isinstance(value, list):
            text = f"is not a list of tables: write `[[registries.{key}]]` above each"
            yield _line(source, (*path, key), text)
        elif key not in {"name", *_TEAMS_KEYS}:
            text = f"belongs in the main file; a file of team `{team}` may have {_ALLOWED} alone"
            yield _line(source, (*path, key), text)


def _explain_owner(sources: Sources, team: str, name: object) -> str:
    """Return why a team may not write about a registry; empty if it may."""
    if not isinstance(name, str):
        return "missing; write the name of a registry that the main file has"
    registry = _find(sources, name)
    shown = printable(name)
    if registry is None:
        return (
            f"the main file has no registry `{shown}`; its operator adds one, with "
            f'`owner = "{team}"`'
        )
    owner = sources.document["registries"][registry].get("owner")
    if owner != team:
        whose = f"team `{printable(owner)}`" if isinstance(owner, str) else "no team"
        return f"the registry `{shown}` belongs to {whose}, and this is a file of team `{team}`"
    return ""


def _join_entry(sources: Sources, source: Source, number: int, entry: Mapping[str, Any]) -> None:
    registry = _find(sources, entry["name"])
    assert registry is not None  # noqa: S101 - it was checked
    for key in _TEAMS_KEYS:
        if key in entry:
            sources.join_entry(source, number, registry, key)


def _find(sources: Sources, name: str) -> int | None:
    entries = sources.document.get("registries")
    for number, entry in enumerate(entries if isinstance(entries, list) else []):
        if isinstance(entry, dict) and entry.get("name") == name:
            return number
    return None


def _line(source: Source, path: KeyPath, text: str) -> str:
    return f"{source.place(path)}: {dotted(path)}: {text}"
