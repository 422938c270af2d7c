"""`infra/container`: the upload server's image, its command line and its rights."""

import json
import re
from pathlib import Path
from typing import Any

from pytp_broker.aws import edge
from pytp_broker.cli import _parser
from pytp_broker.cli.store_options import is_on_aws
from pytp_broker.local.proxies import Proxies
from pytp_broker.local.routes import load_template
from tests.unit.project.test_template import TEMPLATE

ROOT = Path(__file__).parents[3]
CONTAINERFILE = (ROOT / "infra/container/Containerfile").read_text()
SERVER = load_template(ROOT / "infra/container/template.yaml")
FIREWALL = load_template(ROOT / "infra/firewall.yaml")
(CONTAINER,) = SERVER["Resources"]["Task"]["Properties"]["ContainerDefinitions"]


def command_line() -> list[str]:
    """Return the arguments that the task gives to `serve`, with a text for each reference."""
    return [
        word if isinstance(word, str) else "packages.example.com" for word in CONTAINER["Command"]
    ]


def statements(role: dict[str, Any]) -> list[dict[str, Any]]:
    (policy,) = role["Properties"]["Policies"]
    found: list[dict[str, Any]] = policy["PolicyDocument"]["Statement"]
    return found


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_the_command_line_is_one_that_serve_takes() -> None:
    (entry_point,) = re.findall(r"^ENTRYPOINT (.*)$", CONTAINERFILE, re.MULTILINE)
    assert json.loads(entry_point)[1:] == ["-m", "pytp_broker.cli", "serve"]

    arguments = _parser().parse_args(["serve", *command_line()])

    assert is_on_aws(arguments)
    assert arguments.no_tls
    assert arguments.port == CONTAINER["PortMappings"][0]["ContainerPort"]


def test_the_client_is_whom_cloudfront_has_seen() -> None:
    arguments = _parser().parse_args(["serve", *command_line()])
    seen = {"x-forwarded-for": "203.0.113.66, 192.0.2.1, 198.51.100.9"}  # the first is invented

    assert Proxies(arguments.trusted_proxies).client_address("10.0.0.7", seen) == "192.0.2.1"


def test_the_server_may_do_what_the_upload_function_may_and_nothing_else() -> None:
    """It has a log of its own, and checks large files itself."""
    theirs = {s["Sid"]: s for s in statements(TEMPLATE["Resources"]["UploadRole"])}
    own = {s["Sid"]: s for s in statements(SERVER["Resources"]["ServerRole"])}

    assert own.keys() == theirs.keys() - {
        "WriteLogs",
        "LetFilesBeVerified",
        "LetAttestationsBeVerified",
    }
    for sid, statement in own.items():
        told = json.dumps(statement).replace('"BrokerStack"', '"AWS::StackName"')
        assert json.loads(told) | {"Resource": ""} == theirs[sid] | {"Resource": ""}
        assert "*" not in as_list(statement["Resource"])


def test_the_server_may_change_listings_and_look_for_reservations() -> None:
    names = {statement["Sid"] for statement in statements(SERVER["Resources"]["ServerRole"])}

    assert names >= {"ReadListings", "WriteListings", "ReadWithdrawn", "KeepSessions"}
    assert names >= {"KeepLargeListings", "RetireLargeListings"}


def test_the_server_runs_as_nobody_on_a_file_system_that_it_cannot_write() -> None:
    (user,) = re.findall(r"^USER (.*)$", CONTAINERFILE, re.MULTILINE)
    (spool,) = re.findall(r"TMPDIR=(\S+)", CONTAINERFILE)

    assert CONTAINER["User"] == user == "65532:65532"
    assert CONTAINER["ReadonlyRootFilesystem"] is True
    assert CONTAINER["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}
    assert [each["ContainerPath"] for each in CONTAINER["MountPoints"]] == [spool]
    assert f'VOLUME ["{spool}"]' in CONTAINERFILE


def test_what_the_image_copies_is_there() -> None:
    copied = re.findall(r"^COPY (?!--from)(\S+) ", CONTAINERFILE, re.MULTILINE)

    assert copied
    assert all((ROOT / path).exists() for path in copied)


def test_both_ask_for_the_health_where_it_is() -> None:
    port = CONTAINER["PortMappings"][0]["ContainerPort"]

    assert SERVER["Resources"]["Target"]["Properties"]["HealthCheckPath"] == "/_/health"
    assert f"http://127.0.0.1:{port}/_/health" in CONTAINERFILE


def test_nothing_but_uploads_reaches_the_server() -> None:
    resources = SERVER["Resources"]
    rule = resources["UploadRule"]["Properties"]["Conditions"]
    (otherwise,) = resources["Listener"]["Properties"]["DefaultActions"]
    (ingress,) = resources["ServerGroup"]["Properties"]["SecurityGroupIngress"]

    assert rule[0]["HttpRequestMethodConfig"] == {"Values": ["POST"]}
    assert {
        path.rpartition("*")[2].rstrip("/") for path in rule[1]["PathPatternConfig"]["Values"]
    } == {"/legacy"}
    assert otherwise["FixedResponseConfig"]["StatusCode"] == "404"
    assert ingress["SourceSecurityGroupId"] == {"Fn::GetAtt": "LoadBalancerGroup.GroupId"}


def test_cloudfront_alone_reaches_the_load_balancer() -> None:
    (ingress,) = SERVER["Resources"]["LoadBalancerGroup"]["Properties"]["SecurityGroupIngress"]

    assert ingress["SourcePrefixListId"] == {"Ref": "CloudFrontPrefixList"}
    assert "CidrIp" not in ingress


def test_every_path_of_an_upload_goes_by_its_length() -> None:
    distribution = FIREWALL["Resources"]["Distribution"]["Properties"]["DistributionConfig"]
    found = [each["Fn::If"] for each in distribution["CacheBehaviors"]]
    behaviors = [behavior for condition, behavior, _ in found if condition == "HasUploadServer"]

    assert all(otherwise == {"Ref": "AWS::NoValue"} for _, _, otherwise in found)
    assert [each["PathPattern"] for each in behaviors] == ["/legacy*", "/*/legacy*"]
    for each in behaviors:
        (association,) = each["FunctionAssociations"]
        assert association["EventType"] == "viewer-request"
        own = {"PathPattern": each["PathPattern"], "FunctionAssociations": [association]}
        assert each == distribution["DefaultCacheBehavior"] | own


def test_what_goes_to_a_function_fits_into_it() -> None:
    code = FIREWALL["Resources"]["ByLength"]["Properties"]["FunctionCode"]
    (factors,) = re.findall(r"FOR_A_FUNCTION = (\d+) \* 1024 \* 1024;", code)

    # The rest is for what the event has beside the body.
    assert int(factors) * 1024 * 1024 <= edge.MAX_UPLOAD_BYTES - 256 * 1024
