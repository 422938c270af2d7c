"""The functions that take files let the attest function verify attestations, and wait for it."""

import json
from io import BytesIO
from typing import Any

import pytest

from pytp_broker.aws.api.errors import UnansweredError
from pytp_broker.aws.clients import FunctionClients
from pytp_broker.aws.edge import ATTEST_SECONDS, Edge, TaskFailedError
from pytp_broker.aws.lambda_attester import LambdaAttester
from pytp_broker.errors import StoreUnavailable
from pytp_broker.provenance.attester import (
    AttestationQuestion,
    AttestationState,
    AttestationStatus,
    NoAttester,
)
from tests.support.refusals import refused

QUESTION = AttestationQuestion("[]", "widgets-1.0.tar.gz", "ab" * 32, {"kind": "GitHub"})
STATE = AttestationState(AttestationStatus.REFUSED, "wrong-digest: it is another content")
THROTTLED = refused("Invoke", "TooManyRequestsException")
DENIED = refused("Invoke", "AccessDeniedException")


class Lambda:
    """A client of Lambda, whose function gives this answer."""

    def __init__(self, answer: Any = None, error: Exception | None = None, **members: str) -> None:
        octets = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.asked: list[dict[str, Any]] = []
        self.made = 0
        self._answer = {"StatusCode": 200, **members}
        self._octets = octets
        self._error = error

    def make(self) -> Any:
        self.made += 1
        return self

    def invoke(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        if self._error is not None:
            raise self._error
        return {**self._answer, "Payload": BytesIO(self._octets)}


def test_the_function_gets_the_question_and_its_answer_is_returned() -> None:
    client = Lambda(STATE.document())

    state = LambdaAttester(client.make, "attest").verify(QUESTION)

    (asked,) = client.asked
    assert state == STATE
    assert asked["FunctionName"] == "attest"
    assert AttestationQuestion.from_document(json.loads(asked["Payload"])) == QUESTION


def test_the_client_is_made_for_the_first_attestation_and_no_sooner() -> None:
    client = Lambda(STATE.document())
    attester = LambdaAttester(client.make, "attest")
    assert client.made == 0

    attester.verify(QUESTION)
    attester.verify(QUESTION)

    assert client.made == 1


@pytest.mark.parametrize(
    ("client", "cause"),
    [
        (Lambda(error=THROTTLED), "Invoke: TooManyRequestsException"),
        (Lambda(error=DENIED), "Invoke: AccessDeniedException"),
        (
            Lambda(error=UnansweredError("Invoke", "TimeoutError", "timed out")),
            "Invoke: TimeoutError",
        ),
        (
            Lambda({"errorType": "TaskFailedError"}, FunctionError="Unhandled"),
            "the attest function failed; its log says why",
        ),
        (Lambda(b"hello"), "the attest function gave an answer that is not a state"),
        (Lambda([]), "the attest function gave an answer that is not a state"),
        (Lambda({}), "the attest function gave an answer that is not a state"),
        (
            Lambda({"status": "good", "reason": ""}),
            "the attest function gave an answer that is not a state",
        ),
    ],
    ids=["throttled", "denied", "slow", "failed", "garbage", "list", "empty", "unknown"],
)
def test_without_an_answer_nobody_can_say(client: Lambda, cause: str) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be verified now") as failed:
        LambdaAttester(client.make, "attest").verify(QUESTION)

    assert failed.value.operator_detail == cause


def test_a_function_that_asks_nobody_verifies_nothing() -> None:
    with pytest.raises(StoreUnavailable):
        NoAttester().verify(QUESTION)


def test_the_client_waits_for_a_function_that_starts_and_asks_once() -> None:
    client = FunctionClients({"AWS_REGION": "eu-west-1"}).waiting_lambdas(ATTEST_SECONDS)

    limits = client._calls._limits
    assert (limits.read_seconds, limits.attempts) == (ATTEST_SECONDS, 1)
    assert limits.kept_connections == 0


# The edge of the function that is asked


class Context:
    function_name = "attest"
    memory_limit_in_mb = 1024
    invoked_function_arn = "arn"
    aws_request_id = "r-1"


@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")


def test_the_handler_returns_what_the_task_returns() -> None:
    handler = Edge("attest").unaudited_task(lambda event: {**event, "status": "verified"})

    assert handler({"a": 1}, Context()) == {"a": 1, "status": "verified"}  # type: ignore[arg-type]


def test_the_log_says_why_a_task_without_audit_records_has_failed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(_event: Any) -> None:
        raise StoreUnavailable("not now", operator_detail="GetObject: AccessDenied")

    with pytest.raises(TaskFailedError) as failed:
        Edge("a log of the attest function").unaudited_task(fail)({}, Context())  # type: ignore[arg-type]

    (line,) = capsys.readouterr().out.splitlines()
    assert (json.loads(line)["message"], json.loads(line)["why"]) == (
        "not now",
        "GetObject: AccessDenied",
    )
    assert str(failed.value) == ""
