"""An event that is filled in while a request is answered, and the record made from it.

A record holds the claims that matter, the publisher, the projects, the reason and the first digits
of a token's hash, but never a token. The transport decides where it goes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import ClassVar, Final, TypeAlias

from pytp_broker.audit.facts import (
    Detail,
    EventName,
    Message,
    OperatorDetail,
    Outcome,
    Reason,
)
from pytp_broker.errors import Problem
from pytp_broker.redaction import Legible, legible

HASH_PREFIX_DIGITS: Final = 12
MAX_MESSAGE_CHARACTERS: Final = 400

# A bool is an int: also whether something is so.
Fact: TypeAlias = str | int | list[str]


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One audit record: what happened, with every text made safe to show.

    ``event``, ``outcome`` and ``reason`` come from small fixed sets, so they may label a metric.
    ``facts`` do not. ``message`` says the same as a sentence, for the people who read the log.
    """

    event: EventName
    outcome: Outcome
    reason: Reason
    facts: Mapping[str, Fact]
    message: Message

    @property
    def labels(self) -> dict[str, str]:
        """Return the members that may label a metric."""
        return {"event": self.event, "outcome": self.outcome, "reason": self.reason}

    def document(self) -> dict[str, Fact]:
        """Return the record as it is written."""
        return {**self.facts, **self.labels}


Audit = Callable[[AuditRecord], None]


@dataclass(slots=True, kw_only=True)
class Event:
    """Base of all events. A field is None until it is known, and then it is not recorded."""

    name: ClassVar[str]
    outcomes: ClassVar[tuple[Outcome, ...]] = ("accepted", "refused")

    detail: Detail | None = None
    operator_detail: OperatorDetail | None = None

    def subject(self) -> str:
        """Return what the event is about, for the message; empty if nothing is known."""
        return ""

    def accepted(self) -> AuditRecord:
        """Return the record of a success."""
        return self.record("accepted")

    def refused(self, problem: Problem) -> AuditRecord:
        """Return the record of a refusal."""
        return self.record("refused", problem.reason, problem.detail, problem.operator_detail)

    def record(
        self, outcome: Outcome, reason: str = "", detail: str = "", operator_detail: str = ""
    ) -> AuditRecord:
        """Return the record of an outcome; its texts are masked here and nowhere else."""
        self.detail, self.operator_detail = detail or None, operator_detail or None
        shown = {
            each.name: _show(fact)
            for each in fields(self)
            if (fact := getattr(self, each.name)) is not None
        }
        parts = (f"{self.name} {outcome}", reason, self.subject(), detail)
        message = legible(": ".join(filter(None, parts)), MAX_MESSAGE_CHARACTERS)
        return AuditRecord(self.name, outcome, reason, shown, message)


def hash_prefix(token_hash: str) -> str:
    """Return the beginning of an upload token's hash, which is all that a record shows of it."""
    return token_hash[:HASH_PREFIX_DIGITS]


def _show(fact: str | int | Sequence[str]) -> Fact:
    if isinstance(fact, Legible | int):
        return fact
    return legible(fact) if isinstance(fact, str) else [_show_text(each) for each in fact]


def _show_text(text: str) -> Legible:
    return text if isinstance(text, Legible) else legible(text)
