"""`infra/`: the finished artifact, and alarms on what the code really counts."""

import importlib.util
import marshal
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from pytp_broker.audit.facts import NARROWER_REASONS
from pytp_broker.aws import cloudwatch, dataclass_code, edge
from pytp_broker.errors import Problem, TooManyRequests
from pytp_broker.http import paths
from pytp_broker.http.caching import SHARED_SECONDS
from pytp_broker.local.routes import load_template
from tests.unit.project.test_template import TEMPLATE, Loader

ROOT = Path(__file__).parents[3]
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
    for name in (
        *("exchange.py", "config/load.py", "cli/__init__.py", "local/server.py"),
        *("demo/story.py", "storage/sqlite/layout.py", "storage/protocols.py"),
        *("__init__.py", "aws/__init__.py"),
    ):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text("ANSWER = 42\n")
    shutil.copy(dataclass_code.__file__, package / "aws")
    (package / "storage" / "ruff.toml").touch()
    return tmp_path


def test_the_artifact_has_nothing_that_no_function_runs(built: Path) -> None:
    finish_build().finish(built)

    package = built / "BrokerFunction" / "pytp_broker"
    left = {f.relative_to(package).as_posix() for f in package.rglob("*.py")}
    assert left == {
        *("__init__.py", "aws/__init__.py", "aws/dataclass_code.py"),
        *("exchange.py", "storage/protocols.py"),
    }
    assert not [*package.rglob("ruff.toml")]


def test_a_layer_has_nothing_that_the_functions_have(built: Path) -> None:
    function, layer = built / "BrokerFunction", built / "AttestationLibraries" / "python"
    for folder, names in ((function, ("both", "one.py")), (layer, ("both", "other", "one.py"))):
        for name in names:
            file = folder / name if name.endswith(".py") else folder / name / "__init__.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("ANSWER = 42\n")

    finish_build().finish(built)

    assert [path.name for path in layer.iterdir()] == ["other"]
    assert [*(layer / "other/__pycache__").glob("*.pyc")]


def test_what_is_left_out_is_there_to_be_left_out() -> None:
    package = INFRA.parent / "functions" / "pytp_broker"

    for name in finish_build().LEFT_OUT:
        assert (package / name).is_dir() or (package / f"{name}.py").is_file(), name


def test_the_artifact_has_no_byte_code_of_another_python(built: Path) -> None:
    cache = built / "BrokerFunction" / "pytp_broker" / "__pycache__"
    cache.mkdir()
    (cache / "exchange.cpython-31.pyc").write_bytes(b"")

    finish_build().finish(built)

    assert {path.name for path in cache.iterdir()} == {
        Path(importlib.util.cache_from_source(name)).name for name in ("__init__.py", "exchange.py")
    }


def test_the_artifact_is_compiled_for_any_date(built: Path) -> None:
    finish_build().finish(built)

    compiled = [*built.rglob("*.pyc")]
    assert len(compiled) == len([*built.rglob("*.py")])
    for file in compiled:
        flags = int.from_bytes(file.read_bytes()[4:8], "little")
        assert flags == 0b01  # a hash, and nobody looks at it (PEP 552)


def test_the_artifact_has_the_code_of_its_dataclasses(built: Path) -> None:
    """Also of a class whose module needs a library that is not there, and in every function."""
    package = built / "BrokerFunction" / "pytp_broker"
    (package / "exchange.py").write_text("""
from dataclasses import dataclass
from library.deep import Base, Something

class Own(Base):
    pass

@dataclass(frozen=True, slots=True)
class Value:
    one: Something | None
    two: "str" = ""
""")
    shutil.copytree(built / "BrokerFunction", built / "ReadFunction")

    finish_build().finish(built)

    name = f"dataclass_code.{sys.implementation.cache_tag}"
    files = [built / f / "pytp_broker/aws" / name for f in ("BrokerFunction", "ReadFunction")]
    kept = [marshal.loads(file.read_bytes()) for file in files]  # noqa: S302 - made just now
    assert kept[0] == kept[1]
    assert any(b"Value" in code or b"__init__" in code for code in kept[0].values())


def test_a_build_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="run `sam build` first"):
        finish_build().finish(tmp_path)


def test_a_file_that_does_not_compile_is_said(built: Path) -> None:
    (built / "BrokerFunction" / "pytp_broker" / "exchange.py").write_text("def\n")

    with pytest.raises(SystemExit, match="does not compile"):
        finish_build().finish(built)


# --- the architecture that was built --------------------------------------------------------------

