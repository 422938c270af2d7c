"""`infra/operator.yaml` against what the operator's commands really ask of AWS: exactly that."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from pytp_broker.aws.deployments import Address
from pytp_broker.aws.dynamodb.broker_table import _DESCRIPTION
from pytp_broker.aws.dynamodb.operating import DynamoStore
from pytp_broker.aws.inspection import open_inspection
from pytp_broker.aws.kms_keys import TAG
from pytp_broker.aws.s3 import S3Files
from pytp_broker.aws.s3_bin import S3Bin
from pytp_broker.aws.s3_listings import S3Listings
from pytp_broker.cli import main
from pytp_broker.content import Held
from pytp_broker.doctor.cloud import Cloud, read_stack
from pytp_broker.doctor.findings import NotCheckedError
from pytp_broker.doctor.stack import look_at_drift
from pytp_broker.doctor.visit import Visit
from pytp_broker.storage.file_store import attestations_key, keys_of
from tests.support.distributions import wheel
from tests.support.emulator import REGION, Emulator, make_client, run_emulator
from tests.support.old_tables import make_old
from tests.support.recorded_calls import Call, recorded
from tests.support.samples import GITHUB, NOW, Table, configuration, file, record, session
from tests.support.stub_stack import StubStack, deploy
from tests.unit.project.test_template import Loader, as_list, is_met

pytestmark = pytest.mark.ministack

PATH = Path(__file__).parents[2] / "infra" / "operator.yaml"
TEMPLATE: dict[str, Any] = Loader(PATH.read_text()).get_single_data()
STACK = "packages"
BROKER = {
    "Resources": {
        "Table": {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {"BillingMode": "PAY_PER_REQUEST", **_DESCRIPTION},
        },
        "Bucket": {"Type": "AWS::S3::Bucket"},
        "Key": {
            "Type": "AWS::KMS::Key",
            "Properties": {
                "KeySpec": "ECC_NIST_P256",
                "KeyUsage": "SIGN_VERIFY",
                "KeyPolicy": {"Version": "2012-10-17", "Statement": []},
                "Tags": [{"Key": TAG, "Value": STACK}],
            },
        },
    }
}
CONFIGURATION = """
[[registries]]
name = "acme"
[[registries.publishers]]
projects = ["widgets"]
[registries.publishers.github]
repository = "octo-org/widgets"
repository_owner_id = "1"
workflow = "release.yml"
[[registries]]
name = "other"
"""
CHANGED = CONFIGURATION.replace('["widgets"]', '["widgets", "gadgets"]')
WITHOUT_OTHER = '[[registries]]\nname = "acme"\n'
NAME = wheel().filename
CLAIMS = {"iss": GITHUB, "repository": "octo-org/widgets"}

READ, APPLY, UPGRADE = "ReadPolicy", "ApplyPolicy", "UpgradePolicy"
OPERATE, IMPORT, DOCTOR = "OperatePolicy", "ImportPolicy", "DoctorPolicy"
# The stack that doctor looks at is whole, and has another name.
EXAMINED = "examined"


@dataclass(frozen=True)
class Right:
    """One action on one thing, or on the rows of one pattern, of one statement."""

    policy: str
    statement: str
    action: str
    place: str


def rights_of(policy: str) -> dict[Right, Mapping[str, Any]]:
    """Return every right of a policy with its statement."""
    document = TEMPLATE["Resources"][policy]["Properties"]["PolicyDocument"]
    found = {}
    for statement in document["Statement"]:
        assert statement["Effect"] == "Allow"
        keys = statement.get("Condition", {}).get("ForAllValues:StringLike", {})
        places = keys.get("dynamodb:LeadingKeys") or as_list(statement["Resource"])
        for action in as_list(statement["Action"]):
            for place in places:
                shown = place if isinstance(place, str) else place["Fn::Sub"]
                found[Right(policy, statement["Sid"], action, shown)] = statement
    return found


# The resources of statements as recorded calls name them.
NAMES = {
    "stack/${Stack}/*": "stack",
    "table/${Table}": "table",
    "table/${Table}/index/Listed": "index",
    "key/*": "key",
}


def target_of(resource: str) -> str:
    last = re.sub(r"\$\{AWS::\w+\}", "", resource).split(":", 5)[-1]
    return NAMES.get(last, last.replace("${Bucket}", "bucket"))


def uses(call: Call, policy: str) -> list[Right]:
    """Return the rights of a policy that a call uses; none if the policy does not allow it."""
    used = []
    for right, statement in rights_of(policy).items():
        resources = [
            r if isinstance(r, str) else r["Fn::Sub"] for r in as_list(statement["Resource"])
        ]
        targets = map(target_of, resources)
        if right.action != call.action or not any(fnmatchcase(call.target, t) for t in targets):
            continue
        conditions = statement.get("Condition", {})
        asked = {
            "dynamodb:LeadingKeys": sorted(call.leading_keys),
            "dynamodb:Attributes": sorted(call.attributes),
        }
        rows = {k: v for k, v in conditions.items() if k.startswith("ForAllValues")}
        if not all(is_met(name, allowed, asked) for name, allowed in rows.items()):
            continue
        if not all(is_tagged(call, *each) for each in conditions.get("StringEquals", {}).items()):
            continue
        if rows:
            is_used = any(fnmatchcase(key, right.place) for key in call.leading_keys)
        else:
            is_used = fnmatchcase(call.target, target_of(right.place))
        if is_used:
            used.append(right)
    return used


def is_tagged(call: Call, key: str, value: Any) -> bool:
    """Say whether a call meets a condition on a prefix, or on a tag of the request or of a key."""
    if key == "s3:prefix":
        return bool(call.prefix == value)
    kind, _, name = key.partition("/")
    wanted = STACK if value == {"Ref": "Stack"} else value
    return kind == "aws:ResourceTag" or (name, wanted) in call.tags


@dataclass(frozen=True)
class Broker:
    """A broker's stack on the emulator, and what its operators do there."""

    emulator: Emulator
    folder: Path
    store: DynamoStore
    table: Table
    bucket: str

    def do(self, *lines: str) -> list[Call]:
        """Run commands; return what they asked of AWS."""
        place = ("--stack", STACK, "--region", REGION, "--endpoint-url", self.emulator.endpoint_url)
        with recorded() as calls:
            for line in lines:
                assert main([*line.split(), *place]) == 0, line
        return calls

    def apply(self, text: str, *options: str) -> list[Call]:
        (self.folder / "broker.toml").write_text(text)
        path = str(self.folder / "broker.toml")
        return self.do(" ".join(["apply --yes --config", path, *options]))


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[Call]]]:
    """Return what operators of each kind asked of AWS, in a story of a broker."""
    with pytest.MonkeyPatch.context() as patched:
        for name, value in (("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")):
            patched.setenv(name, value)
        with run_emulator(tmp_path_factory.mktemp("emulator")) as emulator:
            # A command's clients for KMS and S3 have no option of their own for the emulator.
            patched.setenv("AWS_ENDPOINT_URL", emulator.endpoint_url)
            yield tell(open_broker(emulator, tmp_path_factory.mktemp("broker")))


