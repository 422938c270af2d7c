"""The templates of `infra/`, as CloudFormation's linter reads them."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEMPLATES = sorted((ROOT / "infra").glob("*.yaml"))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_cloudformation_accepts(template: Path) -> None:
    linter = ROOT / ".venv-sam/bin/cfn-lint"
    if not linter.exists():
        pytest.skip("cfn-lint is not there: `make sam`")

    done = subprocess.run(
        [linter, template], capture_output=True, text=True, check=False, timeout=120
    )

    assert done.returncode == 0, done.stdout
