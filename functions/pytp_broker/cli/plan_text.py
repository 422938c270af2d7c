"""A plan as people read it: what changes, grouped by registry, and who gains or loses what."""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final

from pytp_broker.redaction import legible
from pytp_broker.storage.changes import Change, Difference, list_changes
from pytp_broker.storage.plan import SIGNS, Kind, Plan, Verb

NO_CHANGES: Final = "no changes"
_VERBS: Final = (Verb.ADD, Verb.CHANGE, Verb.REMOVE)
_FENCE: Final = re.compile("`{3,}")


def plan_lines(plan: Plan) -> list[str]:
    """Return the lines of a plan, without those of the main heading."""
    changes = list_changes(plan)
    if not changes:
        return [NO_CHANGES]
    lines = [line for group in _groups(changes) for line in group]
    return [*lines, "", summary(changes), *_prune_lines(changes)]


def count(changes: Sequence[Change]) -> dict[str, int]:
    """Return how many changes there are of each verb."""
    verbs = [change.step.verb for change in changes]
    return {verb.value: verbs.count(verb) for verb in _VERBS}


def summary(changes: Sequence[Change]) -> str:
    """Return the line that says how many changes there are."""
    return f"Plan: {', '.join(f'{n:,} to {verb}' for verb, n in count(changes).items())}."


def markdown(plan: Plan) -> list[str]:
    """Return a plan for a comment on a pull request, or for the summary of a job."""
    lines = [line for each in plan_lines(plan) for line in legible(each, len(each)).splitlines()]
    # A claim may have backticks, and must not end the block.
    fence = "`" * max(3, 1 + max(map(len, _FENCE.findall("\n".join(lines))), default=0))
    title = summary(list_changes(plan)) if plan.steps else "Plan: no changes."
    return [f"**{title}**", "", f"{fence}diff", *lines, fence]


def _prune_lines(changes: Sequence[Change]) -> list[str]:
    needing = sum(change.needs_prune for change in changes)
    if not needing:
        return []
    takes, needs = ("takes", "needs") if needing == 1 else ("take", "need")
    what = "a registry, or somebody's right to publish or read"
    return [f"{needing:,} of them {takes} away {what}, and {needs} --prune."]


def _groups(changes: Sequence[Change]) -> Iterator[list[str]]:
    for number, (registry, inside) in enumerate(groupby(changes, lambda each: each.registry)):
        first, *others = inside
        owner = f" (owner: {first.owner})" if first.owner else ""
        title = f"# registry {registry}{owner}" if registry else "# all registries"
        lines = [line for change in (first, *others) for line in _lines(change)]
        yield [*([""] if number else []), title, *lines]


def _lines(change: Change) -> Iterator[str]:
    step = change.step
    yield f"{SIGNS[step.verb]} {step.title}"
    yield from (f"    {_difference(each, step.verb)}" for each in change.differences)
    if step.verb is Verb.CHANGE and change.gains:
        yield f"    gains {', '.join(change.gains)}"
    if change.needs_prune or change.losses:
        yield f"    {_what_is_lost(change)}"
    if change.pins:
        pins = ", ".join(f"{name} = {_value(id_)}" for name, id_ in sorted(change.pins.items()))
        yield f"    {_fate_of_pins(change)}: {pins}"


def _difference(each: Difference, verb: Verb) -> str:
    if verb is Verb.ADD:
        return f"{each.name} = {_value(each.after)}"
    return f"{each.name}: {_value(each.before)} → {_value(each.after)}"


def _what_is_lost(change: Change) -> str:
    needed = " (needs --prune)" if change.needs_prune else ""
    match change.step.kind:
        case Kind.REGISTRY:
            lost = "the tokens that operators made for it end; its files stay"
        case Kind.READER:
            lost = "loses the right to read the registry"
        case _:
            lost = f"loses {', '.join(change.losses)}"
    return f"{lost}{needed}"


def _fate_of_pins(change: Change) -> str:
    if change.forgets_pins:
        return "pinned ids are forgotten"
    return "pinned ids stay" if change.step.after is None else "pinned ids carry over"


def _value(value: Any) -> str:  # noqa: ANN401 - any JSON type
    return "(none)" if value is None else json.dumps(value, ensure_ascii=False)
