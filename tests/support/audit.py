"""Check every audit record of the tests against `docs/audit.schema.json`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema

from pytp_broker.audit.record import AuditRecord

SCHEMA: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "docs" / "audit.schema.json").read_text()
)
_VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def check(document: Mapping[str, Any]) -> None:
    """Fail unless the document is as the schema says."""
    # What is written is JSON, whatever Python holds.
    _VALIDATOR.validate(json.loads(json.dumps(document)))


class Records(list[AuditRecord]):
    """Audit records; each is checked when it comes."""

    def append(self, record: AuditRecord) -> None:
        check(record.document())
        super().append(record)
