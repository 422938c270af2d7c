"""A real `sam build` and `sam deploy`, to an emulator that enforces IAM, and a release through it.

The emulator evaluates each role's actions and resources, but of DynamoDB's condition keys neither
`dynamodb:LeadingKeys` nor `dynamodb:Attributes` of a write. Therefore
`tests/unit/project/test_template.py` evaluates those conditions as AWS does, and shows that no
function may write configuration. The tests here show what the emulator enforces: every request
works with the deployed roles, and the actions that no role lists are refused.
"""

import hashlib
import json
import os
import re
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import trustme
from botocore.exceptions import ClientError

from pytp_broker import config
from pytp_broker.audit.record import HASH_PREFIX_DIGITS
from pytp_broker.aws.kms_keys import TAG
from pytp_broker.aws.lambda_attester import LambdaAttester
from pytp_broker.cli import main
from pytp_broker.provenance.attester import (
    AttestationQuestion,
    AttestationState,
    AttestationStatus,
)
from pytp_broker.provenance.checking import check_signature
from pytp_broker.provenance.dsse import Signature
from pytp_broker.storage.cache import CONFIGURATION_MAX_AGE_SECONDS
from pytp_broker.tokens import UploadToken
from pytp_broker.verifier import IMMEDIATE_BYTES
from tests.support.claims import captured
from tests.support.cloud import (
    ARCHITECTURE,
    REGION,
    TIMEOUT,
    Cloud,
    deploy,
    need_tools,
    run_cloud,
    shared_build,
)
from tests.support.configurations import github_issuer, github_publisher, registry
from tests.support.deployed import (
    DeployedBroker,
    operate,
    path_of,
    physical_id,
    problem_code,
)
from tests.support.distributions import wheel, wheel_members
from tests.support.issuer import Issuer
from tests.support.meddler import Answered, Meddler, Passing
from tests.support.signing import public_jwk
from tests.support.sigstores import Sigstore, github
from tests.support.stub_stack import StubStack, complete, deploy_alarms

pytestmark = [pytest.mark.e2e, pytest.mark.deploy, pytest.mark.ministack]

STACK = "pytp-broker-test"

CONFIGURATION = (
    github_issuer("{private_issuer}")
    + github_issuer("{issuer}")
    + registry(
        "acme",
        github_publisher("widgets", issuer="{issuer}", environment="release"),
        audience="acme",
        issuers=["{issuer}", "{private_issuer}"],
    )
)


# --- the deployment -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Deployment(DeployedBroker):
    """The deployed stack, and an issuer on a private address."""

    private_issuer: Issuer


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    need_tools()
    built = shared_build(tmp_path_factory)
    folder = tmp_path_factory.mktemp("deploy")
    with Issuer() as issuer, Issuer() as private_issuer, run_cloud(folder) as cloud:
        template = built / "template.yaml"
        outputs = deploy(cloud, STACK, template, f"Architecture={ARCHITECTURE}")
        made = Deployment(cloud, outputs, issuer, STACK, private_issuer)
        text = CONFIGURATION.format(issuer=issuer.url, private_issuer=private_issuer.url)
        loaded = config.parse(tomllib.loads(text), allow_loopback=True)
        register_the_first_key(made, folder)
        made.store.apply(loaded.configuration, loaded.publishers)
        made.know_keys([public_jwk(key, key_id) for key_id, key in issuer.keys.items()])
        yield made


def register_the_first_key(deployment: Deployment, folder: Path) -> None:
    """Apply a small configuration with the operator's command, which also registers the key."""
    path = folder / "broker.toml"
    path.write_text(registry("acme"))
    seen = operate(deployment, "apply", "--yes", "--config", str(path))
    assert "the first key of receipts is " in seen


# --- a release ------------------------------------------------------------------------------------


def test_a_release_from_audience_to_burn(deployment: Deployment) -> None:
    audience = deployment.call("GET", "/acme/_/oidc/audience").json()["audience"]
    token = deployment.new_token(aud=audience)

    uploaded = deployment.upload(token, "1.0")
    assert uploaded.status_code == 200, uploaded.text
    assert deployment.upload(token, "1.1", slash="").status_code == 200

    assert deployment.call("GET", "/acme/simple/widgets/").status_code == 401
    page = deployment.read("/acme/simple/widgets/", token)
    assert page.status_code == 200
    assert "widgets-1.0-py3-none-any.whl" in page.text
    assert "widgets-1.1-py3-none-any.whl" in page.text

    burned = deployment.call("POST", "/acme/_/oidc/burn-token", json={"token": token})
    assert burned.status_code == 202

    refused = deployment.upload(token, "1.2")
    assert refused.status_code == 401
    assert problem_code(refused) == "unauthorized"


