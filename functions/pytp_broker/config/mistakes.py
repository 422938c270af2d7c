"""Mistakes in a configuration, with the path and the entry that each one is in.

Operators count from one, and some have 200 publishers. So every line names the registry and the
projects.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pytp_broker.config.positions import KeyPath
from pytp_broker.redaction import printable

_MAX_KEY_CHARACTERS: Final = 60
_MAX_PROJECTS: Final = 3
# A user name and a password in a URL.
_PASSWORD: Final = re.compile("//[^/]*@")
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")


class ConfigurationError(Exception):
    """The configuration is refused; ``lines`` name each mistake with its dotted path."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)


@dataclass(frozen=True, slots=True)
class Mistake:
    """A mistake in the value at a path, or a remark on it."""

    path: KeyPath
    text: str


def dotted(path: KeyPath) -> str:
    """Return a path as operators write it: dots between keys, and lists counted from one."""
    parts = (f"[{part + 1}]" if isinstance(part, int) else f".{_shown(part)}" for part in path)
    return "".join(parts).removeprefix(".")


def _shown(key: str) -> str:
    text = printable(key, _MAX_KEY_CHARACTERS)
    return text if _BARE_KEY.fullmatch(text) else f'"{text}"'


def has_password(text: str) -> bool:
    """Say whether a text is a URL with a user name, and perhaps with a password."""
    return _PASSWORD.search(text) is not None


def describe(document: Mapping[str, Any], path: KeyPath) -> str:
    """Return the entry that a path is in, such as a registry or a team, or an empty text."""
    match path:
        case ("registries", int() as number, "publishers", int() as place, *_):
            registry = _entry(document, "registries", number)
            return _publisher(_entry(registry, "publishers", place), place, registry)
        case ("registries", int() as number, "readers", int() as place, *_):
            registry = _entry(document, "registries", number)
            return f"reader {place + 1}{_named(' of registry', registry, 'name')}"
        case ("registries", int() as number, *_):
            return _named("registry", _entry(document, "registries", number), "name")
        case ("teams", int() as number, *_):
            return _named("team", _entry(document, "teams", number), "name")
        case ("issuers", int() as number, *_):
            return _named("issuer", _entry(document, "issuers", number), "url")
        case _:
            return ""


def _entry(document: Mapping[str, Any], key: str, number: int) -> Mapping[str, Any]:
    entries = document.get(key)
    entry = entries[number] if isinstance(entries, list) and number < len(entries) else None
    return entry if isinstance(entry, dict) else {}


def _named(kind: str, entry: Mapping[str, Any], key: str) -> str:
    name = entry.get(key)
    if not isinstance(name, str) or has_password(name):
        return ""
    return f"{kind} `{printable(name, _MAX_KEY_CHARACTERS)}`"


def _publisher(entry: Mapping[str, Any], place: int, registry: Mapping[str, Any]) -> str:
    owner = _named(" of registry", registry, "name")
    projects = entry.get("projects")
    texts = [p for p in projects if isinstance(p, str)] if isinstance(projects, list) else []
    names = [text for text in texts if not has_password(text)]
    shown = [printable(name, _MAX_KEY_CHARACTERS) for name in names[:_MAX_PROJECTS]]
    more = ["…"] if len(names) > _MAX_PROJECTS else []
    return f"publisher {place + 1}{owner}" + (f": {', '.join(shown + more)}" if shown else "")
