"""Faults that the emulator cannot make: answers of AWS, as botocore's Stubber checks them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber

from pytp_broker import __version__
from pytp_broker.aws.boto import Clients
from pytp_broker.aws.inspection import Inspection, right_of
from pytp_broker.doctor import alarms, functions, gateway, stack, table
from pytp_broker.doctor.checks import Look
from pytp_broker.doctor.cloud import Cloud, Resource, Stack, read_stack
from pytp_broker.doctor.findings import Finding, NotCheckedError, Outcome
from pytp_broker.doctor.shipped import unconditional
from pytp_broker.doctor.visit import Visit
from tests.support.emulator import REGION

Answers = Mapping[str, Sequence[tuple[str, Any]]]
NOW = datetime.now(UTC)


def inspection(answers: Answers) -> Inspection:
    """Return what gets these answers, by service: each an operation, and a document or a code."""
    session = boto3.Session("test", "test", region_name=REGION)
    made = Inspection(Clients(session, Config()))
    for service, expected in answers.items():
        client = made._client(service)
        stubber = Stubber(client)
        for operation, answer in expected:
            if isinstance(answer, str):
                stubber.add_client_error(operation, answer, http_status_code=400)
            else:
                stubber.add_response(operation, answer)
        stubber.activate()
    return made


WHOLE = Stack(
    name="broker",
    status="UPDATE_COMPLETE",
    resources={n: Resource(n, "AWS::Any", f"broker-{n}") for n in unconditional()},
    parameters={"HostName": "", "ServeDefaultEndpoint": "false", "Architecture": "arm64"},
    outputs={"Version": __version__, "Url": "https://packages.example.com"},
    drift={},
    updated_at=datetime(2026, 11, 1, 12, tzinfo=UTC),
)


def with_changes(**changes: Any) -> Stack:
    values = {name: getattr(WHOLE, name) for name in WHOLE.__slots__}
    return Stack(**{**values, **changes})


def visit(described: Stack = WHOLE, **answers: Sequence[tuple[str, Any]]) -> Visit:
    return visit_with(described, answers)


def visit_with(described: Stack, answers: Answers) -> Visit:
    cloud = Cloud(inspection(answers), "broker-table", "broker-bucket", described)
    return Visit(cloud=cloud, names={"stack": "broker", "table": "broker-table"})


def found(look: Look, at: Visit) -> Finding:
    """Return the one finding of a check."""
    (finding,) = look(at)
    return finding.named("check", at.names)


def described_table(**changes: Any) -> dict[str, Any]:
    keys = [
        {"AttributeName": "pk", "KeyType": "HASH"},
        {"AttributeName": "sk", "KeyType": "RANGE"},
    ]
    common = {"KeySchema": keys, "TableStatus": "ACTIVE", "DeletionProtectionEnabled": True}
    return {"Table": {**common, **changes}}


@pytest.mark.parametrize(
    ("fault", "changes"),
    [
        ("table-keys", {"KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}]}),
        ("table-status", {"TableStatus": "UPDATING"}),
    ],
)
def test_a_table_that_is_not_ready_is_found(fault: str, changes: dict[str, Any]) -> None:
    seen = found(
        table.look_at_table, visit(dynamodb=[("describe_table", described_table(**changes))])
    )

    assert seen.name == fault
    assert "broker-table" in seen.cure


def test_ttl_on_another_attribute_is_found() -> None:
    said = {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires"}
    at = visit(dynamodb=[("describe_time_to_live", {"TimeToLiveDescription": said})])

    assert found(table.look_at_ttl, at).name == "ttl-off"


def test_a_bucket_without_encryption_is_found() -> None:
    absent = "ServerSideEncryptionConfigurationNotFoundError"

    seen = found(table.look_at_encryption, visit(s3=[("get_bucket_encryption", absent)]))

    assert seen.name == "bucket-encryption-off"


def test_a_policy_that_allows_everybody_something_is_found() -> None:
    sids = [("OnlyTls", "Deny"), ("OnlyNewFiles", "Deny"), ("Share", "Allow")]
    statements = [
        f'{{"Sid": "{sid}", "Effect": "{effect}", "Principal": "*"}}' for sid, effect in sids
    ]
    policy = f'{{"Statement": [{", ".join(statements)}]}}'

    seen = found(table.look_at_bucket_policy, visit(s3=[("get_bucket_policy", {"Policy": policy})]))

    assert seen.name == "bucket-policy-changed"
    assert "allows something to everybody" in seen.seen


@pytest.mark.parametrize(("days", "name"), [(1, "check"), (31, "trust-root-old")])
def test_an_old_trusted_root_is_a_warning(days: int, name: str) -> None:
    listed = {"Contents": [{"Key": "trust-root/1", "LastModified": NOW - timedelta(days)}]}

    seen = found(table.look_at_trusted_root, visit(s3=[("list_objects_v2", listed)]))

    assert seen.name == name
    assert f"{days} days ago" in seen.seen


def test_without_a_bucket_nothing_is_asked_of_it() -> None:
    at = Visit(cloud=Cloud(inspection({}), "broker-table"))

    with pytest.raises(NotCheckedError, match="--bucket"):
        found(table.look_at_versioning, at)


# --- the stack ------------------------------------------------------------------------------------


def test_a_whole_stack_is_well() -> None:
    assert found(stack.look_at_stack, visit()).outcome is Outcome.OK


@pytest.mark.parametrize(
    ("fault", "changes"),
    [
        ("stack-status", {"status": "UPDATE_ROLLBACK_FAILED"}),
        ("stack-rolled-back", {"status": "UPDATE_ROLLBACK_COMPLETE"}),
        ("resource-missing", {"resources": {}}),
    ],
)
def test_a_stack_that_is_not_whole_is_found(fault: str, changes: dict[str, Any]) -> None:
    seen = found(stack.look_at_stack, visit(with_changes(**changes)))

    assert seen.name == fault
    assert "broker" in seen.cure or fault == "stack-rolled-back"


@pytest.mark.parametrize(
    ("fault", "outputs"),
    [
        ("version-older", {}),
        ("version-older", {"Version": "0.1.0"}),
        ("version-newer", {"Version": "99.0"}),
        ("check", {"Version": __version__}),
    ],
)
def test_a_stack_of_another_version_is_found(fault: str, outputs: dict[str, str]) -> None:
    assert found(stack.look_at_version, visit(with_changes(outputs=outputs))).name == fault


def test_a_version_that_is_none_is_not_compared() -> None:
    with pytest.raises(NotCheckedError, match="the stack's version is"):
        found(stack.look_at_version, visit(with_changes(outputs={"Version": "not a version"})))


def drifted(*names: str) -> dict[str, Any]:
    common = {
        "StackId": "arn:aws:cloudformation:us-east-1:111122223333:stack/broker/1",
        "ResourceType": "AWS::S3::Bucket",
        "StackResourceDriftStatus": "MODIFIED",
        "Timestamp": NOW,
    }
    return {"StackResourceDrifts": [{"LogicalResourceId": name, **common} for name in names]}


def test_what_the_last_detection_of_drift_found_is_told() -> None:
    described = with_changes(drift={"StackDriftStatus": "DRIFTED"})
    at = visit(
        described, cloudformation=[("describe_stack_resource_drifts", drifted("Bucket", "Table"))]
    )

    seen = found(stack.look_at_drift, at)

    assert seen.name == "stack-drifted"
    assert "Bucket, Table" in seen.seen


def test_a_stack_in_sync_is_well() -> None:
    drift = {"StackDriftStatus": "IN_SYNC", "LastCheckTimestamp": NOW}

    assert found(stack.look_at_drift, visit(with_changes(drift=drift))).outcome is Outcome.OK


def test_a_host_name_that_can_be_gone_round_is_a_warning() -> None:
    parameters = {"HostName": "packages.example.com", "ServeDefaultEndpoint": "true"}

    seen = found(gateway.look_at_host_name, visit(with_changes(parameters=parameters)))

    assert seen.name == "host-name-bypassed"
    assert seen.outcome is Outcome.WARNING


def function_configurations(**changes: Any) -> list[tuple[str, Any]]:
    """Return an answer for each function of the template; the first one has changes."""
    from pytp_broker.doctor.shipped import functions as shipped_functions

    answers = []
    for number, function in enumerate(shipped_functions()):
        variables = dict.fromkeys(function.variables, "x")
        common = {"LastModified": "2026-11-01T12:05:00.000+0000", "Architectures": ["arm64"]}
        said = {**function.settings, **common, "Environment": {"Variables": variables}}
        said["FunctionName"] = f"broker-{function.logical_id}"
        changed = {} if number else changes
        answers.append(("get_function_configuration", {**said, **changed}))
    return answers


def lambda_visit(**changes: Any) -> Visit:
    return visit_with(WHOLE, {"lambda": function_configurations(**changes)})


@pytest.mark.parametrize(
    ("fault", "changes"),
    [
        ("function-failed", {"State": "Failed"}),
        ("function-failed", {"LastUpdateStatus": "Failed"}),
        ("function-changed", {"Environment": {"Variables": {}}}),
        ("function-changed", {"Architectures": ["x86_64"]}),
        ("function-replaced", {"LastModified": "2026-11-29T15:44:39.000+0000"}),
    ],
)
def test_a_function_that_is_not_as_the_template_says_is_found(
    fault: str, changes: dict[str, Any]
) -> None:
    seen = found(functions.look_at_functions, lambda_visit(**changes))

    assert seen.name == fault
    assert "BrokerFunction" in seen.seen


def test_a_variables_value_is_never_shown() -> None:
    variables = {"Variables": {"PYTP_TABLE": "a-secret"}}

    seen = found(functions.look_at_functions, lambda_visit(Environment=variables))

    assert "a-secret" not in seen.seen
    assert "PYTP_SHARED_HOST" in seen.seen


def test_a_time_that_is_none_is_not_compared() -> None:
    seen = found(functions.look_at_functions, lambda_visit(LastModified="yesterday"))

    assert seen.outcome is Outcome.OK


def test_an_alarm_that_is_not_deployed_is_found() -> None:
    at = visit(cloudwatch=[("describe_alarms", {"MetricAlarms": []})])

    seen = found(alarms.look_at_alarms, at)

    assert seen.name == "alarm-missing"
    assert "nothing watches UnexpectedErrors" in seen.seen


def test_a_log_group_that_is_gone_is_no_fault_of_its_retention() -> None:
    group = {"BrokerLogs": Resource("BrokerLogs", "AWS::Logs::LogGroup", "broker-logs")}
    at = visit(with_changes(resources=group), logs=[("describe_log_groups", {"logGroups": []})])

    assert found(functions.look_at_log_groups, at).outcome is Outcome.OK


# --- rights ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("look", "service", "operation", "code", "right"),
    [
        (
            table.look_at_table,
            "dynamodb",
            "describe_table",
            "AccessDeniedException",
            "dynamodb:DescribeTable",
        ),
        (
            table.look_at_ttl,
            "dynamodb",
            "describe_time_to_live",
            "AccessDeniedException",
            "dynamodb:DescribeTimeToLive",
        ),
        (
            table.look_at_public_access,
            "s3",
            "get_public_access_block",
            "AccessDenied",
            "s3:GetBucketPublicAccessBlock",
        ),
        (
            alarms.look_at_alarms,
            "cloudwatch",
            "describe_alarms",
            "AccessDenied",
            "cloudwatch:DescribeAlarms",
        ),
    ],
    ids=["table", "ttl", "bucket", "alarms"],
)
def test_a_missing_right_is_named(
    look: Look, service: str, operation: str, code: str, right: str
) -> None:
    with pytest.raises(NotCheckedError, match=f"the right {right} is missing"):
        found(look, visit_with(WHOLE, {service: [(operation, code)]}))


def test_another_refusal_is_told_by_its_code() -> None:
    at = visit(dynamodb=[("describe_table", "ThrottlingException")])

    with pytest.raises(NotCheckedError, match="describe_table answered ThrottlingException"):
        found(table.look_at_table, at)


def test_the_gateway_has_one_right_for_all_that_is_read() -> None:
    assert right_of("apigatewayv2", "get_routes") == "apigateway:GET"


def test_a_resource_that_the_stack_does_not_have_is_named() -> None:
    with pytest.raises(NotCheckedError, match="the stack has no FailedVerifications"):
        found(functions.look_at_queue, visit(with_changes(resources={})))


def test_a_stack_is_read_with_all_its_resources() -> None:
    described = {
        "StackName": "broker",
        "StackStatus": "CREATE_COMPLETE",
        "CreationTime": NOW,
        "Parameters": [{"ParameterKey": "HostName", "ParameterValue": ""}],
        "Outputs": [{"OutputKey": "Table", "OutputValue": "broker-table"}],
    }
    summaries = [
        {
            "LogicalResourceId": f"Route{number}",
            "PhysicalResourceId": f"route-{number}",
            "ResourceType": "AWS::ApiGatewayV2::Route",
            "LastUpdatedTimestamp": NOW,
            "ResourceStatus": "CREATE_COMPLETE",
        }
        for number in range(150)
    ]
    pages = [
        {"StackResourceSummaries": summaries[:100], "NextToken": "more"},
        {"StackResourceSummaries": summaries[100:]},
    ]
    answers: list[tuple[str, Any]] = [("describe_stacks", {"Stacks": [described]})]
    answers += [("list_stack_resources", page) for page in pages]

    read = read_stack("broker", inspection({"cloudformation": answers}))

    assert len(read.resources) == 150
    assert read.outputs == {"Table": "broker-table"}
    assert len(read.of_kind("AWS::ApiGatewayV2::Route")) == 150
