"""The reason phrase of a refusal."""

import json
import re

import pytest

from pytp_broker.endpoints.events import write_result
from pytp_broker.errors import FileExists, Problem
from pytp_broker.http.messages import problem_response
from pytp_broker.local.reasons import MAX_REASON_CHARACTERS, write_reason
from tests.support.gateways import Exchange, Gateway, function_answering

TOKEN = "pytp_" + "0aB" * 23 + "0a"


def reason_of(detail: str, problem: type[Problem] = FileExists) -> bytes:
    """Return the reason phrase that the gateway gives to a function's refusal."""
    result = write_result(problem_response(problem(detail), instance="/x"))
    reason: bytes = Gateway(lambda _event: result).answer(Exchange()).sent[0]["reason"]
    return reason


def test_a_refusal_has_its_detail_as_the_reason_phrase() -> None:
    assert reason_of("`a.whl` is taken: publish a new version") == (
        b"`a.whl` is taken: publish a new version"
    )


@pytest.mark.parametrize(
    "detail",
    [
        "two\r\nSet-Cookie: x=y",
        "one\x00\x1b[31m\x7f\x85\u2028two",
        "\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe",
        "caf\xe9 \N{SNOWMAN} \N{GRINNING FACE}",
        "\ud800",
        "a" * 10_000,
        "\N{SNOWMAN}" * 300,
        "",
    ],
)
def test_a_reason_phrase_is_one_short_line_of_printable_ascii(detail: str) -> None:
    reason = reason_of(detail)

    assert re.fullmatch(rb"[\x20-\x7e]*", reason)
    assert len(reason) <= MAX_REASON_CHARACTERS


@pytest.mark.parametrize("before", ["", "x" * 150, "x" * 190])
def test_no_token_gets_into_a_reason_phrase(before: str) -> None:
    reason = write_reason(f"{before} {TOKEN}")

    assert b"pytp_" not in reason


def test_what_is_cut_off_says_so() -> None:
    assert write_reason("word " * 100).endswith(b"...")


@pytest.mark.parametrize("status", [200, 302, 404])
def test_whatever_is_not_our_error_object_has_no_reason_phrase(status: int) -> None:
    body = json.dumps({"detail": "no"}).encode()

    answered = Gateway(function_answering(body, status, content_type="application/json")).answer(
        Exchange()
    )

    assert answered.sent[0]["reason"] == b""