def test_a_published_file_can_be_fetched(deployment: Deployment) -> None:
    token = deployment.new_token()
    assert deployment.upload(token, "2.0").status_code == 200
    accept = {"Accept": "application/vnd.pypi.simple.v1+json"}
    page = deployment.read("/acme/simple/widgets/", token, accept).json()
    (file,) = [f for f in page["files"] if f["filename"] == "widgets-2.0-py3-none-any.whl"]

    path = "/" + file["url"].split("/", 3)[-1] if "://" in file["url"] else file["url"]
    assert deployment.call("GET", path).status_code == 401
    answer = deployment.read(path, token)
    if answer.status_code in {302, 307}:
        location = answer.headers["Location"]
        assert "X-Amz-Signature=" in location
        answer = requests.get(location, timeout=TIMEOUT, verify=str(deployment.cloud.ca_file))

    assert answer.status_code == 200
    assert hashlib.sha256(answer.content).hexdigest() == file["hashes"]["sha256"]


def allow_tags(cloud: Cloud) -> None:
    """Let the upload function tag objects.

    The template allows it for each tag. The emulator does not know the tag that a request writes
    (`s3:RequestObjectTag`), and refuses all of them.
    """
    resource = cloud.client("cloudformation").describe_stack_resource(
        StackName=STACK, LogicalResourceId="UploadRole"
    )["StackResourceDetail"]["PhysicalResourceId"]
    statement = {"Effect": "Allow", "Action": "s3:PutObjectTagging", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    cloud.client("iam").put_role_policy(
        RoleName=resource, PolicyName="tags", PolicyDocument=document
    )


def test_attestations_are_verified_by_a_function_of_its_own(deployment: Deployment) -> None:
    filename, sha256 = "widgets-1.0-py3-none-any.whl", "ab" * 32
    sigstore = Sigstore()
    packed = {"trusted_root.json": json.dumps(sigstore.trusted_root())}
    deployment.cloud.client("s3").put_object(
        Bucket=deployment.outputs["Bucket"],
        Key="trust-root/000000000001-0123456789abcdef.json",
        Body=json.dumps(packed).encode(),
        IfNoneMatch="*",
    )
    question = AttestationQuestion(
        sigstore.attest(filename, sha256, github(captured("github"))),
        filename,
        sha256,
        {"kind": "GitHub", "repository": "octo-org/widgets", "workflow": "release.yml"},
    )

    states = [
        LambdaAttester(
            lambda: deployment.cloud.client("lambda"), deployment.outputs["AttestFunction"]
        ).verify(each)
        for each in (question, replace(question, sha256="cd" * 32))
    ]

    assert states[0] == AttestationState(AttestationStatus.VERIFIED)
    assert states[1].status is AttestationStatus.REFUSED
    assert states[1].reason.startswith("wrong-digest: ")


def test_a_large_file_is_checked_by_a_function_of_its_own(deployment: Deployment) -> None:
    """Its bytes go straight to the bucket, and nothing is visible before the publish."""
    allow_tags(deployment.cloud)
    token, verify = deployment.new_token(), str(deployment.cloud.ca_file)
    large = wheel(
        "widgets",
        "6.0",
        members={**wheel_members("widgets", "6.0"), "noise": os.urandom(IMMEDIATE_BYTES)},
    )
    session = deployment.ask("POST", "/acme/upload/", token, name="widgets", version="6.0").json()
    announced = deployment.ask(
        "POST",
        session["links"]["upload"],
        token,
        filename=large.filename,
        size=len(large.content),
        hashes={"sha256": large.sha256},
        mechanism="vnd-pytp-s3-put",
    ).json()
    how = announced["mechanism"]
    sent = requests.put(
        how["url"], data=large.content, headers=how["headers"], timeout=TIMEOUT, verify=verify
    )
    assert sent.status_code == 200, sent.text

    completed = deployment.ask("POST", announced["links"]["complete"], token)
    assert completed.status_code == 202, completed.text
    status, until = completed.json()["status"], time.monotonic() + 60
    while status == "processing" and time.monotonic() < until:
        time.sleep(0.5)
        link = announced["links"]["file-upload-session"]
        status = deployment.ask("GET", link, token).json()["status"]
    assert status == "completed"

    stage = deployment.call("GET", f"{path_of(session['links']['stage'])}widgets/")
    assert large.filename in stage.text
    assert large.filename not in deployment.read("/acme/simple/widgets/", token).text
    published = deployment.ask("POST", session["links"]["publish"], token)
    assert published.status_code == 201, published.text
    assert large.filename in deployment.read("/acme/simple/widgets/", token).text
    assert deployment.call("GET", path_of(session["links"]["stage"])).status_code == 404


@pytest.mark.parametrize("path", ["/acme/simple/", "/acme/simple"])
def test_the_list_of_projects_is_there(deployment: Deployment, path: str) -> None:
    token = deployment.new_token()
    assert deployment.upload(token, "2.1").status_code == 200

    answer = deployment.read(path, token)
    if answer.status_code == 301:
        answer = deployment.read(answer.headers["Location"], token)

    assert answer.status_code == 200
    assert "widgets" in answer.text


@pytest.mark.parametrize("path", ["/acme/", "/acme/project/widgets/", "/acme/project/widgets/2.2/"])
def test_a_page_for_people_is_there(deployment: Deployment, path: str) -> None:
    token = deployment.new_token()
    assert deployment.upload(token, "2.2").status_code == 200

    answer = deployment.read(path, token, {"Accept": "text/html"})

    assert deployment.call("GET", path).status_code == 401
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "widgets" in answer.text


def test_a_deployed_function_renders_a_description(deployment: Deployment) -> None:
    token = deployment.new_token()
    assert deployment.upload(token, "2.2").status_code == 200

    page = deployment.read("/acme/project/widgets/2.2/", token).text

    assert "[[registries.publishers]]" in unescape(page)
    assert '<div class="description" dir="auto">' in page
    style = re.findall(r'href="(/_/style/[^"]+)"', page)[0]
    assert deployment.call("GET", style).headers["Content-Type"] == "text/css; charset=utf-8"


def test_what_is_built_can_be_deployed_for_this_processor_only(deployment: Deployment) -> None:
    parameters = deployment.cloud.client("cloudformation").get_template_summary(StackName=STACK)[
        "Parameters"
    ]
    (architecture,) = [p for p in parameters if p["ParameterKey"] == "Architecture"]

    assert architecture["DefaultValue"] == ARCHITECTURE


def test_the_bucket_has_the_policy_that_keeps_files_from_being_replaced(
    deployment: Deployment,
) -> None:
    """The emulator does not know the condition keys of writes, so it does not enforce them."""
    s3 = deployment.cloud.client("s3")
    policy = json.loads(s3.get_bucket_policy(Bucket=deployment.outputs["Bucket"])["Policy"])
    only_new = next(s for s in policy["Statement"] if s["Sid"] == "OnlyNewFiles")

    assert only_new["Effect"] == "Deny"
    assert str(only_new["Condition"]["Null"]["s3:if-none-match"]).lower() == "true"


def test_a_file_is_not_replaced_by_a_write_like_ours(deployment: Deployment) -> None:
    s3 = deployment.cloud.client("s3")
    place = {"Bucket": deployment.outputs["Bucket"], "Key": "files/once"}
    s3.put_object(**place, Body=b"first", IfNoneMatch="*")

    with pytest.raises(ClientError) as refused:
        s3.put_object(**place, Body=b"second", IfNoneMatch="*")

    assert refused.value.response["Error"]["Code"] == "PreconditionFailed"
    assert s3.get_object(**place)["Body"].read() == b"first"


def test_the_root_mints_for_every_registry_of_the_host(deployment: Deployment) -> None:
    audience = deployment.call("GET", "/_/oidc/audience").json()["audience"]
    assert audience.endswith(f"{deployment.outputs['ApiId']}.execute-api.{REGION}.amazonaws.com")

    minted = deployment.mint(deployment.issuer.token(aud=audience), prefix="")

    assert minted.status_code == 200, minted.text
    assert deployment.upload(minted.json()["token"], "3.0").status_code == 200


def test_an_issuer_on_a_private_address_is_not_asked(deployment: Deployment) -> None:
    answer = deployment.mint(deployment.private_issuer.token())

    assert answer.status_code == 503
    assert answer.json()["errors"][0]["code"] == "issuer-unavailable"
    assert deployment.private_issuer.fetched == []


def test_an_identity_token_is_exchanged_only_once(deployment: Deployment) -> None:
    identity_token = deployment.issuer.token()

    assert deployment.mint(identity_token).status_code == 200
    again = deployment.mint(identity_token)

    assert again.status_code == 422
    assert problem_code(again) == "invalid-reuse-token"


def test_a_single_use_token_uploads_once(deployment: Deployment) -> None:
    body = {"token": deployment.issuer.token(), "features": ["single-use-token"]}
    token = deployment.call("POST", "/acme/_/oidc/mint-token", json=body).json()["token"]

    assert deployment.upload(token, "4.0").status_code == 200
    assert deployment.upload(token, "4.1").status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not-found"),
        ("GET", "/nobody/_/oidc/audience", 404, "not-found"),
        ("GET", "/nobody/simple/widgets/", 404, "not-found"),
        ("GET", "/acme/_/oidc/mint-token", 405, "method-not-allowed"),
        # Without the last slash: the emulator's `/legacy/{proxy+}` does not match `/legacy/`.
        ("DELETE", "/acme/legacy", 405, "method-not-allowed"),
        ("POST", "/acme/simple", 405, "method-not-allowed"),
    ],
)
def test_every_refusal_is_the_one_error_object(
    deployment: Deployment, method: str, path: str, status: int, code: str
) -> None:
    answer = deployment.call(method, path)

    assert answer.status_code == status
    assert problem_code(answer) == code


