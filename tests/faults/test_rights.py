"""The calls of the functions against the rights of their roles in template.yaml: exactly those.

Each operation of tests/faults is tried once on the emulator. Every request to DynamoDB and S3 is
recorded with the function that makes it. A request that no statement of the function's role allows
fails the test, and so does a statement that no request needs.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from tests.faults.engines import DynamoEngines
from tests.faults.operations import published, token_of_other, verify_refused_attestations
from tests.faults.session_operations import WHEEL, staged
from tests.faults.stage import Clients, Stage
from tests.faults.test_faults import EVERY
from tests.support import distributions
from tests.support.deployment import Answer, Deployment, basic
from tests.support.emulator import Emulator
from tests.unit.project.test_template import as_list, is_met, statements

ROLES: Final = {
    "broker": "BrokerRole",
    "upload": "UploadRole",
    "read": "ReadRole",
    "web": "WebRole",
    "introspect": "IntrospectRole",
    "verify": "VerifyRole",
}
# The action of IAM for an operation of S3, where its name is another one.
ACTIONS: Final = {
    "HeadObject": "GetObject",
    "ListObjectsV2": "ListBucket",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
}
# Removes the listing of a project.
Forget = Callable[[str], None]

# Statements for what no operation here does, and what does it.
ELSEWHERE: Final = {
    "WriteLogs": "Lambda itself writes what a function prints",
    "ReportFailures": "Lambda itself sends what has failed; tests/unit/project/test_template.py",
    "LetFilesBeVerified": "tests/unit/aws/test_other_rights.py",
    "LetAttestationsBeVerified": "tests/unit/aws/test_other_rights.py",
    "SignReceipts": "tests/unit/aws/test_other_rights.py",
    "ReadReceiptKeys": "the signer of KMS, and the broker; tests/unit/aws/test_kms_signer.py",
    "SeeWhatIsAbsent": "changes how S3 answers, and no request names it",
    "KeepLargeListings": "tests/unit/aws/test_other_rights.py",
    "RetireLargeListings": "tests/unit/aws/test_other_rights.py",
    "ReadLargeListings": "tests/unit/aws/test_other_rights.py",
}


@dataclass(frozen=True)
class Request:
    """A request to AWS, as IAM sees it: ``keys`` are partitions of the table, or a key of S3."""

    service: str
    action: str
    keys: frozenset[str]
    attributes: frozenset[str] = frozenset()

    def is_allowed_by(self, statement: Mapping[str, Any]) -> bool:
        if f"{self.service}:{self.action}" not in as_list(statement["Action"]):
            return False
        if self.service == "s3":
            patterns = [pattern_of(resource) for resource in as_list(statement["Resource"])]
            return all(any(fnmatchcase(key, p) for p in patterns) for key in self.keys)
        asked = {
            "dynamodb:LeadingKeys": list(self.keys),
            "dynamodb:Attributes": list(self.attributes),
        }
        return all(
            is_met(operator, allowed, asked) for operator, allowed in statement["Condition"].items()
        )


def pattern_of(resource: Any) -> str:
    """Return the pattern of keys in the bucket; of the bucket itself, the empty key."""
    return str(resource.get("Fn::Sub", "/")).partition("/")[2]


@dataclass
class Recorder:
    """Records who asks for what; ``function`` is None while no function runs."""

    function: str | None = None
    requests: set[tuple[str, Request]] = field(default_factory=set)

    def record(self, params: Mapping[str, Any], model: Any, **_: Any) -> None:
        """Take down a request that boto3 is about to send."""
        if self.function is not None:
            service = model.service_model.service_name
            for request in requests_of(service, model.name, params):
                self.requests.add((self.function, request))

    @contextmanager
    def running(self, function: str) -> Iterator[None]:
        before, self.function = self.function, function
        try:
            yield
        finally:
            self.function = before


def requests_of(service: str, operation: str, params: Mapping[str, Any]) -> Iterator[Request]:
    if service == "s3":
        key = str(params.get("Key", params.get("Prefix", "")))
        yield Request("s3", ACTIONS.get(operation, operation), frozenset({key}))
        if "Tagging" in params and operation != "PutObjectTagging":
            yield Request("s3", "PutObjectTagging", frozenset({key}))
        return
    if "RequestItems" in params:
        rows = [row for each in params["RequestItems"].values() for row in each["Keys"]]
    elif operation == "Query":
        rows = [{"pk": params["ExpressionAttributeValues"][":pk"]}]
    else:
        rows = [params.get("Key") or params["Item"]]
    keys = frozenset(row["pk"]["S"] for row in rows)
    yield Request(service, operation, keys, attributes_of(operation, params))


def attributes_of(operation: str, params: Mapping[str, Any]) -> frozenset[str]:
    """Return the attributes that an update names, as IAM counts them."""
    if operation != "UpdateItem":
        return frozenset()
    words = {*params["UpdateExpression"].replace(",", " ").replace("=", " ").split()}
    words |= {*params.get("ConditionExpression", "").replace("(", " ").replace(")", " ").split()}
    named = {params.get("ExpressionAttributeNames", {}).get(word, word) for word in words}
    return frozenset({"pk", "sk"} | {word for word in named if word in ATTRIBUTES})


ATTRIBUTES: Final = {
    *("publisher_id", "pins", "reserved_by", "revision", "ttl", "attestation_state"),
    *("document", "batch", "burned_at", "used_for", "marks", "floor", "status", "expires_at"),
}


@pytest.fixture
def engines(emulator: Emulator) -> DynamoEngines:
    """Return storage behind boto3, whose events tell each request; a store asks both alike."""
    return DynamoEngines("ministack", emulator.client("dynamodb"), emulator.client("s3"))


@pytest.fixture
def recorder(engines: DynamoEngines, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    found = Recorder()
    call, hand = Deployment.call, Deployment.hand
    verify_place = Clients.verify_place

    def call_recorded(self: Deployment, method: str, path: str, *more: Any, **named: Any) -> Answer:
        with found.running(self._function_of(path)):
            return call(self, method, path, *more, **named)

    def hand_recorded(self: Deployment, function: str, event: Mapping[str, Any]) -> Answer:
        with found.running(function):
            return hand(self, function, event)

    def verify_recorded(self: Clients, *place: Any) -> Answer:
        with found.running("verify"):
            return verify_place(self, *place)

    monkeypatch.setattr(Deployment, "call", call_recorded)
    monkeypatch.setattr(Deployment, "hand", hand_recorded)
    monkeypatch.setattr(Clients, "verify_place", verify_recorded)
    clients = (engines.dynamodb, engines.s3)
    for client in clients:
        client.meta.events.register("provide-client-params.*.*", found.record)
    yield found
    for client in clients:
        client.meta.events.unregister("provide-client-params.*.*", found.record)


def try_everything(engines: DynamoEngines) -> None:
    for operation in EVERY:
        with engines.open() as engine:
            stage = Stage(engine, engine)
            attempt = operation(stage)
            answer = attempt.send()
            assert attempt.is_as_expected(answer), operation.__name__


def preview_a_staged_release(stage: Stage, _forget: Forget) -> None:
    session = staged(stage, WHEEL)
    path = urlsplit(session["links"]["stage"]).path
    assert stage.honest.call("GET", path).status == 200


def read_pages_without_a_listing(stage: Stage, forget: Forget) -> None:
    """A listing is made from the files of a project, as for a project of an old version."""
    published(stage)
    forget("widgets")
    assert b"widgets-1.0" in stage.honest.page().body


def refuse_attestations_without_a_listing(stage: Stage, forget: Forget) -> None:
    attempt = verify_refused_attestations(stage)
    forget("widgets")
    assert attempt.send().status == 200


def visit_while_a_release_is_published(stage: Stage, forget: Forget) -> None:
    """The names of its files are reserved, and its session says whether they are visible."""
    published(stage)
    staged_files = staged(stage, distributions.sdist("widgets", "2.0"))
    session = stage.engine.store.find_session(staged_files["session-token"])
    assert session is not None
    files = [each.file for each in session.files.values() if each.file is not None]
    assert stage.engine.store.reserve(session, files) == []
    forget("widgets")
    assert stage.honest.visit().status == 200


def visit_a_private_project(stage: Stage, _forget: Forget) -> None:
    headers = {"authorization": basic("__token__", token_of_other(stage).reveal())}
    assert stage.honest.call("GET", "/other/project/gizmos/", b"", headers).status == 200


RARE: Final = (
    preview_a_staged_release,
    read_pages_without_a_listing,
    refuse_attestations_without_a_listing,
    visit_while_a_release_is_published,
    visit_a_private_project,
)


def try_rare_paths(engines: DynamoEngines) -> None:
    for path in RARE:
        with engines.open() as engine:
            path(Stage(engine, engine), partial(forget_listing, engines, engine.address["table"]))


def forget_listing(engines: DynamoEngines, table: str, project: str) -> None:
    for row in ("CONTENT", "MARKS"):
        key = {"pk": {"S": f"LISTING#acme#{project}"}, "sk": {"S": row}}
        engines.dynamodb.delete_item(TableName=table, Key=key)


def unneeded(requests: set[tuple[str, Request]], role_of: Callable[[str], str]) -> list[str]:
    """Return each action of each statement that no request needs."""
    used = {
        (role_of(function), statement["Sid"], f"{request.service}:{request.action}")
        for function, request in requests
        for statement in statements(role_of(function))
        if request.is_allowed_by(statement)
    }
    return [
        f"{role} {statement['Sid']} {action}"
        for role in ROLES.values()
        for statement in statements(role)
        for action in as_list(statement["Action"])
        if statement["Sid"] not in ELSEWHERE and (role, statement["Sid"], action) not in used
    ]


@pytest.mark.ministack
@pytest.mark.promise("least-rights")
def test_the_functions_call_what_their_roles_allow_and_nothing_else(
    engines: DynamoEngines, recorder: Recorder
) -> None:
    try_everything(engines)
    try_rare_paths(engines)

    refused = [
        f"{ROLES[function]} {request}"
        for function, request in recorder.requests
        if not any(request.is_allowed_by(each) for each in statements(ROLES[function]))
    ]
    assert refused == []
    assert unneeded(recorder.requests, ROLES.__getitem__) == []
