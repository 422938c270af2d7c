"""The templates of `infra/`, as CloudFormation's linter reads them, and CloudFront's function."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pytp_broker.local.routes import load_template

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
TEMPLATES = sorted([*INFRA.glob("*.yaml"), *INFRA.glob("container/*.yaml")])


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_cloudformation_accepts(template: Path) -> None:
    linter = ROOT / ".venv-sam/bin/cfn-lint"
    if not linter.exists():
        pytest.skip("cfn-lint is not there: `make sam`")

    done = subprocess.run(
        [linter, template], capture_output=True, text=True, check=False, timeout=120
    )

    assert done.returncode == 0, done.stdout


MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("method", "length", "origin"),
    [
        ("POST", str(1), "Broker"),
        ("POST", str(4 * MIB), "Broker"),
        ("POST", str(4 * MIB + 1), "UploadServer"),
        ("POST", str(125 * MIB), "UploadServer"),
        ("POST", None, "UploadServer"),  # a client that does not know the length
        ("POST", "many", "UploadServer"),
        ("GET", None, "Broker"),
    ],
)
def test_cloudfront_sends_large_uploads_to_the_server(
    method: str, length: str | None, origin: str
) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not there: it runs the function of infra/firewall.yaml")
    headers = {} if length is None else {"content-length": {"value": length}}

    assert chosen_origin(node, {"method": method, "headers": headers}) == origin


def chosen_origin(node: str, request: dict[str, Any]) -> str:
    """Return the origin that the function of CloudFront chooses for a request."""
    template = load_template(ROOT / "infra/firewall.yaml")
    code = template["Resources"]["ByLength"]["Properties"]["FunctionCode"]
    script = (
        "let origin = 'Broker'; const cf = {selectRequestOriginById: (id) => { origin = id; }};\n"
        + code.removeprefix("import cf from 'cloudfront';\n")
        + f"\nconst request = {json.dumps(request)};\n"
        "if (handler({request}) !== request) throw new Error('another request');\n"
        "console.log(origin);\n"
    )
    done = subprocess.run(
        [node, "--eval", script], capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout.strip()
