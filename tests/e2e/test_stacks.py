"""Every stack of infra/, deployed beside the broker's stack with the line of docs/deploying.md.

The emulator does not have everything: ``NOT_EMULATED`` says what is left out here. cfn-lint checks
the whole templates (`make validate`).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pytp_broker.local.routes import load_template
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
    "operator.yaml": {"Stack": BROKER},
}
# Of this the emulator has nothing.
LEFT_OUT = {"queries.yaml"}
# Properties by their types.
NOT_EMULATED = {("AWS::CloudWatch::Alarm", "Metrics")}


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


def emulated(template: dict[str, Any]) -> dict[str, Any]:
    """Return a template without what the emulator does not have."""
    kept = {
        name: resource
        for name, resource in template["Resources"].items()
        if not NOT_EMULATED & {(resource["Type"], each) for each in resource["Properties"]}
    }
    return {**template, "Resources": kept}


def test_every_stack_is_tried() -> None:
    assert {path.name for path in (ROOT / "infra").glob("*.yaml")} == STACKS.keys() | LEFT_OUT


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_can_be_deployed_beside_the_broker(
    beside: Beside, tmp_path: Path, stack: str
) -> None:
    template = emulated(load_template(ROOT / "infra" / stack))
    path = tmp_path / "template.json"
    path.write_text(json.dumps(template))
    given = {**beside.outputs, **STACKS[stack]}
    name = f"{BROKER}-{Path(stack).stem}"

    deploy(beside.cloud, name, path, *(f"{k}={v}" for k, v in given.items()))

    resources = beside.cloud.client("cloudformation").describe_stack_resources(StackName=name)
    made = {each["LogicalResourceId"] for each in resources["StackResources"]}
    always = {n for n, r in template["Resources"].items() if "Condition" not in r}
    assert always <= made
