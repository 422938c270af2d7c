"""The upload server of `infra/container`: deployed to the emulator, and run as its task says.

There are no containers here. The test takes the command line and the role of the deployed task, and
runs the same command in a process that has this role's credentials alone. The emulator enforces the
role's actions and resources, but not the condition keys of DynamoDB.
"""

import json
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
import requests
from botocore.exceptions import ClientError

from pytp_broker import config
from pytp_broker.aws.dynamodb.operating import DynamoStore
from pytp_broker.aws.kms_keys import KmsKeys
from pytp_broker.cli import main
from pytp_broker.demo.process import ServerProcess
from tests.e2e.test_publish import Clients
from tests.support.configurations import registry
from tests.support.emulator import REGION, Emulator, create_bucket, create_table, run_emulator
from tests.support.large_files import MB, Release

pytestmark = [pytest.mark.e2e, pytest.mark.ministack]

ROOT = Path(__file__).parents[2]
CERTIFICATE = "arn:aws:acm:us-east-1:111122223333:certificate/x"
BROKER_STACK = "broker"
CLIENT, EDGE = "192.0.2.1", "198.51.100.9"


@dataclass(frozen=True)
class Deployed:
    """The deployed stack beside a broker's table and bucket, and a server of its task."""

    emulator: Emulator
    table: str
    bucket: str
    credentials: Mapping[str, str]
    server: ServerProcess

    @property
    def url(self) -> str:
        """The load balancer stands between clients and this address."""
        return f"http://127.0.0.1:{urlsplit(self.server.url).port}"


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    folder = tmp_path_factory.mktemp("container")
    with run_emulator(folder, AUTH="true") as emulator:
        table = create_table(emulator.client("dynamodb"))
        bucket = create_bucket(emulator.client("s3"))
        loaded = config.parse(tomllib.loads(registry("acme")), allow_loopback=False)
        store = DynamoStore(emulator.client("dynamodb"), table)
        store.apply(loaded.configuration, loaded.publishers)
        keys = KmsKeys(lambda: emulator.client("kms"), BROKER_STACK)
        store.save_receipt_key(keys.make(datetime.now(UTC)), None)
        deploy(emulator, table, bucket)
        credentials = credentials_of_the_task(emulator)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in credentials.items():
                patch.setenv(name, value)
            patch.delenv("AWS_PROFILE", raising=False)
            patch.setenv("AWS_ENDPOINT_URL", emulator.endpoint_url)
            server = ServerProcess(None, folder / "log", *command_of_the_task(emulator))
            server.__enter__()
        try:
            yield Deployed(emulator, table, bucket, credentials, server)
        finally:
            server.stop()


def deploy(emulator: Emulator, table: str, bucket: str) -> None:
    """Deploy the server's template, then the one of CloudFront."""
    ec2 = emulator.client("ec2")
    network = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    blocks = ("10.0.0.0/24", "10.0.1.0/24")
    made = [ec2.create_subnet(VpcId=network, CidrBlock=block)["Subnet"] for block in blocks]
    subnets = ",".join(each["SubnetId"] for each in made)
    names = {"HostName": "packages.example.com", "Certificate": CERTIFICATE}
    outputs = create_stack(
        emulator,
        "server",
        "container/template.yaml",
        Image=f"registry.example.com/pytp-broker@sha256:{'0' * 64}",
        Table=table,
        Bucket=bucket,
        BrokerStack=BROKER_STACK,
        VpcId=network,
        LoadBalancerSubnetIds=subnets,
        ServerSubnetIds=subnets,
        CloudFrontPrefixList="pl-3b927c52",
        **names,
    )
    create_stack(
        emulator,
        "front",
        "firewall.yaml",
        RegionalDomain="d-a1b2c3d4e5.execute-api.us-east-1.amazonaws.com",
        UploadServer=outputs["UploadServer"],
        **names,
    )


def create_stack(
    emulator: Emulator, name: str, template: str, **parameters: str
) -> Mapping[str, str]:
    # The emulator does not make a number of a parameter's text, as CloudFormation does.
    body = (ROOT / "infra" / template).read_text().replace("!Ref Servers", "2")
    client = emulator.client("cloudformation")
    client.create_stack(
        StackName=name,
        TemplateBody=body,
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
    )
    client.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 0.2})
    (stack,) = client.describe_stacks(StackName=name)["Stacks"]
    return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}


def task_of(emulator: Emulator) -> Mapping[str, Any]:
    client = emulator.client("ecs")
    (arn,) = client.list_task_definitions()["taskDefinitionArns"]
    task: Mapping[str, Any] = client.describe_task_definition(taskDefinition=arn)["taskDefinition"]
    return task