# --- what is left behind --------------------------------------------------------------------------


def test_logs_hold_an_audit_record_and_no_token(deployment: Deployment) -> None:
    identity_token = deployment.issuer.token()
    minted = deployment.mint(identity_token).json()["token"]

    lines = log_lines(deployment, "BrokerLogs")

    audits = [json.loads(line)["audit"] for line in lines if '"audit":{' in line]
    token_hash = UploadToken.parse(minted).hash[:HASH_PREFIX_DIGITS]
    (audit,) = [a for a in audits if a["event"] == "exchange" and a.get("token_hash") == token_hash]
    assert audit["outcome"] == "accepted"
    assert audit["repository"] == "octo-org/widgets"
    assert audit["projects"] == ["acme/widgets"]
    assert any('"AuditRecords"' in line for line in lines)
    assert not any(minted in line or identity_token[-40:] in line for line in lines)


@pytest.mark.parametrize("logs", ["BrokerLogs", "UploadLogs", "AttestLogs", "ReadLogs", "WebLogs"])
def test_nothing_unexpected_has_happened(deployment: Deployment, logs: str) -> None:
    assert not [line for line in log_lines(deployment, logs) if "UnexpectedErrors" in line]


def log_lines(deployment: Deployment, logical_id: str) -> list[str]:
    logs = deployment.cloud.client("logs")
    group = physical_id(deployment, logical_id)
    streams = logs.describe_log_streams(logGroupName=group)["logStreams"]
    assert streams
    return [
        line
        for stream in streams
        for event in logs.get_log_events(
            logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True
        )["events"]
        for line in event["message"].splitlines()
    ]


