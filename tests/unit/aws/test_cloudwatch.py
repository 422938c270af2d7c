"""What a function writes for CloudWatch, beside what AWS's Powertools write for the same."""

import json
import logging
import string
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, Final

import pytest
import time_machine
from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging import logger as of_powertools
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter
from aws_lambda_powertools.metrics import MetricUnit, single_metric
from hypothesis import given
from hypothesis import strategies as st

from pytp_broker.aws.cloudwatch import NAMESPACE, CloudWatch
from pytp_broker.tokens import UploadToken

NOW: Final = datetime(2026, 11, 29, 12, 0, 3, 62_500, tzinfo=UTC)
CONTEXT: Final = SimpleNamespace(
    function_name="pytp-broker-BrokerFunction",
    memory_limit_in_mb="512",
    invoked_function_arn="arn:aws:lambda:eu-west-1:111122223333:function:pytp-broker",
    aws_request_id="8ec1a2d4-0000-4000-8000-5d2f6d1c8a01",
)
TRACE: Final = "Root=1-6929e5a0-3e6f7a1b2c3d4e5f60718293;Parent=53995c3f42cd8ad8;Sampled=0"
POWERTOOLS: Final = LambdaPowertoolsFormatter()
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _stopped_clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(of_powertools, "is_cold_start", True)  # as in a new process
    monkeypatch.delenv("_X_AMZN_TRACE_ID", raising=False)
    with time_machine.travel(NOW, tick=False):
        yield


def ours(function: str) -> Callable[..., None]:
    cloudwatch = CloudWatch(function)

    def write(facts: dict[str, Any]) -> None:
        cloudwatch.begin(CONTEXT)
        cloudwatch.log("WARNING", "exchange refused: späť", **facts)

    return write


def theirs(function: str) -> Callable[..., None]:
    logger = Logger(service=function, level="INFO")

    @logger.inject_lambda_context
    def write(facts: dict[str, Any], _context: object) -> None:
        logger.warning("exchange refused: späť", **facts)

    return lambda facts: write(facts, CONTEXT)


def lines(capsys: Capture) -> list[str]:
    """Return what was written, without the number of the line of code that wrote it."""
    written = capsys.readouterr().out
    assert written.endswith("\n")
    *before, _ = written.split("\n")
    return [
        line.replace(f':{json.loads(line)["location"].partition(":")[2]}"', ':0"')
        for line in before
    ]


FACTS: Final[dict[str, dict[str, Any]]] = {
    "nothing": {},
    "an audit record": {"audit": {"event": "upload", "names": ["a", "b"], "count": 3, "is": True}},
    "text that is not ASCII": {"why": 'ключ \N{SNOWMAN} \U0001f600 "quoted" \\ \n\t\x7f'},
    "an error": {"error": [{"type": "KeyError", "frames": ["/var/task/x.py:1 handle"]}]},
}


@pytest.mark.parametrize("trace", ["", TRACE, "1-2-3"])
@pytest.mark.parametrize("facts", FACTS.values(), ids=FACTS)
def test_a_line_of_the_log_is_that_of_powertools(
    facts: dict[str, Any], trace: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    if trace:
        monkeypatch.setenv("_X_AMZN_TRACE_ID", trace)
    function = f"broker {len(FACTS)} {trace} {facts}"  # Powertools keeps a logger by its name
    write, expect = ours(function), theirs(function)
    write(facts)
    write(facts)
    written = lines(capsys)
    expect(facts)
    expect(facts)

    assert written == lines(capsys)
    assert [json.loads(line)["cold_start"] for line in written] == [True, False]


VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(message=st.text(), audit=st.dictionaries(st.text(), VALUES, max_size=5))
def test_every_line_is_one_line_of_json_and_that_of_powertools(
    message: str, audit: dict[str, Any]
) -> None:
    record = logging.LogRecord("broker", logging.INFO, __file__, 0, message, None, None, "write")
    record.created, record.msecs = NOW.timestamp(), NOW.microsecond / 1000
    record.audit, record.service = audit, "broker"
    with captured() as written:
        CloudWatch("broker").log("INFO", message, audit=audit)

    (line,) = written
    assert line.count("\n") == 1
    expected = json.loads(POWERTOOLS.format(record))
    assert json.loads(line) == {
        **expected,
        "location": json.loads(line)["location"],
        "message": message,  # Powertools replaces a text that happens to be JSON
    }


def test_a_line_names_the_code_that_wrote_it(capsys: Capture) -> None:
    CloudWatch("broker").log("INFO", "a message")

    written = json.loads(capsys.readouterr().out)
    assert written["location"].startswith("test_a_line_names_the_code_that_wrote_it:")
    assert written == {
        "level": "INFO",
        "location": written["location"],
        "message": "a message",
        "timestamp": "2026-11-29 12:00:03,062+0000",
        "service": "broker",
    }


LABELS: Final[list[dict[str, str]]] = [
    {},
    {"event": "exchange"},
    {"event": "upload", "outcome": "refused", "reason": "invalid-token"},
]


@pytest.mark.parametrize("labels", LABELS, ids=len)
def test_a_metric_is_that_of_powertools(labels: dict[str, str], capsys: Capture) -> None:
    CloudWatch("broker").count("AuditRecords", labels)
    written = capsys.readouterr().out
    count_as_powertools("AuditRecords", labels)

    assert written == capsys.readouterr().out


def test_a_label_without_a_value_is_none(capsys: Capture) -> None:
    CloudWatch("broker").count("AuditRecords", {"outcome": "accepted", "reason": ""})

    written = json.loads(capsys.readouterr().out)
    assert (written["outcome"], written["reason"]) == ("accepted", "none")


def count_as_powertools(name: str, labels: dict[str, str]) -> None:
    with single_metric(name=name, unit=MetricUnit.Count, value=1, namespace=NAMESPACE) as metric:
        for label, value in labels.items():
            metric.add_dimension(label, value)


WORDS: Final = st.text(string.ascii_lowercase + "-", min_size=1, max_size=12)


@given(
    name=WORDS.map(str.title),
    labels=st.dictionaries(WORDS, WORDS, max_size=4),
)
def test_every_metric_is_that_of_powertools(name: str, labels: dict[str, str]) -> None:
    with captured() as mine:
        CloudWatch("broker").count(name, labels)
    with captured() as theirs:
        count_as_powertools(name, labels)

    assert "".join(mine) == "".join(theirs)


@contextmanager
def captured() -> Iterator[list[str]]:
    """Collect what is written to stdout, also within one example of a property."""
    written: list[str] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sys.stdout", SimpleNamespace(write=written.append, flush=lambda: None))
        yield written


def test_a_secret_is_not_written(capsys: Capture) -> None:
    with pytest.raises(TypeError, match="UploadToken is not JSON serializable"):
        CloudWatch("broker").log("INFO", "a message", held=UploadToken.mint("0" * 32))

    assert not capsys.readouterr().out
