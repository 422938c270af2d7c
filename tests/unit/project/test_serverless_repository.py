"""The template follows the rules of the AWS Serverless Application Repository."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pytp_broker import __version__
from tests.unit.project.test_template import TEMPLATE, statements

ROOT = Path(__file__).parents[3]
APPLICATION: dict[str, Any] = TEMPLATE["Metadata"]["AWS::ServerlessRepo::Application"]
# The types of the template, all of which are in the repository's list of supported resources
# (docs.aws.amazon.com/serverlessrepo/latest/devguide/list-supported-resources.html). A new type
# must be looked up there before it is added here.
SUPPORTED = {
    "AWS::ApiGatewayV2::Api",
    "AWS::ApiGatewayV2::Integration",
    "AWS::ApiGatewayV2::Route",
    "AWS::ApiGatewayV2::Stage",
    "AWS::DynamoDB::Table",
    "AWS::Events::Rule",
    "AWS::IAM::Policy",
    "AWS::IAM::Role",
    "AWS::KMS::Key",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::Permission",
    "AWS::Logs::LogGroup",
    "AWS::Logs::MetricFilter",
    "AWS::S3::Bucket",
    "AWS::S3::BucketPolicy",
    "AWS::SQS::Queue",
    "AWS::Serverless::Function",
    "AWS::Serverless::LayerVersion",
}
# Patterns and lengths as the AWS SAM developer guide has them.
RULES = {
    "Name": r"[a-zA-Z0-9-]{1,140}",
    "Description": r".{1,256}",
    "Author": r"[a-z0-9](([a-z0-9]|-(?!-)){0,125}[a-z0-9])?",
    "HomePageUrl": r"https://\S+",
    "SourceCodeUrl": r"https://\S+",
}
MAX_TEXT_BYTES = 5 * 1024 * 1024
MAX_LABELS = 10


@pytest.mark.parametrize(("name", "rule"), RULES.items())
def test_what_the_repository_shows_has_the_form_that_it_takes(name: str, rule: str) -> None:
    assert re.fullmatch(rule, APPLICATION[name]), APPLICATION[name]


def test_the_labels_have_the_form_that_the_repository_takes() -> None:
    assert 0 < len(APPLICATION["Labels"]) <= MAX_LABELS
    assert all(re.fullmatch(r"[a-zA-Z0-9+\-_:/@]{1,127}", each) for each in APPLICATION["Labels"])


def test_the_version_is_that_of_the_package() -> None:
    assert APPLICATION["SemanticVersion"] == __version__


@pytest.mark.parametrize("name", ["LicenseUrl", "ReadmeUrl"])
def test_the_licence_and_the_readme_are_there(name: str) -> None:
    assert 0 < (ROOT / APPLICATION[name]).stat().st_size <= MAX_TEXT_BYTES


def test_every_type_is_one_that_the_repository_supports() -> None:
    assert {resource["Type"] for resource in TEMPLATE["Resources"].values()} == SUPPORTED


def test_no_role_has_a_right_that_the_repository_refuses() -> None:
    roles = [n for n, r in TEMPLATE["Resources"].items() if r["Type"] == "AWS::IAM::Role"]
    actions = {
        action
        for role in roles
        for statement in statements(role)
        for action in (
            [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
        )
    }

    assert not {action for action in actions if action.startswith("iam:") or action == "*"}


def test_sam_publish_accepts_the_metadata() -> None:
    python = ROOT / ".venv-sam/bin/python"
    if not python.exists():
        pytest.skip("sam is not there: `make sam`")
    check = (
        "import sys; from samcli.yamlhelper import yaml_parse;"
        " from samcli.vendor.serverlessrepo.parser import get_app_metadata;"
        " found = get_app_metadata(yaml_parse(open(sys.argv[1]).read()));"
        " found.validate(['author', 'description', 'name', 'semantic_version']); print(found.name)"
    )

    done = subprocess.run(
        [python, "-c", check, ROOT / "template.yaml"], capture_output=True, text=True, check=False
    )

    assert done.stdout.strip() == APPLICATION["Name"], done.stderr
