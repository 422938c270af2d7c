"""A plan as a JSON document: what ``plan --json`` prints, and the file that ``plan --out`` saves.

``apply --plan`` executes nothing that is in such a file. It makes the plan again, from the
configuration and the store, and requires that this is the plan in the file.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pytp_broker import __version__
from pytp_broker.cli.command import CommandError
from pytp_broker.cli.listing import json_of
from pytp_broker.cli.operator import Operator
from pytp_broker.cli.plan_text import count
from pytp_broker.redaction import printable
from pytp_broker.storage.changes import Change, list_changes, members_of
from pytp_broker.storage.fingerprints import state_of, wish_of
from pytp_broker.storage.plan import Part, Plan
from pytp_broker.strict_json import parse_json
from pytp_broker.trust.publishers import TrustedPublisher

if TYPE_CHECKING:
    from pytp_broker.config import Loaded

# Another number means that an older command cannot tell whether it has the same plan.
FORMAT: Final = 1
# A plan that adds 100,000 publishers has 90 MB. A device never ends.
MAX_PLAN_BYTES: Final = 256 * 1024 * 1024

Document: TypeAlias = Mapping[str, Any]

_NOT_COMPARED: Final = frozenset({"made_by", "made_at"})
_AGAIN: Final = "run `plan` again, and `apply` the plan that it makes"


def plan_document(
    plan: Plan, loaded: "Loaded", operator: Operator, made_at: datetime
) -> dict[str, Any]:
    """Return a plan with the fingerprints of what it was made from."""
    changes = list_changes(plan)
    return {
        "format": FORMAT,
        "made_by": f"pytp-broker {__version__}",
        "made_at": made_at.astimezone(UTC).isoformat(timespec="seconds"),
        "broker": operator.place,
        "state_sha256": state_of(plan.present),
        "configuration_sha256": wish_of(loaded.configuration, loaded.publishers),
        "needs_prune": bool(plan.losses),
        "summary": count(changes),
        "steps": [_step(change) for change in changes],
    }


def _step(change: Change) -> dict[str, Any]:
    step = change.step
    return {
        "verb": step.verb.value,
        "kind": step.kind.value,
        "key": step.key,
        "title": step.title,
        "registry": change.registry or None,
        "owner": change.owner or None,
        "before": _part(step.before),
        "after": _part(step.after),
        "gains": list(change.gains),
        "losses": list(change.losses),
        "needs_prune": change.needs_prune,
        "pins": dict(sorted(change.pins.items())),
    }


def _part(part: Part | None) -> dict[str, Any] | None:
    if part is None:
        return None
    members = members_of(part)
    if isinstance(part, TrustedPublisher):
        return {**members, "provider": part.provider.name, "projects": sorted(part.projects)}
    return members


def save(document: Document, path: Path) -> None:
    """Write a plan into a file that its owner alone may read; raise CommandError."""
    text = json.dumps(json_of(document), indent=2)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{text}\n")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise CommandError(f"cannot write the plan: {_reason(error)}") from None


def read(path: Path) -> Document:
    """Return the plan in a file; raise CommandError."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_PLAN_BYTES + 1)
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot read the plan: {_reason(error)}") from None
    if len(content) > MAX_PLAN_BYTES:
        limit = MAX_PLAN_BYTES // 1024**2
        raise CommandError(f"{path} has more than {limit} MiB, so it is not a plan; {_AGAIN}")
    return _parse(content, path)


def _reason(error: Exception) -> str:
    strerror = getattr(error, "strerror", None)
    return f"{strerror}: {error.filename}" if isinstance(error, OSError) else str(strerror or error)


def _parse(content: bytes, path: Path) -> Document:
    try:
        document = parse_json(content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or type(document.get("format")) is not int:
        raise CommandError(f"{path} is not a plan that `plan --out` has saved; {_AGAIN}")
    if document["format"] != FORMAT:
        maker = printable(str(document.get("made_by", "another version")))
        raise CommandError(
            f"{path} is a plan in format {document['format']}, by {maker}, and this version reads "
            f"format {FORMAT}; use the version that made it, or {_AGAIN}"
        )
    return document


@dataclass(frozen=True, slots=True)
class Saved:
    """A plan that was saved in a file."""

    document: Document

    def check(self, current: Document, now: datetime) -> None:
        """Check that this is the plan that leads from here; raise CommandError if it is not.

        ``current`` is the plan that was made now, from the store and the configuration.
        """
        mine, age = self.document, self._age(now)
        if mine.get("broker") != current["broker"]:
            place = printable(str(mine.get("broker")))
            self._refuse(f"the plan was made for {place}, and this is {current['broker']}")
        if mine.get("configuration_sha256") != current["configuration_sha256"]:
            self._refuse(f"the plan{age} was made for another configuration than this one")
        if mine.get("state_sha256") != current["state_sha256"]:
            self._refuse(f"the broker's configuration has changed since the plan{age} was made")
        if _compared(mine) != _compared(json_of(current)):
            self._refuse("the plan in the file is not what this configuration changes here")

    def _refuse(self, why: str) -> None:
        raise CommandError(f"nothing was changed: {why}; {_AGAIN}")

    def _age(self, now: datetime) -> str:
        try:
            minutes = (now - datetime.fromisoformat(self.document["made_at"])).total_seconds() // 60
        except (KeyError, TypeError, ValueError):
            return ""
        if minutes < 1:
            return ", which is less than a minute old,"
        noun = "minute" if minutes < 2 else "minutes"  # noqa: PLR2004 - whole minutes
        return f", which is {int(minutes):,} {noun} old,"


def _compared(document: Document) -> Any:  # noqa: ANN401 - what the file has
    """Return what must be equal: all but who made the plan, when, and pins.

    A job may have pinned ids since, and every plan keeps them.
    """
    steps = document.get("steps")
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        return None
    kept = [{name: value for name, value in step.items() if name != "pins"} for step in steps]
    others = {name: value for name, value in document.items() if name not in _NOT_COMPARED}
    return others | {"steps": kept}
