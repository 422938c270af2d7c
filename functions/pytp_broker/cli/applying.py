"""Make a store follow a configuration: make the plan, execute the approved one, keep records.

The plan that an operator approved is the plan that is executed. Both are made from the same
configuration, and the store hands its own plan to ``_Approval`` before the first write.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final

from pytp_broker.audit.operations import Apply, ConfigurationChange
from pytp_broker.audit.record import AuditRecord
from pytp_broker.cli.command import CommandError
from pytp_broker.cli.operator import Operator
from pytp_broker.cli.waiting import Progress, no_progress
from pytp_broker.errors import StoreUnavailable
from pytp_broker.redaction import MAX_SENTENCE_CHARACTERS, printable
from pytp_broker.storage.fingerprints import fingerprint
from pytp_broker.storage.plan import Kind, Plan, Step, Verb, make_plan

if TYPE_CHECKING:
    from pytp_broker.config import Loaded

# Other records may follow the last one of an `apply`; a search through all of them may take long.
_NEWEST_RECORDS: Final = 500


class RemovalError(CommandError):
    """A configuration would remove registries, publishers or readers without the option."""

    def __init__(self, losses: Iterable[str]) -> None:
        super().__init__(
            [
                "nothing was changed, because this configuration would remove:",
                *losses,
                "to remove them, run the command again with --prune",
            ]
        )


class OutdatedPlanError(CommandError):
    """The store has changed since the operator approved the plan."""

    def __init__(self) -> None:
        super().__init__(
            "nothing was changed, because the broker's configuration has changed since this plan "
            "was made; run the command again and look at the new plan"
        )


def plan_for(operator: Operator, loaded: "Loaded") -> Plan:
    """Return the plan that leads to a configuration; it needs no right to write."""
    present = operator.store.load_setup()
    return make_plan(present, loaded.configuration, loaded.publishers)


def apply(
    operator: Operator,
    loaded: "Loaded",
    *,
    prune: bool,
    approved: Plan | None = None,
    progress: Progress = no_progress,
) -> Plan:
    """Bring the store to a configuration, and store records of the changes.

    The first record says that the change begins, and the last one how it ended. The store keeps
    the records between, one or more for each change. If the command is interrupted, the last record
    is missing.
    Raises RemovalError if something would be removed without ``prune``, and OutdatedPlanError if
    the plan is not the ``approved`` one; then nothing is changed.
    """
    event = Apply(by=operator.name, configuration_sha256=loaded.sources.sha256)
    event.plan_sha256 = None if approved is None else fingerprint(approved)
    operator.record(event.begun())
    try:
        plan = _execute(operator, loaded, _Approval(approved, prune=prune), progress)
        event.plan_sha256 = event.plan_sha256 or fingerprint(plan)
    except RemovalError as error:
        operator.record(event.needs_prune(" ".join(error.lines)))
        raise
    except OutdatedPlanError as error:
        operator.record(event.outdated(" ".join(error.lines)))
        raise
    except StoreUnavailable as problem:
        with suppress(StoreUnavailable):  # then only the first record exists
            operator.record(event.refused(problem))
        raise
    operator.record(event.accepted())
    return plan


class _Approval:
    """Decides whether a store may execute the plan that it has made.

    If another ``apply`` interferes, the store asks again with the plan of what is left to do. That
    must be a part of the approved plan.
    """

    def __init__(self, approved: Plan | None, *, prune: bool) -> None:
        self._approved = approved
        self._prune = prune
        self._is_begun = False
        self.refusal: CommandError | None = None

    def __call__(self, plan: Plan) -> bool:
        self.refusal = self._refusal(plan)
        self._is_begun = self._is_begun or self.refusal is None
        return self.refusal is None

    def _refusal(self, plan: Plan) -> CommandError | None:
        if self._approved is not None and not self._is_same(plan, self._approved):
            return OutdatedPlanError()
        if plan.losses and not self._prune:
            return RemovalError([step.line for step in plan.losses])
        return None

    def _is_same(self, plan: Plan, approved: Plan) -> bool:
        if self._is_begun:
            return _changes(plan) <= _changes(approved)
        # To compare takes a moment, and fingerprints of many publishers take seconds. Only they
        # leave out pins, which a job may have made since.
        is_equal = (plan.present, plan.steps) == (approved.present, approved.steps)
        return is_equal or fingerprint(plan) == fingerprint(approved)


def _changes(plan: Plan) -> set[tuple[Verb, Kind, str]]:
    return {(step.verb, step.kind, step.key) for step in plan.steps}


def _execute(operator: Operator, loaded: "Loaded", approval: _Approval, progress: Progress) -> Plan:
    def describe(plan: Plan) -> Iterator[tuple[AuditRecord, datetime]]:
        for number, step in enumerate(plan.steps, 1):
            for record in _records(step, operator.name):
                yield record, datetime.now(UTC)
            progress(number, len(plan.steps))

    plan = operator.store.apply(loaded.configuration, loaded.publishers, approval, describe)
    if approval.refusal is not None:
        raise approval.refusal
    return plan


def _records(step: Step, by: str) -> Iterator[AuditRecord]:
    """Yield the records of a change; they keep all about a publisher, whose id others name."""
    line = step.line
    # Nearly every line is short, and `wrap` looks at each word of it.
    is_short = len(line) <= MAX_SENTENCE_CHARACTERS
    for part in [line] if is_short else wrap(line, MAX_SENTENCE_CHARACTERS):
        event = ConfigurationChange(by=by, change=part)
        if step.publisher is not None:
            event.publisher = step.publisher.publisher_id
            event.rules = step.publisher.list_rules()
        yield event.accepted()


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An ``apply`` without a record of its end: it was interrupted, or it still runs."""

    by: str
    began_at: datetime

    def sentence(self, cure: str) -> str:
        """Return what to tell an operator."""
        return (
            f"the last `apply`, by {printable(self.by)} at {self.began_at:%Y-%m-%d %H:%M} UTC, did "
            f"not finish, or is still running; {cure}"
        )


def find_unfinished(operator: Operator) -> Unfinished | None:
    """Return the last ``apply`` if it did not finish, as far as the newest records tell."""
    for record in operator.store.newest_operator_records(_NEWEST_RECORDS):
        event, outcome = record.get("event"), record.get("outcome")
        # After the records of changes comes the one that says how the `apply` ended.
        if event == ConfigurationChange.name or (event == Apply.name and outcome == "begun"):
            return _unfinished(record)
        if event == Apply.name:
            return None
    return None


def _unfinished(record: Mapping[str, Any]) -> Unfinished:
    return Unfinished(record["by"], datetime.fromisoformat(record["time"]).astimezone(UTC))
