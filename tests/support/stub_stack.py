"""The stack of template.yaml on the emulator, with functions that have no code to run.

It is there within a second. The emulator sets neither the throttles of the stage, the table's TTL
and backups, nor the bucket's lifecycle from a template, so `complete` sets these by API calls, with
what the template says.
"""

import io
import json
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from pytp_broker.local.routes import find_template, load_template
from tests.support.emulator import Emulator

ROOT: Final = Path(__file__).parents[2]
_BUCKET: Final = "pytp-broker-code"
_CODE: Final = f"s3://{_BUCKET}/code.zip"
_SECONDS: Final = 30


class Account(Protocol):
    """What makes clients of the services of an account."""

    def client(self, service: str) -> Any:
        """Return a client of a service."""


@dataclass(frozen=True)
class StubStack:
    """A deployed stack, and the names at AWS of its resources."""

    emulator: Account
    name: str
    outputs: Mapping[str, str]
    resources: Mapping[str, str]

    def client(self, service: str) -> Any:
        return self.emulator.client(service)


def deploy(emulator: Emulator, name: str) -> StubStack:
    """Deploy the template, complete what the emulator leaves out, and deploy the alarms."""
    _upload_code(emulator)
    outputs = _create(emulator, name, {"TemplateURL": _upload_template(emulator, name)}, {})
    pages = emulator.client("cloudformation").get_paginator("list_stack_resources")
    listed = pages.paginate(StackName=name).build_full_result()["StackResourceSummaries"]
    resources = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in listed}
    stack = StubStack(emulator, name, outputs, resources)
    complete(stack)
    deploy_alarms(stack, f"{name}-alarms")
    return stack


def deploy_alarms(stack: StubStack, name: str) -> None:
    topic = stack.client("sns").create_topic(Name=name)["TopicArn"]
    alarms = load_template(ROOT / "infra/alarms.yaml")
    known = {**stack.outputs, "Topic": topic}
    resources = alarms["Resources"]
    computing = {key: each for key, each in resources.items() if "Metrics" in each["Properties"]}
    alarms["Resources"] = {key: each for key, each in resources.items() if key not in computing}
    parameters = {key: known[key] for key in alarms["Parameters"]}
    _create(stack.emulator, name, {"TemplateBody": json.dumps(alarms, default=str)}, parameters)
    for key, each in computing.items():
        _put_alarm(stack, f"{name}-{key}", each["Properties"], known)


def _put_alarm(
    stack: StubStack, name: str, written: Mapping[str, Any], known: Mapping[str, str]
) -> None:
    """Make an alarm that computes, which the emulator's CloudFormation does not."""
    properties: Any = _resolve(written, known)
    stack.client("cloudwatch").put_metric_alarm(AlarmName=name, **properties)


def _resolve(value: Any, known: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_resolve(each, known) for each in value]
    if not isinstance(value, dict):
        return value
    return (
        known[value["Ref"]] if "Ref" in value else {k: _resolve(v, known) for k, v in value.items()}
    )


def complete(stack: StubStack) -> None:
    """Set what the emulator does not take from the template."""
    set_throttles(stack)
    dynamodb, table = stack.client("dynamodb"), stack.outputs["Table"]
    dynamodb.update_time_to_live(
        TableName=table, TimeToLiveSpecification={"AttributeName": "ttl", "Enabled": True}
    )
    dynamodb.update_continuous_backups(
        TableName=table,
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
    )
    set_lifecycle(stack)


def set_throttles(stack: StubStack) -> None:
    stage = load_template(find_template())["Resources"]["Stage"]["Properties"]
    rates = {"RequestRate": 200.0, "RequestBurst": 400, "MintRate": 100.0, "MintBurst": 200}

    def settings(written: Mapping[str, Any]) -> dict[str, Any]:
        return {name: rates[value["Ref"]] for name, value in written.items()}

    stack.client("apigatewayv2").update_stage(
        ApiId=stack.outputs["ApiId"],
        StageName="$default",
        DefaultRouteSettings=settings(stage["DefaultRouteSettings"]),
        RouteSettings={key: settings(each) for key, each in stage["RouteSettings"].items()},
    )


def set_lifecycle(stack: StubStack) -> None:
    bucket = load_template(find_template())["Resources"]["Bucket"]["Properties"]
    ids = [rule["Id"] for rule in bucket["LifecycleConfiguration"]["Rules"]]
    rules = [
        {"ID": i, "Status": "Enabled", "Filter": {"Prefix": f"{i}/"}, "Expiration": {"Days": 1}}
        for i in ids
    ]
    stack.client("s3").put_bucket_lifecycle_configuration(
        Bucket=stack.outputs["Bucket"], LifecycleConfiguration={"Rules": rules}
    )


def _upload_code(emulator: Emulator) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as members:
        members.writestr("pytp_broker/__init__.py", "")
    s3 = emulator.client("s3")
    s3.create_bucket(Bucket=_BUCKET)
    s3.put_object(Bucket=_BUCKET, Key="code.zip", Body=archive.getvalue())


def _stubbed(template: dict[str, Any]) -> dict[str, Any]:
    template["AWSTemplateFormatVersion"] = "2010-09-09"
    template["Globals"]["Function"]["CodeUri"] = _CODE
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::LayerVersion":
            resource["Properties"]["ContentUri"] = _CODE
            resource.pop("Metadata", None)
    return template


def _upload_template(emulator: Emulator, name: str) -> str:
    """Return the URL of the template, which is too large for a request."""
    body = json.dumps(_stubbed(load_template(find_template())), default=str).encode()
    emulator.client("s3").put_object(Bucket=_BUCKET, Key=f"{name}.json", Body=body)
    return f"{emulator.endpoint_url}/{_BUCKET}/{name}.json"


def _create(
    account: Account, name: str, template: Mapping[str, str], parameters: Mapping[str, str]
) -> dict[str, str]:
    cloudformation = account.client("cloudformation")
    cloudformation.create_stack(
        StackName=name,
        **template,
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
    )
    give_up_at = time.monotonic() + _SECONDS
    while True:
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        if not stack["StackStatus"].endswith("IN_PROGRESS") or time.monotonic() > give_up_at:
            break
        time.sleep(0.05)
    assert stack["StackStatus"] == "CREATE_COMPLETE", stack
    return {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", ())}
