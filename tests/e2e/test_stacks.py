"""Every stack of infra/, deployed beside the broker's stack with the line of docs/deploying.md."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.cloud import (
    ARCHITECTURE,
    ROOT,
    Cloud,
    deploy,
    need_tools,
    package,
    run_cloud,
    shared_build,
    write_template,
)

pytestmark = [pytest.mark.e2e, pytest.mark.deploy, pytest.mark.ministack]

BROKER = "pytp-broker-beside"
TOPIC = "arn:aws:sns:us-east-1:000000000000:oncall"
CERTIFICATE = "arn:aws:acm:us-east-1:000000000000:certificate/00000000-0000-0000-0000-000000000000"
# A template, and the parameters that are no outputs of the broker's stack.
STACKS = {
    "alarms.yaml": {"Topic": TOPIC},
    "dashboard.yaml": {},
    "domain.yaml": {"HostName": "packages.example.com", "Certificate": CERTIFICATE},
    "firewall.yaml": {
        "HostName": "packages.example.com",
        "Certificate": CERTIFICATE,
        "RegionalDomain": "d-a1b2c3d4e5.execute-api.us-east-1.amazonaws.com",
    },
}
# Templates with a type that the emulator does not have; cfn-lint checks them (`make validate`).
NOT_EMULATED = {"queries.yaml": "AWS::Logs::QueryDefinition"}


@dataclass(frozen=True)
class Beside:
    """The broker's stack, whose outputs the other stacks take."""

    cloud: Cloud
    outputs: dict[str, str] = field(default_factory=dict)


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    need_tools()
    built = shared_build(tmp_path_factory)
    with run_cloud(tmp_path_factory.mktemp("stacks")) as cloud:
        packaged = package(cloud, write_template(ROOT / "template.yaml", built))
        yield Beside(cloud, deploy(cloud, BROKER, packaged, f"Architecture={ARCHITECTURE}"))


def test_every_stack_is_tried() -> None:
    found = {path.name for path in (ROOT / "infra").glob("*.yaml")}

    assert found == STACKS.keys() | NOT_EMULATED.keys()


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_can_be_deployed_beside_the_broker(beside: Beside, stack: str) -> None:
    given = {**beside.outputs, **STACKS[stack]}
    name = f"{BROKER}-{Path(stack).stem}"

    deploy(beside.cloud, name, ROOT / "infra" / stack, *(f"{k}={v}" for k, v in given.items()))

    resources = beside.cloud.client("cloudformation").describe_stack_resources(StackName=name)
    assert resources["StackResources"]
