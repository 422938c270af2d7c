"""What a check finds: flaws with a name and a cure, or that all is well, and why it cannot tell."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self


class Outcome(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    NOT_CHECKED = "not-checked"


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something that a check can find. Its name never changes, because scripts compare it.

    ``cure`` is what to do or to run next. It may have placeholders, such as ``{target}``: the
    runner knows the options that name the broker, and the check the rest.
    """

    name: str
    cure: str
    outcome: Outcome = Outcome.FAULT

    def found(self, seen: str, **names: str) -> "Finding":
        """Return the finding that this is so, with what was seen."""
        return Finding(self.name, self.outcome, seen, self.cure, names)


def warning(name: str, cure: str) -> Flaw:
    """Return a flaw that the broker works with for now."""
    return Flaw(name, cure, Outcome.WARNING)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check has found. ``name`` is the flaw's, or the check's own if nothing is wrong."""

    name: str
    outcome: Outcome
    seen: str
    cure: str = ""
    names: Mapping[str, str] = field(default_factory=dict)

    def named(self, check: str, names: Mapping[str, str]) -> Self:
        """Return the finding of a check, with its placeholders filled in."""
        known = _Names({**names, **self.names})
        return type(self)(
            self.name or check, self.outcome, self.seen, self.cure.format_map(known), self.names
        )


class _Names(dict[str, str]):
    """Names for placeholders; one that nobody knows stays, in capitals."""

    def __missing__(self, name: str) -> str:
        return name.upper()


def well(seen: str) -> Finding:
    """Return the finding that nothing is wrong."""
    return Finding("", Outcome.OK, seen)


class NotCheckedError(Exception):
    """A check cannot tell; the text says why, and which right or option is missing."""


def not_checked(name: str, why: str) -> Finding:
    """Return the finding that a check cannot tell."""
    return Finding(name, Outcome.NOT_CHECKED, why)