@pytest.mark.parametrize(
    ("role", "operation"),
    [
        ("BrokerRole", "scan"),
        ("BrokerRole", "delete_item"),
        ("BrokerRole", "batch_write_item"),
        ("UploadRole", "execute_statement"),
        ("UploadRole", "delete_item"),
        ("ReadRole", "put_item"),
        ("ReadRole", "update_item"),
        ("WebRole", "put_item"),
        ("AttestRole", "scan"),
        ("TrustRootRole", "put_item"),
    ],
)
def test_a_role_may_not_do_what_it_does_not_list(
    deployment: Deployment, role: str, operation: str
) -> None:
    table = deployment.outputs["Table"]
    key = {"pk": {"S": "CONFIGURATION"}, "sk": {"S": "MAIN"}}
    requests_of: dict[str, dict[str, Any]] = {
        "scan": {"TableName": table},
        "delete_item": {"TableName": table, "Key": key},
        "put_item": {"TableName": table, "Item": key},
        "update_item": {"TableName": table, "Key": key},
        "batch_write_item": {"RequestItems": {table: [{"PutRequest": {"Item": key}}]}},
        "execute_statement": {"Statement": f'DELETE FROM "{table}"'},  # noqa: S608 - PartiQL
    }
    client = client_with_rights_of(deployment, role, "dynamodb")

    with pytest.raises(ClientError) as refused:
        getattr(client, operation)(**requests_of[operation])

    assert refused.value.response["Error"]["Code"] == "AccessDeniedException"


