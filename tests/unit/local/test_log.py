"""The local server's log."""

import io
import json
import logging
import sys

import pytest

from pytp_broker.audit.record import AuditRecord, Fact
from pytp_broker.local import log


def test_an_audit_record_is_one_line_that_its_facts_cannot_forge() -> None:
    stream = io.StringIO()
    facts: dict[str, Fact] = {"event": "burn", "outcome": "accepted\n", "x": 1}
    record = AuditRecord("exchange", "refused", "invalid-token", facts, "exchange refused")

    log.Log(stream).audit(record)

    [line] = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (line["event"], line["outcome"], line["reason"], line["x"]) == (
        "exchange",
        "refused",
        "invalid-token",
        1,
    )


class Full(io.StringIO):
    """A log on a full disk."""

    def write(self, _: str) -> int:
        raise OSError("the disk is full")


def test_a_line_that_cannot_be_written_is_lost_and_nothing_else() -> None:
    full = log.Log(Full())

    full.write("access")
    full.fault(ValueError())


def test_what_an_audit_record_is_about_fails_with_it() -> None:
    with pytest.raises(OSError, match="full"):
        log.Log(Full()).audit(AuditRecord("exchange", "accepted", "", {}, ""))


def test_what_a_library_logs_of_an_exception_is_not_its_text() -> None:
    stream = io.StringIO()
    handler = log._Warnings(log.Log(stream))
    try:
        raise ValueError("secret")
    except ValueError:
        facts = sys.exc_info()

    handler.handle(logging.LogRecord("x", logging.ERROR, "", 0, "failed", (), facts))

    assert json.loads(stream.getvalue())["error"] == "ValueError"
    assert "secret" not in stream.getvalue()