def open_broker(emulator: Emulator, folder: Path) -> Broker:
    cloudformation = emulator.client("cloudformation")
    cloudformation.create_stack(StackName=STACK, TemplateBody=json.dumps(BROKER))
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=STACK, WaiterConfig={"Delay": 0.1, "MaxAttempts": 300}
    )
    found = cloudformation.describe_stack_resources(StackName=STACK)["StackResources"]
    names = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in found}
    client = emulator.client("dynamodb")
    store = DynamoStore(client, names["Table"])
    return Broker(emulator, folder, store, Table(client, names["Table"]), names["Bucket"])


def tell(broker: Broker) -> dict[str, list[Call]]:
    (broker.folder / wheel().filename).write_bytes(wheel().content)
    (broker.folder / "claims.json").write_text(json.dumps(CLAIMS))
    applying = broker.apply(CONFIGURATION)
    importing = broker.do(
        f"import --registry acme --from-folder {broker.folder} --host packages.example.com"
    )
    applying += broker.apply(CHANGED)
    operating = broker.do(
        "token create --registry acme --read --for Dana",
        "token create --registry other --upload gizmos --reason outage",
    )
    reading = read(broker)
    operating += broker.do(
        "token burn --registry acme",
        "release reopen acme widgets 1.0",
        "release yank acme widgets 1.0 --reason broken",
        "release unyank acme widgets 1.0 --reason mended",
        "project status acme widgets archived --reason old",
        "project status acme widgets active --reason again",
        f"file delete acme {NAME} --reason password",
        "receipt-key rotate",
    )
    applying += broker.apply(WITHOUT_OTHER, "--prune")
    operating += operate_rarely(broker)
    importing += import_rarely(broker)
    return {
        READ: reading,
        APPLY: applying,
        UPGRADE: upgrade(broker),
        OPERATE: operating,
        IMPORT: importing,
        DOCTOR: examine(broker),
    }


