"""`pytp-broker doctor` at a stack on the emulator: each seeded fault is found by its name.

The functions have no code here; `tests/e2e/test_deploy.py` asks a stack with real ones. What the
emulator cannot do is in `tests/unit/doctor/test_recorded_answers.py`.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytp_broker.cli import main
from tests.support.configurations import registry
from tests.support.emulator import REGION, Emulator, create_table
from tests.support.stub_stack import StubStack, deploy, set_lifecycle, set_throttles

pytestmark = [pytest.mark.e2e, pytest.mark.ministack]

# Nobody answers at the stack's own address here, and no issuer is asked.
CONFIGURATION = registry("acme")


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.delenv("AWS_PROFILE", raising=False)


@pytest.fixture(scope="module")
def stack(emulator: Emulator) -> StubStack:
    return deploy(emulator, "doctor")


@pytest.fixture
def applied(stack: StubStack, emulator: Emulator, tmp_path: Path) -> Path:
    """Return the configuration that the stack has; the command also registers its key."""
    path = tmp_path / "broker.toml"
    path.write_text(CONFIGURATION)
    options = ["--stack", stack.name, "--endpoint-url", emulator.endpoint_url]
    assert main(["apply", "--yes", "--config", str(path), *options]) == 0
    return path


Ask = Callable[..., dict[str, dict[str, Any]]]


@pytest.fixture
def ask(
    stack: StubStack, emulator: Emulator, applied: Path, capsys: pytest.CaptureFixture[str]
) -> Ask:
    """Return what runs doctor, and gives what is not well by name."""

    def run(*options: str) -> dict[str, dict[str, Any]]:
        capsys.readouterr()
        target = options or ("--stack", stack.name, "--config", str(applied))
        main(["doctor", "--json", *target, "--endpoint-url", emulator.endpoint_url])
        findings = json.loads(capsys.readouterr().out)["findings"]
        # The stack's own address is not this machine's.
        others = [f for f in findings if f["outcome"] != "ok" and f["name"] != "unreachable"]
        return {finding["name"]: finding for finding in others}

    return run


def test_a_sound_stack_has_no_fault(ask: Ask) -> None:
    found = ask()

    assert {name for name, each in found.items() if each["outcome"] != "not-checked"} == set()
    # Drift is not detected by the emulator, and no publisher is configured.
    assert found.keys() == {"stack-drift", "issuers", "outside"}


def test_a_stack_that_is_not_there_is_found(ask: Ask) -> None:
    found = ask("--stack", "nobody")

    assert found["store-unreachable"]["outcome"] == "fault"


def test_a_table_that_is_not_there_is_found(ask: Ask) -> None:
    found = ask("--table", "nobody")

    assert "in the region us-east-1" in found["store-unreachable"]["seen"]
    assert "give --stack NAME instead of --table" in found["stack"]["seen"]


def test_a_foreign_table_is_found(emulator: Emulator, ask: Ask) -> None:
    emulator.client("dynamodb").create_table(
        TableName="orders",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )

    found = ask("--table", "orders")

    assert found["store-refused"]["outcome"] == "fault"
    assert "is not a broker's" in found["store-refused"]["seen"]
    assert "table-keys" in found


def test_a_table_of_a_newer_version_is_found(emulator: Emulator, ask: Ask) -> None:
    client = emulator.client("dynamodb")
    table = create_table(client)
    document = {"enabled": True, "format": 99, "written_by": "99.0"}
    row = {"pk": "CONFIGURATION", "sk": "MAIN", "document": json.dumps(document)}
    client.put_item(TableName=table, Item={name: {"S": value} for name, value in row.items()})

    found = ask("--table", table)

    assert found["table-newer"]["outcome"] == "fault"
    assert "use pytp-broker 99.0 or later" in found["table-newer"]["seen"]


# --- seeded faults: each is made, found, and undone ---------------------------------------------


Change = Callable[[StubStack], object]


def ttl(*, on: bool) -> Change:
    wanted = {"AttributeName": "ttl", "Enabled": on}
    return lambda stack: stack.client("dynamodb").update_time_to_live(
        TableName=stack.outputs["Table"], TimeToLiveSpecification=wanted
    )


def recovery(*, on: bool) -> Change:
    wanted = {"PointInTimeRecoveryEnabled": on}
    return lambda stack: stack.client("dynamodb").update_continuous_backups(
        TableName=stack.outputs["Table"], PointInTimeRecoverySpecification=wanted
    )


def protection(*, on: bool) -> Change:
    return lambda stack: stack.client("dynamodb").update_table(
        TableName=stack.outputs["Table"], DeletionProtectionEnabled=on
    )


def of_bucket(operation: str, **parameters: Any) -> Change:
    def change(stack: StubStack) -> None:
        getattr(stack.client("s3"), operation)(Bucket=stack.outputs["Bucket"], **parameters)

    return change


def public_access(*, blocked: bool) -> Change:
    names = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    block = dict.fromkeys(names, blocked)
    return of_bucket("put_public_access_block", PublicAccessBlockConfiguration=block)


def versioning(status: str) -> Change:
    return of_bucket("put_bucket_versioning", VersioningConfiguration={"Status": status})


def policy(*sids: str, effect: str = "Deny") -> Change:
    def change(stack: StubStack) -> None:
        resource = f"arn:aws:s3:::{stack.outputs['Bucket']}/*"
        common = {"Effect": effect, "Principal": "*", "Action": "s3:*", "Resource": resource}
        document = {"Version": "2012-10-17", "Statement": [{"Sid": s, **common} for s in sids]}
        of_bucket("put_bucket_policy", Policy=json.dumps(document))(stack)

    return change


def throttles(rate: float) -> Change:
    settings = {"ThrottlingRateLimit": rate, "ThrottlingBurstLimit": 1}
    return lambda stack: stack.client("apigatewayv2").update_stage(
        ApiId=stack.outputs["ApiId"], StageName="$default", DefaultRouteSettings=settings
    )


def lose_a_throttle(stack: StubStack) -> None:
    stack.client("apigatewayv2").update_stage(
        ApiId=stack.outputs["ApiId"],
        StageName="$default",
        RouteSettings={_MINT: {"DetailedMetricsEnabled": False}},
    )


def route(stack: StubStack, key: str) -> dict[str, Any]:
    routes = stack.client("apigatewayv2").get_routes(ApiId=stack.outputs["ApiId"])["Items"]
    found: dict[str, Any] = next(each for each in routes if each["RouteKey"] == key)
    return found


_MINT = "ANY /_/oidc/mint-token"


def lose_a_route(stack: StubStack) -> None:
    stack.client("apigatewayv2").delete_route(
        ApiId=stack.outputs["ApiId"], RouteId=route(stack, _MINT)["RouteId"]
    )


def make_the_route(stack: StubStack) -> None:
    target = route(stack, "ANY /_/oidc/github/mint-token")["Target"]
    stack.client("apigatewayv2").create_route(
        ApiId=stack.outputs["ApiId"], RouteKey=_MINT, Target=target
    )


def lead_mints_to(key: str) -> Change:
    def change(stack: StubStack) -> None:
        stack.client("apigatewayv2").update_route(
            ApiId=stack.outputs["ApiId"],
            RouteId=route(stack, _MINT)["RouteId"],
            Target=route(stack, key)["Target"],
        )

    return change


def timeout(seconds: int) -> Change:
    return lambda stack: stack.client("lambda").update_function_configuration(
        FunctionName=stack.outputs["BrokerFunction"], Timeout=seconds
    )


def retention(days: int | None) -> Change:
    def change(stack: StubStack) -> None:
        group = {"logGroupName": stack.resources["BrokerLogs"]}
        if days is None:
            stack.client("logs").delete_retention_policy(**group)
        else:
            stack.client("logs").put_retention_policy(**group, retentionInDays=days)

    return change


def fill_the_queue(stack: StubStack) -> None:
    url = stack.resources["FailedVerifications"]
    stack.client("sqs").send_message(QueueUrl=url, MessageBody="{}")


def empty_the_queue(stack: StubStack) -> None:
    stack.client("sqs").purge_queue(QueueUrl=stack.resources["FailedVerifications"])


def schedule(operation: str) -> Change:
    def change(stack: StubStack) -> None:
        name = stack.resources["TrustRootSchedule"].rpartition("/")[2]
        getattr(stack.client("events"), operation)(Name=name)

    return change


def _broker_alarm(stack: StubStack) -> dict[str, Any]:
    alarms = stack.client("cloudwatch").describe_alarms()["MetricAlarms"]
    found: dict[str, Any] = next(a for a in alarms if "BrokerErrors" in a["AlarmName"])
    return found


def alarm_actions(operation: str) -> Change:
    def change(stack: StubStack) -> None:
        name = _broker_alarm(stack)["AlarmName"]
        getattr(stack.client("cloudwatch"), operation)(AlarmNames=[name])

    return change


def alarm_state(value: str) -> Change:
    return lambda stack: stack.client("cloudwatch").set_alarm_state(
        AlarmName=_broker_alarm(stack)["AlarmName"], StateValue=value, StateReason="a test"
    )


def key(operation: str) -> Change:
    return lambda stack: getattr(stack.client("kms"), operation)(
        KeyId=stack.resources["ReceiptKey"]
    )


# What makes each fault, and what undoes it.
FAULTS: dict[str, tuple[Change, Change]] = {
    "ttl-off": (ttl(on=False), ttl(on=True)),
    "pitr-off": (recovery(on=False), recovery(on=True)),
    "deletion-protection-off": (protection(on=False), protection(on=True)),
    "bucket-public": (public_access(blocked=False), public_access(blocked=True)),
    "bucket-versioning-off": (versioning("Suspended"), versioning("Enabled")),
    "bucket-policy-changed": (policy("OnlyTls"), policy("OnlyTls", "OnlyNewFiles")),
    "bucket-lifecycle-changed": (of_bucket("delete_bucket_lifecycle"), set_lifecycle),
    "throttle-missing": (lose_a_throttle, set_throttles),
    "throttle-changed": (throttles(9999), set_throttles),
    "gateway-route-elsewhere": (
        lead_mints_to("ANY /simple"),
        lead_mints_to("ANY /_/oidc/github/mint-token"),
    ),
    "gateway-route-missing": (lose_a_route, make_the_route),
    "function-changed": (timeout(3), timeout(15)),
    "log-retention-off": (retention(None), retention(365)),
    "dead-letters": (fill_the_queue, empty_the_queue),
    "schedule-off": (schedule("disable_rule"), schedule("enable_rule")),
    "alarm-without-topic": (
        alarm_actions("disable_alarm_actions"),
        alarm_actions("enable_alarm_actions"),
    ),
    "alarm-rings": (alarm_state("ALARM"), alarm_state("OK")),
    "receipt-key-unusable": (key("disable_key"), key("enable_key")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_seeded_fault_is_found(fault: str, stack: StubStack, applied: Path, ask: Ask) -> None:
    make, undo = FAULTS[fault]
    make(stack)
    try:
        found = ask()
    finally:
        undo(stack)

    assert fault in found
    assert found[fault]["cure"]