def command_of_the_task(emulator: Emulator) -> list[str]:
    """Return the task's command line, on a free port of loopback."""
    (container,) = task_of(emulator)["containerDefinitions"]
    here = {"0.0.0.0": "127.0.0.1", "8080": "0"}  # noqa: S104 - what the task says
    return [here.get(word, word) for word in container["command"]]


def credentials_of_the_task(emulator: Emulator) -> Mapping[str, str]:
    """Return credentials of a user who may do what the task's role may.

    The role itself trusts ECS alone, so nobody here can take it.
    """
    iam = emulator.client("iam")
    role = task_of(emulator)["taskRoleArn"].rpartition("/")[2]
    iam.create_user(UserName="task")
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        iam.put_user_policy(UserName="task", PolicyName=name, PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName="task")["AccessKey"]
    return {
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
    }


def upload_token(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> str:
    """Return a token that an operator makes for the project; the server itself can mint none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        command = ("token", "create", "--registry", "acme", "--upload", "widgets")
        place = ("--table", deployed.table, "--endpoint-url", deployed.emulator.endpoint_url)
        assert main([*command, "--reason", "a test", *place, "--region", REGION]) == 0
    return capsys.readouterr().out.strip()


def twine(deployed: Deployed, folder: Path, token: str, wheel: Path) -> str:
    """Upload a wheel; return what twine says, and fail if it does."""
    done = Clients(folder, "").run(
        *(sys.executable, "-m", "twine", "upload", "--non-interactive", "--disable-progress-bar"),
        *("--repository-url", f"{deployed.url}/acme/legacy/", "-u", "__token__", "-p", token),
        wheel,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_twine_publishes_through_the_server_what_the_stores_of_the_stack_then_have(
    deployed: Deployed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = upload_token(deployed, capsys)
    wheel = Release().write(tmp_path, "py3-none-any", 30 * MB)

    twine(deployed, tmp_path, token, wheel)

    store = DynamoStore(deployed.emulator.client("dynamodb"), deployed.table)
    (file,) = [each for each in store.list_files("acme", "widgets") if each.filename == wheel.name]
    s3 = deployed.emulator.client("s3")
    (stored,) = s3.list_objects_v2(Bucket=deployed.bucket, Prefix=f"files/acme/{file.sha256}/")[
        "Contents"
    ][:1]
    assert stored["Size"] == file.size == wheel.stat().st_size > 29 * MB
    assert file.receipt_sha256


def test_the_server_may_neither_read_files_nor_scan_the_table(deployed: Deployed) -> None:
    own: dict[str, Any] = {
        "region_name": REGION,
        "endpoint_url": deployed.emulator.endpoint_url,
        "aws_access_key_id": deployed.credentials["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": deployed.credentials["AWS_SECRET_ACCESS_KEY"],
    }
    s3, dynamodb = boto3.client("s3", **own), boto3.client("dynamodb", **own)

    with pytest.raises(ClientError, match="AccessDenied"):
        s3.get_object(Bucket=deployed.bucket, Key="files/x")
    with pytest.raises(ClientError, match="AccessDenied"):
        dynamodb.scan(TableName=deployed.table)


def test_the_audit_record_has_the_address_that_cloudfront_has_seen(deployed: Deployed) -> None:
    answer = requests.post(
        f"{deployed.url}/acme/legacy/",
        headers={"X-Forwarded-For": f"203.0.113.66, {CLIENT}, {EDGE}"},
        auth=("__token__", "x"),
        timeout=30,
    )

    assert answer.status_code == 401
    assert deployed.server.events("access")[-1]["source_ip"] == CLIENT
    assert deployed.server.events("upload")[-1]["source_ip"] == CLIENT


def test_the_server_asks_for_nothing_that_its_role_refuses(deployed: Deployed) -> None:
    assert deployed.server.events("warning") == []
    assert deployed.server.events("fault") == []


def test_the_server_is_healthy(deployed: Deployed) -> None:
    assert requests.get(f"{deployed.url}/_/health", timeout=30).status_code == 200


def test_cloudfront_has_the_function_that_chooses_by_length(deployed: Deployed) -> None:
    client = deployed.emulator.client("cloudfront")
    (distribution,) = client.list_distributions()["DistributionList"]["Items"]

    origins = {each["Id"] for each in distribution["Origins"]["Items"]}
    assert origins == {"Broker", "UploadServer"}
    paths = {each["PathPattern"] for each in distribution["CacheBehaviors"]["Items"]}
    assert paths == {"/legacy*", "/*/legacy*"}
