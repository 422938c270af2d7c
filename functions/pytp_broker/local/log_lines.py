"""The two forms of a line of the log: JSON for a program, or a sentence for a person.

A sentence has the time (UTC, as in audit records), the level, what happened, and the facts that an
operator asks for next. Nothing of a request can start another line, move the cursor or colour it.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any, Final, TextIO

from pytp_broker.redaction import legible

JSON: Final = "json"
TEXT: Final = "text"

# Returns a line, without its end, from its facts; `time` and `event` are always there.
Form = Callable[[Mapping[str, Any]], str]

_write: Final = json.JSONEncoder(default=str).encode

_INFO, _WARNING, _ERROR = "INFO", "WARN", "ERROR"
_COLOURS: Final = {_INFO: "\x1b[32m", _WARNING: "\x1b[33m", _ERROR: "\x1b[31m"}
_DIM: Final = "\x1b[2m"
_PLAIN: Final = "\x1b[0m"
_WARNINGS: Final = frozenset({"warning", "refused"})
# An answer with this status or a higher one is ours to look at.
_FAILED: Final = 500
# A line that is longer is hard to read; JSON has everything.
_MAX_CHARACTERS: Final = 1000
# Members that a sentence has in its own words, or that say nothing to a person.
_TOLD: Final = frozenset({"time", "event", "outcome", "message", "by", "detail"})


def form_for(name: str | None, stream: TextIO) -> Form:
    """Return the form of this name; without one, a terminal gets sentences and all else JSON."""
    is_terminal = stream.isatty()
    if (name or (TEXT if is_terminal else JSON)) == JSON:
        return write_json
    return Sentences(is_coloured=is_terminal and _wants_colours())


def _wants_colours() -> bool:
    """Say whether a terminal gets colours (https://no-color.org)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def write_json(facts: Mapping[str, Any]) -> str:
    """Return the facts as one line of JSON."""
    return _write(facts)


class Sentences:
    """The form for a person at a terminal."""

    def __init__(self, *, is_coloured: bool = False) -> None:
        self._is_coloured = is_coloured

    def __call__(self, facts: Mapping[str, Any]) -> str:
        """Return a line."""
        level = _level_of(facts)
        # "2026-11-29T12:00:00.123+00:00" without what is the same in every line.
        time = str(facts["time"])[:19].replace("T", " ")
        said = legible(_sentence(facts), _MAX_CHARACTERS)
        if not self._is_coloured:
            return f"{time} {level:<5} {said}"
        return f"{_DIM}{time}{_PLAIN} {_COLOURS[level]}{level:<5}{_PLAIN} {said}"


def _level_of(facts: Mapping[str, Any]) -> str:
    event, status = facts["event"], facts.get("status")
    if event == "fault" or (isinstance(status, int) and status >= _FAILED):
        return _ERROR
    is_refused = facts.get("outcome") == "refused"
    return _WARNING if is_refused or event in _WARNINGS else _INFO


def _sentence(facts: Mapping[str, Any]) -> str:
    tell = _SENTENCES.get(facts["event"])
    return _tell_any(facts) if tell is None or "outcome" in facts else tell(facts)


def _tell_access(facts: Mapping[str, Any]) -> str:
    request = f"{facts['method']} {facts['path']}"
    return f"{request}: {facts['status']} in {facts['milliseconds']} ms{_from(facts)}"


def _tell_refusal(facts: Mapping[str, Any]) -> str:
    connections = "a connection" if facts["count"] == 1 else f"{facts['count']} connections"
    return f"closed {connections}{_from(facts)}: {facts['reason']}"


def _tell_fault(facts: Mapping[str, Any]) -> str:
    """Name the innermost place first; the others say how we came there."""
    places = [_short(frame) for frame in reversed(facts["traceback"])]
    return " < ".join([f"unexpected {facts['error']}", *places])


def _short(frame: str) -> str:
    """Return a line of a traceback with the file's name instead of its path."""
    path, _, function = frame.rpartition(" ")
    return f"{PurePath(path).name} {function}"


def _tell_any(facts: Mapping[str, Any]) -> str:
    """Return the message with where it comes from; without a message, every fact."""
    message = facts.get("message")
    if message is None:
        named = [f"{name}={_show(fact)}" for name, fact in facts.items() if _is_news(name, fact)]
        outcome = f" {facts['outcome']}" if "outcome" in facts else ""
        by = f" by {facts['by']}" if "by" in facts else ""
        return f"{facts['event']}{outcome}{by}: {' '.join(named)}"
    by = f"{facts['by']}: " if "by" in facts else ""
    reason = facts.get("operator_detail")
    return f"{by}{message}{f' ({reason})' if reason else ''}{_from(facts)}"


def _is_news(name: str, fact: object) -> bool:
    return name not in _TOLD and fact != ""


def _show(fact: object) -> str:
    return ",".join(map(str, fact)) if isinstance(fact, list | tuple) else str(fact)


def _from(facts: Mapping[str, Any]) -> str:
    address = facts.get("source_ip")
    return f", from {address}" if address else ""


_SENTENCES: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "access": _tell_access,
    "refused": _tell_refusal,
    "fault": _tell_fault,
}
