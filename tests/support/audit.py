"""Check every audit record of the tests against `docs/audit.schema.json`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jsonschema

from pytp_broker.audit.record import AuditRecord

SCHEMA: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "docs" / "audit.schema.json").read_text()
)


def _resolved(part: Any) -> Any:
    """Return a part of the schema with the definitions themselves in the place of references."""
    if isinstance(part, list):
        return [_resolved(each) for each in part]
    if not isinstance(part, dict):
        return part
    if part.keys() == {"$ref"}:
        return _resolved(SCHEMA["$defs"][part["$ref"].removeprefix("#/$defs/")])
    return {name: _resolved(each) for name, each in part.items()}


# Tests check thousands of records. The schema of one event, without references, takes a fifth of
# the time of the whole schema, which first asks for each event whether the record is of it.
_WHOLE: Final = jsonschema.Draft202012Validator(SCHEMA)
_OF_EVENT: Final = {
    branch["if"]["properties"]["event"]["const"]: jsonschema.Draft202012Validator(
        _resolved(branch["then"])
    )
    for branch in SCHEMA["allOf"]
}


def check(document: Mapping[str, Any]) -> None:
    """Fail unless the document is as the schema says."""
    # What is written is JSON, whatever Python holds.
    _OF_EVENT.get(document.get("event"), _WHOLE).validate(json.loads(json.dumps(document)))


class Records(list[AuditRecord]):
    """Audit records; each is checked when it comes."""

    def append(self, record: AuditRecord) -> None:
        check(record.document())
        super().append(record)