def read(broker: Broker) -> list[Call]:
    path = broker.folder / "claims.json"
    with recorded() as explaining:
        place = f"--stack {STACK} --region {REGION} --endpoint-url {broker.emulator.endpoint_url}"
        assert main(f"explain --registry acme {place} {path}".split()) == 1
    return explaining + broker.do(
        f"plan --config {broker.folder / 'broker.toml'}",
        "export",
        "registry list",
        "registry show acme",
        "publisher list",
        "reader list",
        "issuer list",
        "token list",
        "project list acme",
        "project show acme widgets",
        "file list acme",
        f"file show acme {NAME}",
        "release list acme widgets",
        "release show acme widgets 1.0",
        "audit",
        "receipt-key list",
    )


def operate_rarely(broker: Broker) -> list[Call]:
    """Do what commands do only with large projects, with staged files, and in races."""
    s3, key = broker.emulator.client("s3"), keys_of(file(upload_id="0" * 32))[0]
    s3.put_object(Bucket=broker.bucket, Key=key, Body=b"")
    with recorded() as calls:
        keep_large_listing(broker, "listings/acme/widgets/1")
        S3Bin(lambda: s3, broker.bucket).discard(key)
        broker.store.reopen_release("acme", "widgets", "1", NOW)
        of_none = record(grants=(replace(record().grants[0], registry="none"),))
        assert not broker.store.add_operators_token(of_none)
    return calls


def import_rarely(broker: Broker) -> list[Call]:
    """Do what `import` does only with large projects, with attestations, and beside an upload."""
    with recorded() as calls:
        keep_large_listing(broker, "listings/acme/widgets/2")
        client = make_client("s3", endpoint_url=broker.emulator.endpoint_url)
        key = attestations_key("acme", "0" * 64, NAME)
        S3Files(client, broker.bucket).save(key, Held(b""), hashlib.sha256(b"").hexdigest())
        client.close()
        broker.store.add_file(file("widgets-2.0.tar.gz", version="2.0"))
        # Another one makes a file visible at the same moment.
        marks = broker.store._mark(("acme", "widgets"), ["widgets-3.0.tar.gz"])
        broker.store._update_listing(("acme", "widgets"), marks)
    return calls


def keep_large_listing(broker: Broker, key: str) -> None:
    listings = S3Listings(lambda: broker.emulator.client("s3"), broker.bucket)
    listings.save(key, b"{}")
    listings.read(key)
    listings.retire(key)


def upgrade(broker: Broker) -> list[Call]:
    """Make the table one of version 0.1.0, and apply."""
    store = DynamoStore(broker.table.client, broker.table.name, now=NOW.timestamp)
    store.apply(configuration(), [])
    store.add_session(session())
    mine = record(grants=record().grants[:1])
    assert store.add_operators_token(mine)
    make_old(broker.table)
    with recorded() as calls:
        store.apply(configuration(), [])
    return calls


