"""Each built function under AWS's own runtime interface client, which runs handlers on Lambda."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cloud import need_tools, shared_build
from tests.support.lambda_runtime import Runtime
from tests.unit.project.test_template import (
    ATTESTING,
    ENVIRONMENT,
    FUNCTIONS,
    INSIDE,
    RESOURCES,
)

pytestmark = [pytest.mark.e2e, pytest.mark.deploy, pytest.mark.ministack]

# A port that nothing listens on: the table and the bucket do not answer, and without a credential
# of this machine nothing else does.
NO_AWS = {
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_MAX_ATTEMPTS": "1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
# What each function answers where AWS does not.
ASKED = {
    "BrokerFunction": ("/_/health", 503),
    "UploadFunction": ("/legacy/", 503),
    "ReadFunction": ("/simple/", 503),
    "WebFunction": ("/", 503),
    "IntrospectFunction": ("/_/token/verify", 503),
}


def request_of(path: str) -> dict[str, Any]:
    """Return the event of API Gateway for a request, in the format 2.0."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"host": "a1b2c3d4.execute-api.eu-west-1.amazonaws.com"},
        "requestContext": {
            "domainName": "a1b2c3d4.execute-api.eu-west-1.amazonaws.com",
            "http": {"method": "GET", "path": path, "sourceIp": "192.0.2.1"},
            "requestId": "request-1",
        },
        "isBase64Encoded": False,
    }


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_tools()
    return shared_build(tmp_path_factory)


def start(build: Path, function: str, folder: Path) -> Runtime:
    handler = RESOURCES[function]["Properties"]["Handler"]
    places = [build / function]
    if function in ATTESTING:  # as Lambda unpacks a layer
        places.append(build / "AttestationLibraries" / "python")
    path = ":".join(map(str, places))
    return Runtime(handler, folder, {**ENVIRONMENT, **NO_AWS, "PYTHONPATH": path})


@pytest.fixture(scope="module", params=FUNCTIONS)
def answering(
    request: pytest.FixtureRequest, build: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Runtime]]:
    """Return a started function that a client can reach, and its name."""
    with start(build, request.param, tmp_path_factory.mktemp("function")) as runtime:
        yield request.param, runtime


def test_a_function_answers_a_request(answering: tuple[str, Runtime]) -> None:
    function, runtime = answering
    path, status = ASKED[function]

    posted = runtime.invoke(request_of(path))

    assert posted.path == "invocation/request-1/response"
    assert posted.document["statusCode"] == status
    assert posted.document["headers"]["Content-Type"] == "application/problem+json"


def test_a_function_answers_an_event_that_it_cannot_read_and_goes_on(
    answering: tuple[str, Runtime],
) -> None:
    function, runtime = answering

    unreadable = runtime.invoke({"rawPath": "/acme", "requestContext": {"secret": "pytp_secret"}})
    after = runtime.invoke(request_of(ASKED[function][0]))

    assert unreadable.document["statusCode"] == 500
    assert after.document["statusCode"] == ASKED[function][1]
    assert "unexpected error" in runtime.log
    assert "pytp_secret" not in runtime.log


@pytest.mark.parametrize("function", INSIDE)
def test_a_function_that_nobody_calls_from_outside_starts_and_reports_a_bad_event(
    build: Path, tmp_path: Path, function: str
) -> None:
    """Lambda then counts an error, and tries an event of the verify function again."""
    with start(build, function, tmp_path) as runtime:
        posted = runtime.invoke({"secret": "pytp_secret"})

        assert posted.path.startswith("invocation/request-1/")
        assert posted.path.endswith(("/error", "/response"))
        assert "pytp_secret" not in runtime.log


def test_a_handler_that_does_not_start_is_seen(build: Path, tmp_path: Path) -> None:
    path = {"PYTHONPATH": str(build / "BrokerFunction")}
    broken = Runtime("pytp_broker.aws.nothing.handler", tmp_path, path)

    with pytest.raises(AssertionError, match="does not start"), broken:
        pass
