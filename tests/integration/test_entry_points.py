"""The functions of `template.yaml`, each called in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from tests.unit.project.test_template import ENVIRONMENT, FUNCTIONS, PATH, RESOURCES, VERIFY

WITHOUT_CREDENTIALS = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith("AWS_") or name == "AWS_EC2_METADATA_DISABLED"
}
CALL_HANDLER = """
import importlib, json, sys, types
module, _, name = sys.argv[1].rpartition(".")
handler = getattr(importlib.import_module(module), name)
context = types.SimpleNamespace(
    function_name="f", memory_limit_in_mb=512, invoked_function_arn="arn", aws_request_id="r-1"
)
print(json.dumps(handler(json.load(sys.stdin), context)))
"""


def run_handler(function: str, event: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
    """Call a function in a process of its own."""
    handler = RESOURCES[function]["Properties"]["Handler"]
    return subprocess.run(
        [sys.executable, "-c", CALL_HANDLER, handler],
        env={**WITHOUT_CREDENTIALS, **ENVIRONMENT, "PYTHONPATH": str(PATH.parent / "functions")},
        input=json.dumps(event),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def call_handler(function: str, event: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the function prints and then what it answers, in a process of its own."""
    done = run_handler(function, event)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_answers_an_event_that_it_cannot_read_without_logging_it(function: str) -> None:
    event = {"rawPath": "/acme", "requestContext": {"secret": "pytp_secret"}}

    log, metric, answer = call_handler(function, event)

    assert answer["statusCode"] == 500
    assert answer["headers"]["Content-Type"] == "application/problem+json"
    assert log["message"] == "unexpected error"
    assert log["error"][0]["type"] == "KeyError"
    assert log["error"][0]["frames"][-1].endswith(" read_event")
    assert metric["UnexpectedErrors"] == [1.0]
    assert "pytp_secret" not in json.dumps([log, metric])


@pytest.mark.parametrize("function", [VERIFY, "AttestFunction"])
def test_a_function_inside_fails_on_an_event_that_it_cannot_read_without_logging_it(
    function: str,
) -> None:
    done = run_handler(function, {"secret": "stage_secret"})

    assert done.returncode != 0
    assert done.stderr.splitlines()[-1] == "pytp_broker.aws.edge.TaskFailedError"
    log, _metric = map(json.loads, done.stdout.splitlines())
    assert log["message"] == "unexpected error"
    assert log["error"][0]["type"] == "TypeError"
    assert "stage_secret" not in done.stdout + done.stderr


def test_the_trust_root_function_says_why_it_has_failed() -> None:
    done = run_handler("TrustRootFunction", {})

    assert done.returncode != 0
    assert done.stderr.splitlines()[-1] == "pytp_broker.aws.edge.TaskFailedError"
    (log,) = map(json.loads, done.stdout.splitlines())
    assert log["message"] == "the trusted root cannot be reached now; try again"
    assert log["why"] == "ListObjectsV2: CredentialsError"