def examine(broker: Broker) -> list[Call]:
    """Run doctor at a stack of the whole template; return its calls, with our names of things."""
    stack = deploy(broker.emulator, EXAMINED)
    store = DynamoStore(broker.table.client, stack.outputs["Table"])
    path = broker.folder / "examined.toml"
    path.write_text(WITHOUT_OTHER)
    url = broker.emulator.endpoint_url
    place = f"--stack {EXAMINED} --region {REGION} --endpoint-url {url} --config {path}"
    assert main(f"apply --yes {place}".split()) == 0
    store.add_file(file())
    with recorded() as calls:
        # Nobody listens there: what the broker answers is not looked at here.
        assert main(f"doctor {place} --connect 127.0.0.1:9".split()) == 1
        examine_rarely(broker, store, stack)
    return [renamed(call, stack) for call in calls]


def examine_rarely(broker: Broker, store: DynamoStore, stack: StubStack) -> None:
    """Do what doctor does only with publishers, large projects, a host, and drift."""
    store.find_key_set(GITHUB)
    store.find_token("0" * 32, None)
    S3Listings(lambda: broker.emulator.client("s3"), broker.bucket).read("listings/acme/widgets/1")
    inspection = open_inspection(
        Address(EXAMINED, None, None, REGION, broker.emulator.endpoint_url)
    )
    drifted = replace(read_stack(EXAMINED, inspection), drift={"StackDriftStatus": "DRIFTED"})
    visit = Visit(cloud=Cloud(inspection, stack.outputs["Table"], stack=drifted))
    with suppress(NotCheckedError):  # the emulator looks for no drift
        list(look_at_drift(visit))


def renamed(call: Call, stack: StubStack) -> Call:
    """Return a call on what the template calls as the broker's outputs."""
    names = {value: f"${{{name}}}" for name, value in stack.outputs.items()}
    names[f"{EXAMINED}-"] = "${Stack}-"
    target = call.target
    for value, name in names.items():
        target = target.replace(value, name)
    return replace(call, target=target)


ALLOWED = {
    READ: [READ],
    APPLY: [READ, APPLY],
    UPGRADE: [READ, APPLY, UPGRADE],
    OPERATE: [READ, OPERATE],
    IMPORT: [READ, IMPORT],
    DOCTOR: [READ, DOCTOR],
}
# Everybody may ask who they are. What CreateKey does to a new key's tags, IAM calls TagResource.
WITHOUT_POLICY = "sts:GetCallerIdentity"
IMPLIED = "kms:TagResource"


@pytest.mark.parametrize("policy", ALLOWED)
def test_a_policy_allows_what_its_commands_do(calls: dict[str, list[Call]], policy: str) -> None:
    refused = {
        call
        for call in calls[policy]
        if call.action != WITHOUT_POLICY and not any(uses(call, each) for each in ALLOWED[policy])
    }

    assert refused == set()


@pytest.mark.parametrize("policy", ALLOWED)
def test_a_policy_allows_nothing_else(calls: dict[str, list[Call]], policy: str) -> None:
    used = {right for call in calls[policy] for right in uses(call, policy)}

    unused = rights_of(policy).keys() - used
    assert {right for right in unused if right.action != IMPLIED} == set()


@pytest.mark.parametrize("policy", ALLOWED)
def test_no_right_is_wider_than_named(policy: str) -> None:
    for right, statement in rights_of(policy).items():
        assert "*" not in right.action
        service, _, name = right.action.partition(":")
        is_a_row = service == "dynamodb" and name != "Scan" and not name.startswith("Describe")
        assert is_a_row == ("LeadingKeys" in str(statement.get("Condition")))
        assert statement["Resource"] != "*" or right.action in {"kms:CreateKey", IMPLIED}
        assert (right.action == "dynamodb:Scan") <= (policy == UPGRADE)


def test_no_command_scans(calls: dict[str, list[Call]]) -> None:
    told = {policy: {call.action for call in made} for policy, made in calls.items()}

    assert {policy for policy, actions in told.items() if "dynamodb:Scan" in actions} == {UPGRADE}
