"""Audit records: one for every exchange, burn, upload, question and change, accepted or refused.

A record holds the claims that matter, the publisher, the projects, the reason and the first digits
of a token's hash, but never a token. The transport decides where it goes. ``docs/audit.md``
describes every event, and the tests validate every record against ``docs/audit.schema.json``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from pytp_broker.errors import Problem
from pytp_broker.redaction import legible
from pytp_broker.tokens import UploadToken

HASH_PREFIX_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One audit record: what happened.

    ``event`` and ``outcome`` come from small fixed sets, ``facts`` do not.

    Only the first two, and ``reason``, may label a metric.
    """

    event: str
    outcome: str
    reason: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)

    @property
    def labels(self) -> dict[str, str]:
        """Return what may label a metric."""
        return {"event": self.event, "outcome": self.outcome, "reason": self.reason}

    def document(self) -> dict[str, object]:
        """Return the record as it is written: facts are masked, and none replaces a label."""
        return {**{name: _fit(fact) for name, fact in self.facts.items()}, **self.labels}


Audit = Callable[[AuditRecord], None]


class Trail:
    """The facts of one request, gathered as they become known."""

    __slots__ = ("_event", "_facts")

    def __init__(self, event: str) -> None:
        self._event = event
        self._facts: dict[str, object] = {}

    def add(self, **facts: object) -> None:
        """Add facts; later ones replace earlier ones of the same name."""
        self._facts.update(facts)

    def add_token(self, token: UploadToken) -> None:
        """Add the beginning of an upload token's hash, which is all that may be recorded of it."""
        self.add(token_hash=token.hash[:HASH_PREFIX_DIGITS])

    def accepted(self) -> AuditRecord:
        """Return the record of a success."""
        return AuditRecord(self._event, "accepted", facts=dict(self._facts))

    def refused(self, problem: Problem) -> AuditRecord:
        """Return the record of a refusal."""
        facts = {**self._facts, "detail": problem.detail}
        if problem.operator_detail:
            facts["operator_detail"] = problem.operator_detail
        return AuditRecord(self._event, "refused", problem.reason, facts)


def _fit(fact: object) -> object:
    if isinstance(fact, str):
        return legible(fact)
    return [_fit(each) for each in fact] if isinstance(fact, list) else fact
