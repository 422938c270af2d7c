"""Write `docs/audit.schema.json` and the reference part of `docs/audit.md` from the event classes.

Run `make audit-docs` after a change in `functions/pytp_broker/audit`. A test compares what is there
with what this would write.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Final, get_args, get_type_hints

from infra.audit_examples import EXAMPLES
from pytp_broker.audit import facts, findings, operations, requests
from pytp_broker.audit.facts import NARROWER_REASONS, Meaning
from pytp_broker.audit.operations import Operation
from pytp_broker.audit.record import AuditRecord, Event
from pytp_broker.errors import AlreadyStored, NotAcceptable, Problem, RangeNotSatisfiable
from pytp_broker.redaction import Legible

DOCS: Final = Path(__file__).parents[1] / "docs"
MARK: Final = "<!-- `make audit-docs` writes the rest of this page. -->\n"

# Only endpoints that read answer these codes, and what stands for the bucket: the completion of an
# upload leaves a record, and its bytes leave none.
_UNRECORDED: Final = {AlreadyStored.code, NotAcceptable.code, RangeNotSatisfiable.code}
_TIME: Final = "2026-11-22T12:00:00+00:00"
_TYPES: Final[Mapping[object, dict[str, Any]]] = {
    str: {"type": "string"},
    Legible: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer", "minimum": 0},
    Sequence[str]: {"type": "array", "items": {"type": "string"}},
}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an event or of every record: its type, its meaning, and whether it may be absent.

    ``kind`` is the type without the meaning and without None.
    """

    kind: object
    meaning: Meaning
    is_required: bool

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the field's value."""
        described = {"description": self.meaning.text}
        if self.meaning.pattern:
            described["pattern"] = self.meaning.pattern
        if self.kind in _TYPES:
            return _TYPES[self.kind] | described
        return {"enum": list(get_args(self.kind)), **described}


def read_field(hint: object) -> Field:
    """Return the field that a type from `facts` declares, alone or in a union with None."""
    alternatives = get_args(hint)
    is_required = NoneType not in alternatives
    annotated = hint if is_required else alternatives[0]
    kind, meaning = get_args(annotated)
    return Field(kind, meaning, is_required)


def read_fields(kind: type[Event]) -> dict[str, Field]:
    """Return the fields of an event class that not every event has."""
    hints = get_type_hints(kind, include_extras=True)
    common = get_type_hints(Event)
    return {name: read_field(hint) for name, hint in hints.items() if name not in common}


COMMON: Final = {
    "event": read_field(facts.EventName),
    "outcome": read_field(facts.Outcome),
    "reason": read_field(facts.Reason),
    "time": read_field(facts.Time | None),
    "message": read_field(facts.Message | None),
    "detail": read_field(facts.Detail | None),
    "operator_detail": read_field(facts.OperatorDetail | None),
}


def events() -> dict[str, list[type[Event]]]:
    """Return the classes of each event: the burn has two, for a holder and for an operator."""
    found: dict[str, list[type[Event]]] = {}
    for module in (requests, findings, operations):
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, Event) and hasattr(kind, "name"):
                found.setdefault(kind.name, []).append(kind)
    return found


def fields_of(kinds: Sequence[type[Event]]) -> dict[str, Field]:
    """Return the fields of an event's classes; required are those that each class requires."""
    each = [read_fields(kind) for kind in kinds]
    merged = {name: field for found in each for name, field in found.items()}
    return {
        name: Field(
            field.kind,
            field.meaning,
            all(name in found and found[name].is_required for found in each),
        )
        for name, field in merged.items()
    }


def describe(kinds: Sequence[type[Event]]) -> str:
    """Return what an event is, in a sentence for each of its classes."""
    return " ".join(str(kind.__doc__).partition("\n")[0] for kind in kinds)


# --- the schema -----------------------------------------------------------------------------------


def write_schema() -> str:
    """Return the JSON Schema of a record, as text."""
    every = {**COMMON, **{n: f for kinds in events().values() for n, f in fields_of(kinds).items()}}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Audit record of pytp-broker",
        "type": "object",
        "required": ["event"],
        "properties": {"event": {"enum": list(events())}},
        "allOf": [_event_schema(name, kinds) for name, kinds in events().items()],
        "$defs": {name: field.schema() for name, field in every.items()} | _enumerations(),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _event_schema(name: str, kinds: Sequence[type[Event]]) -> dict[str, Any]:
    known = COMMON | fields_of(kinds)
    properties: dict[str, Any] = {each: {"$ref": f"#/$defs/{each}"} for each in known}
    properties["event"] = {"const": name}
    properties["outcome"] = {"enum": list(kinds[0].outcomes)}
    then = {
        "description": describe(kinds),
        "required": [each for each, field in known.items() if field.is_required],
        "properties": properties,
        "additionalProperties": False,
    }
    return {"if": {"properties": {"event": {"const": name}}}, "then": then}


def _enumerations() -> dict[str, dict[str, Any]]:
    codes = sorted({problem.code for problem in _problems(Problem)} - _UNRECORDED)
    reason = COMMON["reason"].schema() | {"enum": ["", *codes, *NARROWER_REASONS]}
    time = COMMON["time"].schema() | {"format": "date-time"}
    return {"reason": reason, "time": time}


def _problems(kind: type[Problem]) -> Iterator[type[Problem]]:
    for child in kind.__subclasses__():
        yield child
        yield from _problems(child)


# --- the page -------------------------------------------------------------------------------------


def write_page(page: str) -> str:
    """Return the page, with its part after the mark as the classes have it."""
    written, mark, _ = page.partition(MARK)
    sections = [_section(name, kinds) for name, kinds in events().items()]
    return written + mark + "\n" + "\n".join([_common_section(), *sections])


def _common_section() -> str:
    reasons = "".join(f"| `{name}` | {text} |\n" for name, text in NARROWER_REASONS.items())
    return (
        "## Fields of every record\n\n"
        f"{_table(COMMON)}\n"
        "`reason` is a code of [errors.md](errors.md) or one of these:\n\n"
        f"| Reason | Meaning |\n|---|---|\n{reasons}\n"
        "The sections below list the other fields of each event.\n"
        "Fields in bold are always there; the others are there when they are known.\n"
    )


def _section(name: str, kinds: Sequence[type[Event]]) -> str:
    sentences = describe(kinds).replace(". ", ".\n")
    (example,) = (each for each in EXAMPLES if each.event == name)
    document = json.dumps(_document(example, kinds[0]), indent=2, ensure_ascii=False)
    table = _table(fields_of(kinds))
    return f"## {name}\n\n{sentences}\n\n{table}\n```json\n{document}\n```\n"


def _table(known: Mapping[str, Field]) -> str:
    rows = [
        f"| {f'**`{name}`**' if field.is_required else f'`{name}`'} | {field.meaning.text} |\n"
        for name, field in known.items()
    ]
    return "".join(["| Field | Meaning |\n|---|---|\n", *rows])


def _document(example: AuditRecord, kind: type[Event]) -> dict[str, Any]:
    time = {"time": _TIME} if issubclass(kind, Operation) else {}
    return {**time, **example.labels, **example.document()}


if __name__ == "__main__":
    page_path = DOCS / "audit.md"
    page_path.write_text(write_page(page_path.read_text()))
    (DOCS / "audit.schema.json").write_text(write_schema())
