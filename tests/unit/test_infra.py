"""`infra/`: the finished artifact, and alarms on what the code really counts."""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from pytp_broker.aws import edge
from pytp_broker.errors import Problem, TooManyRequests
from tests.unit.test_template import TEMPLATE, Loader

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
ALARMS: dict[str, Any] = yaml.load((INFRA / "alarms.yaml").read_text(), Loader)  # noqa: S506


def finish_build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("finish_build", INFRA / "finish_build.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def built(tmp_path: Path) -> Path:
    package = tmp_path / "BrokerFunction" / "pytp_broker"
    for name in ("exchange.py", "config/load.py", "cli/__init__.py", "local/server.py"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text("ANSWER = 42\n")
    return tmp_path


def test_the_artifact_has_nothing_that_no_function_runs(built: Path) -> None:
    finish_build().finish(built)

    package = built / "BrokerFunction" / "pytp_broker"
    assert [path.name for path in package.glob("*.py")] == ["exchange.py"]
    assert not (package / "cli").exists()
    assert not (package / "config").exists()
    assert not (package / "local").exists()


def test_the_artifact_is_compiled_for_any_date(built: Path) -> None:
    finish_build().finish(built)

    (compiled,) = (built / "BrokerFunction" / "pytp_broker" / "__pycache__").iterdir()
    flags = int.from_bytes(compiled.read_bytes()[4:8], "little")
    assert flags == 0b01  # a hash, and nobody looks at it (PEP 552)


def test_a_build_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="run `sam build` first"):
        finish_build().finish(tmp_path)


def test_a_file_that_does_not_compile_is_said(built: Path) -> None:
    (built / "BrokerFunction" / "pytp_broker" / "exchange.py").write_text("def\n")

    with pytest.raises(SystemExit, match="does not compile"):
        finish_build().finish(built)


def our_metrics() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, resource in ALARMS["Resources"].items():
        if resource["Properties"]["Namespace"] == edge.NAMESPACE:
            yield name, resource["Properties"]


def reasons(kind: type[Problem] = Problem) -> Iterator[str]:
    for child in kind.__subclasses__():
        problem = child.__new__(child)
        yield problem.reason
        yield from reasons(child)


def test_every_alarm_is_on_a_metric_that_the_code_writes() -> None:
    source = Path(str(sys.modules[edge.__name__].__file__)).read_text()

    for _, alarm in our_metrics():
        assert f'"{alarm["MetricName"]}"' in source


def test_there_are_alarms_on_what_is_throttled_and_on_what_is_refused_too_often() -> None:
    gateway = ALARMS["Resources"]["ThrottledRequests"]["Properties"]
    budget = ALARMS["Resources"]["TooManyRefusals"]["Properties"]

    assert (gateway["Namespace"], gateway["MetricName"]) == ("AWS/ApiGateway", "4xx")
    assert {"Name": "reason", "Value": TooManyRequests.code} in budget["Dimensions"]


def test_the_firewall_counts_the_exchanges_of_each_address() -> None:
    firewall = yaml.load((INFRA / "firewall.yaml").read_text(), Loader)  # noqa: S506
    (rule,) = firewall["Resources"]["Firewall"]["Properties"]["Rules"]
    statement = rule["Statement"]["RateBasedStatement"]

    assert statement["AggregateKeyType"] == "IP"
    match = statement["ScopeDownStatement"]["ByteMatchStatement"]
    assert match["PositionalConstraint"] == "ENDS_WITH"
    assert all(
        key.endswith(match["SearchString"])
        for key in TEMPLATE["Resources"]["Stage"]["Properties"]["RouteSettings"]
    )


@pytest.mark.parametrize("template", sorted(INFRA.glob("*.yaml")), ids=lambda path: path.name)
def test_cloudformation_accepts(template: Path) -> None:
    linter = ROOT / ".venv-sam/bin/cfn-lint"
    if not linter.exists():
        pytest.skip("cfn-lint is not there: `make sam`")

    done = subprocess.run(
        [linter, template], capture_output=True, text=True, check=False, timeout=120
    )

    assert done.returncode == 0, done.stdout


def test_every_alarm_on_an_exchange_is_on_a_reason_that_exists() -> None:
    known = set(reasons())

    for name, alarm in our_metrics():
        labels = {d["Name"]: d["Value"] for d in alarm.get("Dimensions", [])}
        assert labels.keys() in ({"event", "outcome", "reason"}, set()), name
        if labels.get("event") == "exchange":
            assert labels["reason"] in known, name


def test_what_the_alarms_ask_for_is_an_output_of_the_broker() -> None:
    asked = ALARMS["Parameters"].keys() - {"Topic"}

    assert asked <= TEMPLATE["Outputs"].keys()