ELF = b"\x7fELF\x02\x01\x01".ljust(18, b"\0")
X86_64, ARM64 = (0x3E).to_bytes(2, "little"), (0xB7).to_bytes(2, "little")
# As `sam build` writes it.
BUILT_TEMPLATE = """Parameters:
  HostName:
    Type: String
    Default: ''
  Architecture:
    Description: Processor of the functions; arm64 costs a fifth less. What is built
      takes no other.
    Type: String
    Default: arm64
    AllowedValues:
    - arm64
    - x86_64
    ConstraintDescription: must be the processor that was built for
Globals:
  Function:
    Architectures:
    - Ref: Architecture
"""


def add_library(built: Path, machine: bytes, name: str = "_rust.abi3.so") -> None:
    library = built / "BrokerFunction" / "cryptography" / name
    library.parent.mkdir(exist_ok=True)
    library.write_bytes(ELF + machine + b"\0" * 44)


def architecture(template: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(template.read_text(), Loader)["Parameters"]["Architecture"]  # noqa: S506
    return found


@pytest.mark.parametrize("text", [BUILT_TEMPLATE, (ROOT / "template.yaml").read_text()])
@pytest.mark.parametrize(("machine", "name"), [(X86_64, "x86_64"), (ARM64, "arm64")])
def test_what_is_built_can_be_deployed_for_its_own_processor_only(
    built: Path, text: str, machine: bytes, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    template = built / "template.yaml"
    template.write_text(text)
    before = yaml.load(text, Loader)  # noqa: S506
    add_library(built, machine)

    finish_build().finish(built)
    finish_build().finish(built)  # again, as after a cached build

    assert architecture(template)["Default"] == name
    assert architecture(template)["AllowedValues"] == [name]
    after = yaml.load(template.read_text(), Loader)  # noqa: S506
    before["Parameters"]["Architecture"] |= {"Default": name, "AllowedValues": [name]}
    assert after == before
    assert f"built for {name}" in capsys.readouterr().out


def test_a_build_for_two_processors_is_said(built: Path) -> None:
    (built / "template.yaml").write_text(BUILT_TEMPLATE)
    add_library(built, X86_64)
    add_library(built, ARM64, "other.so.1")

    with pytest.raises(SystemExit, match="holds libraries for arm64 and x86_64"):
        finish_build().finish(built)


def test_a_template_without_the_parameter_is_said(built: Path) -> None:
    (built / "template.yaml").write_text("Parameters: {}\n")
    add_library(built, X86_64)

    with pytest.raises(SystemExit, match="has no parameter Architecture"):
        finish_build().finish(built)


def test_a_library_that_is_not_compiled_says_nothing(built: Path) -> None:
    library = built / "BrokerFunction" / "notes.so"
    library.write_text("INPUT(-lc)")

    finish_build().finish(built)


def test_the_build_is_told_the_architecture_that_is_asked_for() -> None:
    makefile = (ROOT / "Makefile").read_text()

    assert (
        "sam build --cached --parallel \\\n\t\t--parameter-overrides Architecture=$(ARCH"
        in makefile
    )


def test_what_the_guided_deployment_writes_is_ignored() -> None:
    """It writes its answers into this file, and a change in a tracked file disturbs an upgrade."""
    assert "samconfig.toml" in (ROOT / ".gitignore").read_text().splitlines()
    readme = (ROOT / "README.md").read_text()
    (stack,) = re.findall(r"sam deploy --guided --stack-name (\S+)", readme)
    assert f"apply --config broker.toml --stack {stack}\n" in readme


# --- alarms and firewall --------------------------------------------------------------------------


def our_metrics() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, resource in ALARMS["Resources"].items():
        if resource["Properties"].get("Namespace") == cloudwatch.NAMESPACE:
            yield name, resource["Properties"]


def reasons(kind: type[Problem] = Problem) -> Iterator[str]:
    for child in kind.__subclasses__():
        problem = child.__new__(child)
        yield problem.reason
        yield from reasons(child)


def counted_in_logs() -> Iterator[dict[str, Any]]:
    for resource in TEMPLATE["Resources"].values():
        if resource["Type"] == "AWS::Logs::MetricFilter":
            yield from resource["Properties"]["MetricTransformations"]


def test_every_alarm_is_on_a_metric_that_the_code_or_a_log_writes() -> None:
    source = Path(str(sys.modules[edge.__name__].__file__)).read_text()
    in_logs = {m["MetricName"] for m in counted_in_logs()}

    for _, alarm in our_metrics():
        assert f'"{alarm["MetricName"]}"' in source or alarm["MetricName"] in in_logs


def test_there_are_alarms_on_what_is_throttled_and_on_what_is_refused_too_often() -> None:
    gateway = ALARMS["Resources"]["ThrottledRequests"]["Properties"]
    budget = ALARMS["Resources"]["TooManyRefusals"]["Properties"]
    (counted,) = counted_in_logs()

    for name, of_alarm in (("MetricNamespace", "Namespace"), ("MetricName", "MetricName")):
        assert counted[name] == gateway[of_alarm]
    assert {"Name": "reason", "Value": TooManyRequests.code} in budget["Dimensions"]


def test_what_is_throttled_is_counted_by_the_status_in_the_access_log() -> None:
    resources = TEMPLATE["Resources"]
    (throttled,) = (r for r in resources.values() if r["Type"] == "AWS::Logs::MetricFilter")
    line = resources["Stage"]["Properties"]["AccessLogSettings"]["Format"]

    assert '"status":"$context.status"' in line  # a text, so the filter compares a text
    assert throttled["Properties"]["FilterPattern"] == '{ $.status = "429" }'
    assert throttled["Properties"]["LogGroupName"] == {"Ref": "AccessLogs"}


@pytest.mark.promise("counted-in-memory")
def test_the_firewall_counts_the_exchanges_of_each_address() -> None:
    firewall = yaml.load((INFRA / "firewall.yaml").read_text(), Loader)  # noqa: S506
    (rule,) = firewall["Resources"]["Firewall"]["Properties"]["Rules"]
    statement = rule["Statement"]["RateBasedStatement"]

    assert statement["AggregateKeyType"] == "IP"
    matches = [
        each["ByteMatchStatement"]
        for each in statement["ScopeDownStatement"]["OrStatement"]["Statements"]
    ]
    assert {match["PositionalConstraint"] for match in matches} == {"ENDS_WITH"}
    endings = tuple(match["SearchString"] for match in matches)
    for path in (paths.MINT, paths.GITHUB_MINT, paths.MINT_READ):
        assert str(path).endswith(endings)


def test_cloudfront_keeps_only_pages_of_the_public_registry_and_only_as_they_say() -> None:
    resources = load_template(INFRA / "firewall.yaml")["Resources"]
    distribution = resources["Distribution"]["Properties"]["DistributionConfig"]
    policy = resources["PublicPages"]["Properties"]["CachePolicyConfig"]
    behaviors = [each["Fn::If"] for each in distribution["CacheBehaviors"]]
    keeping = [each for _, each, _ in behaviors if each["CachePolicyId"] == {"Ref": "PublicPages"}]

    assert [each["PathPattern"] for each in keeping] == [
        {"Fn::Sub": "/${PublicRegistry}/simple/*"},
        {"Fn::Sub": "/${PublicRegistry}/project/*"},
    ]
    assert all("AllowedMethods" not in each for each in keeping)  # GET and HEAD
    assert (policy["MinTTL"], policy["DefaultTTL"]) == (0, 0)
    assert policy["MaxTTL"] >= SHARED_SECONDS
    key = policy["ParametersInCacheKeyAndForwardedToOrigin"]
    assert key["EnableAcceptEncodingGzip"] is True
    assert key["HeadersConfig"]["Headers"] == ["Accept"]
    assert {each["ErrorCachingMinTTL"] for each in distribution["CustomErrorResponses"]} == {0}


def test_every_alarm_on_records_is_on_a_reason_that_exists() -> None:
    known = {*reasons(), *NARROWER_REASONS, "none"}

    for name, alarm in our_metrics():
        labels = {d["Name"]: d["Value"] for d in alarm.get("Dimensions", [])}
        assert labels.keys() in ({"event", "outcome", "reason"}, set()), name
        if labels:
            assert labels["reason"] in known, name


def test_there_is_an_alarm_on_files_that_could_not_be_verified() -> None:
    alarm = ALARMS["Resources"]["FilesNotVerified"]["Properties"]

    assert alarm["Namespace"] == "AWS/SQS"
    assert alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": {"Ref": "FailedVerifications"}}]
    assert alarm["Threshold"] == 1
    queue = TEMPLATE["Outputs"]["FailedVerifications"]["Value"]
    assert queue == {"Fn::GetAtt": "FailedVerifications.QueueName"}


def test_what_the_alarms_ask_for_is_an_output_of_the_broker() -> None:
    asked = ALARMS["Parameters"].keys() - {"Topic"}

    assert asked <= TEMPLATE["Outputs"].keys()
