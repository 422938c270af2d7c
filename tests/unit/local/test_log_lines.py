"""A line of the server's log for a person, and which form a stream gets."""

import io
import json
from typing import Any

import pytest

from pytp_broker.audit.record import AuditRecord
from pytp_broker.local.log import Log
from pytp_broker.local.log_lines import JSON, TEXT, Sentences, form_for, write_json

TIME = "2026-11-29T12:00:00.123+00:00"
TOKEN = "pytp_" + "a1B2c3D4e5" * 7 + "x"


class Terminal(io.StringIO):
    """A stream that a person looks at."""

    def isatty(self) -> bool:
        return True


def told(**facts: Any) -> str:
    line = Sentences()({"time": TIME, **facts})
    assert line.startswith("2026-11-29 12:00:00 ")
    return line.removeprefix("2026-11-29 12:00:00 ")


def access(**facts: Any) -> str:
    request = {"method": "GET", "path": "/acme/simple/", "status": 200, "milliseconds": 3}
    return told(event="access", source_ip="192.0.2.1", **(request | facts))


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    return Terminal()


def test_a_request_is_one_sentence() -> None:
    assert access() == "INFO  GET /acme/simple/: 200 in 3 ms, from 192.0.2.1"


@pytest.mark.parametrize(("status", "level"), [(200, "INFO"), (404, "INFO"), (503, "ERROR")])
def test_a_failure_of_ours_is_an_error_and_a_refusal_has_a_record_of_its_own(
    status: int, level: str
) -> None:
    assert access(status=status).split()[0] == level


def test_a_refused_exchange_is_a_warning_with_its_reason() -> None:
    line = told(
        event="exchange",
        outcome="refused",
        reason="invalid-publisher",
        message="exchange refused: invalid-publisher: octo-org/widgets",
        operator_detail="claim `environment` is `staging`",
        source_ip="192.0.2.1",
    )

    assert line == (
        "WARN  exchange refused: invalid-publisher: octo-org/widgets "
        "(claim `environment` is `staging`), from 192.0.2.1"
    )


def test_closed_connections_are_counted() -> None:
    once = told(event="refused", source_ip="192.0.2.1", reason="silent", count=1)
    often = told(event="refused", source_ip="192.0.2.1", reason="silent", count=7)

    assert once == "WARN  closed a connection, from 192.0.2.1: silent"
    assert often == "WARN  closed 7 connections, from 192.0.2.1: silent"


def test_a_fault_names_the_innermost_place_first() -> None:
    line = told(event="fault", error="KeyError", traceback=["/x/gateway.py:1 run", "/y/a.py:2 go"])

    assert line == "ERROR unexpected KeyError < a.py:2 go < gateway.py:1 run"


def test_what_an_operator_did_is_told_with_all_its_facts() -> None:
    line = told(event="token-burn", outcome="accepted", by="dana", reason="", projects=["a", "b"])

    assert line == "INFO  token-burn accepted by dana: projects=a,b"


def test_a_change_without_an_outcome_is_told_too() -> None:
    assert told(event="configuration", change="+ registry acme") == (
        "INFO  configuration: change=+ registry acme"
    )


def test_a_remark_says_where_it_comes_from() -> None:
    assert told(event="warning", by="reload", message="it stays") == "WARN  reload: it stays"


@pytest.mark.parametrize("hostile", ["\n", "\r", "\x1b[31m", "\x9b", "\u202e", "\u2028", "\x08"])
def test_nothing_in_a_fact_reaches_the_terminal_as_a_control(hostile: str) -> None:
    for line in (
        access(path=f"/x{hostile}y"),
        told(event="warning", by=f"x{hostile}", message=f"a{hostile}b"),
        told(event="exchange", outcome="refused", message="m", operator_detail=hostile),
        told(event=f"x{hostile}y", change=hostile),
    ):
        assert line.isprintable()


def test_a_line_shows_no_token_and_ends() -> None:
    line = told(event="warning", by="x", message=f"{TOKEN} " + "a b " * 1000)

    assert TOKEN not in line
    assert len(line) < 1100


def test_a_terminal_gets_sentences_in_colour(terminal: Terminal) -> None:
    Log(terminal, form_for(None, terminal)).write("note", message="hello")

    assert "\x1b[32mINFO \x1b[0m hello\n" in terminal.getvalue()


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_terminal_without_colours_gets_none(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    Log(terminal, form_for(None, terminal)).write("note", message="hello")

    assert terminal.getvalue().endswith(" INFO  hello\n")
    assert terminal.getvalue().strip().isprintable()


def test_a_pipe_gets_json_unless_sentences_are_asked_for() -> None:
    stream = io.StringIO()

    assert form_for(None, stream) is write_json
    Log(stream, form_for(TEXT, stream)).write("note", message="hello")

    assert stream.getvalue().endswith(" INFO  hello\n")


def test_a_terminal_gets_json_if_it_is_asked_for(terminal: Terminal) -> None:
    Log(terminal, form_for(JSON, terminal)).write("note", message="hello")

    assert json.loads(terminal.getvalue())["message"] == "hello"


def test_an_audit_record_is_a_sentence_with_the_address() -> None:
    stream = io.StringIO()
    facts = {"source_ip": "192.0.2.1", "token_hash": "0" * 12}

    Log(stream, Sentences()).audit(AuditRecord("burn", "accepted", "", facts, "burn accepted"))

    assert stream.getvalue().endswith(" INFO  burn accepted, from 192.0.2.1\n")
