"""The upload function lets the verify function check a large file."""

import json
from typing import Any

import pytest

from pytp_broker.aws.api.errors import CallError, UnansweredError
from pytp_broker.aws.edge import Edge, TaskFailedError
from pytp_broker.aws.lambda_verifier import LambdaVerifier
from pytp_broker.errors import StoreUnavailable
from pytp_broker.verifier import AttestationPlace, NoVerifier, Place, UploadPlace, read_place
from tests.support.refusals import refused

PLACE = UploadPlace("stage_0", "acme", "widgets-1.0.tar.gz", "5" * 32)
ATTESTED = AttestationPlace("acme", "widgets", "widgets-1.0.tar.gz")
THROTTLED = refused("Invoke", "TooManyRequestsException")


class Lambda:
    """A client of Lambda."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked: list[dict[str, Any]] = []
        self.made = 0
        self._error = error

    def make(self) -> Any:
        self.made += 1
        return self

    def invoke(self, **request: Any) -> None:
        self.asked.append(request)
        if self._error is not None:
            raise self._error


@pytest.mark.parametrize("place", [PLACE, ATTESTED], ids=lambda place: type(place).__name__)
def test_the_function_gets_the_place_and_nobody_waits_for_it(place: Place) -> None:
    client = Lambda()

    LambdaVerifier(client.make, "verify").request(place)

    (asked,) = client.asked
    assert (asked["FunctionName"], asked["InvocationType"]) == ("verify", "Event")
    assert read_place(json.loads(asked["Payload"])) == place


def test_the_client_is_made_for_the_first_large_file_and_no_sooner() -> None:
    client = Lambda()
    verifier = LambdaVerifier(client.make, "verify")
    assert client.made == 0

    verifier.request(PLACE)
    verifier.request(PLACE)

    assert client.made == 1


@pytest.mark.parametrize(
    "error", [THROTTLED, UnansweredError("Invoke", "gaierror", "no host")], ids=repr
)
def test_a_function_that_cannot_be_asked_is_told_with_the_call_and_its_error(
    error: CallError,
) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be checked now") as failed:
        LambdaVerifier(Lambda(error).make, "verify").request(PLACE)

    assert failed.value.operator_detail == error.cause


def test_a_function_that_takes_no_uploads_lets_none_be_verified() -> None:
    with pytest.raises(StoreUnavailable):
        NoVerifier().request(PLACE)


def test_a_place_hides_its_token() -> None:
    assert "stage_0" not in repr(PLACE)


# The handler of the verify function


@pytest.fixture(autouse=True)
def _function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")


class Context:
    function_name = "verify"
    memory_limit_in_mb = 1769
    invoked_function_arn = "arn"
    aws_request_id = "r-1"


def run(task: Any, log: str = "verify") -> None:
    Edge(log).task(task)({"token": "stage_secret"}, Context())  # type: ignore[arg-type]


def test_a_task_gets_the_event() -> None:
    seen: list[Any] = []

    run(seen.append)

    assert seen == [{"token": "stage_secret"}]


@pytest.mark.parametrize("error", [ValueError("stage_secret"), StoreUnavailable("no answer")])
def test_a_failed_task_fails_with_an_error_that_quotes_nothing(error: Exception) -> None:
    """Lambda logs the error, and sends it to the queue of failures."""

    def fail(_event: Any) -> None:
        raise error

    with pytest.raises(TaskFailedError) as failed:
        run(fail)

    assert str(failed.value) == ""
    assert failed.value.__context__ is None


def test_an_error_that_we_did_not_foresee_is_logged_without_its_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(_event: Any) -> None:
        raise ValueError("stage_secret")

    with pytest.raises(TaskFailedError):
        run(fail, "a log of the verify function")

    log, metric, *_ = capsys.readouterr().out.splitlines()
    assert json.loads(log)["error"][0]["type"] == "ValueError"
    assert "UnexpectedErrors" in metric
    assert "stage_secret" not in log + metric