def client_with_rights_of(deployment: Deployment, logical_id: str, service: str) -> Any:
    """Return a client of a user with the role's own policies.

    We cannot assume the role itself, because it trusts only Lambda.
    """
    iam, role = deployment.cloud.client("iam"), physical_id(deployment, logical_id)
    user = f"as-{logical_id}-{time.monotonic_ns()}"
    iam.create_user(UserName=user)
    for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
        iam.put_user_policy(UserName=user, PolicyName=policy, PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName=user)["AccessKey"]
    return deployment.cloud.client(service, key["AccessKeyId"], key["SecretAccessKey"])


# --- keys of receipts -----------------------------------------------------------------------------


def sign(client: Any, key_id: str) -> bytes:
    answer = client.sign(
        KeyId=key_id, Message=b"a receipt", MessageType="RAW", SigningAlgorithm="ECDSA_SHA_256"
    )
    return bytes(answer["Signature"])


@pytest.mark.promise("signed-receipt")
def test_a_rotated_key_signs_with_the_rights_of_the_upload_function_and_is_published(
    deployment: Deployment,
) -> None:
    made = json.loads(operate(deployment, "receipt-key", "rotate", "--json"))

    keys = {key.key_id: key for key in deployment.store.list_receipt_keys()}
    uploading = client_with_rights_of(deployment, "UploadRole", "kms")
    assert made["state"] == "begins"
    assert len(keys) == 2
    for key in keys.values():
        octets = sign(uploading, key.location)
        check_signature(Signature(key.key_id, octets), b"a receipt", key)
    until = time.monotonic() + 2 * CONFIGURATION_MAX_AGE_SECONDS
    published: set[str] = set()
    while published != keys.keys() and time.monotonic() < until:
        time.sleep(0.5)
        answer = deployment.call("GET", "/.well-known/pytp-receipt-keys")
        published = {key["kid"] for key in answer.json()["keys"]}
    assert published == keys.keys()


@pytest.mark.promise("signed-receipt")
@pytest.mark.parametrize("role", ["BrokerRole", "ReadRole", "VerifyRole", "WebRole"])
def test_no_other_function_may_sign(deployment: Deployment, role: str) -> None:
    key, *_ = deployment.store.list_receipt_keys()
    kms = client_with_rights_of(deployment, role, "kms")

    with pytest.raises(ClientError) as refused:
        sign(kms, key.location)

    assert refused.value.response["Error"]["Code"] == "AccessDeniedException"


@pytest.mark.promise("signed-receipt")
def test_the_upload_function_signs_with_no_key_of_another_stack(deployment: Deployment) -> None:
    kms = deployment.cloud.client("kms")
    tags = [{"TagKey": TAG, "TagValue": "another-stack"}]
    others = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY", Tags=tags)
    plain = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    uploading = client_with_rights_of(deployment, "UploadRole", "kms")

    for each in (others, plain):
        with pytest.raises(ClientError) as refused:
            sign(uploading, each["KeyMetadata"]["Arn"])
        assert refused.value.response["Error"]["Code"] == "AccessDeniedException"


# --- doctor ---------------------------------------------------------------------------------------


def test_doctor_finds_no_fault_in_a_sound_deployment(
    deployment: Deployment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The relay translates host names, because the emulator does not know those of AWS."""
    described = StubStack(deployment.cloud, STACK, deployment.outputs, {})
    complete(described)
    deploy_alarms(described, f"{STACK}-alarms")
    public = urlsplit(deployment.outputs["Url"]).hostname or ""
    inner = f"{deployment.outputs['ApiId']}.execute-api.localhost"
    authority, ca_file = trustme.CA(), tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    for name, value in deployment.cloud.environment.items():
        monkeypatch.setenv(name, value)

    def to_server(passing: Passing) -> None:
        passing.headers["Host"] = inner

    def to_client(_: Passing, answered: Answered) -> Answered:
        return replace(answered, body=answered.body.replace(inner.encode(), public.encode()))

    with Meddler(deployment.cloud.url, str(deployment.cloud.ca_file), authority) as relay:
        relay.present(authority, public)
        relay.to_server, relay.to_client = to_server, to_client
        port = relay.url.rpartition(":")[2]
        place = ["--connect", f"127.0.0.1:{port}", "--ca-bundle", str(ca_file)]
        main(["doctor", "--json", "--stack", STACK, *place])

    found = {each["name"]: each for each in json.loads(capsys.readouterr().out)["findings"]}
    # A deployed broker fetches nothing from this machine, where the issuers of this test are.
    assert {n for n, each in found.items() if each["outcome"] == "fault"} == {"issuer-unreachable"}
    assert found["registry-routes"]["outcome"] == found["refused-mint"]["outcome"] == "ok"
