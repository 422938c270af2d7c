"""A deleted stack whose data is taken up again, and a backup of its table, in a new stack.

The story is told once, in ``story``; each test looks at one thing of it. docs/backup.md says what
they show.
"""

import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pytp_broker import config
from tests.support.cloud import (
    ARCHITECTURE,
    ROOT,
    Cloud,
    deploy,
    need_tools,
    package,
    run_cloud,
    sam,
    shared_build,
    write_template,
)
from tests.support.configurations import registry
from tests.support.deployed import DeployedBroker, configuration_for, operate, problem_code
from tests.support.issuer import Issuer
from tests.support.signing import public_jwk

pytestmark = [pytest.mark.e2e, pytest.mark.deploy, pytest.mark.ministack]

STACK = "pytp-broker-kept"


@dataclass
class Story:
    """What happened: what take_up refused, and what clients saw, by its name."""

    seen: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Account:
    """An AWS account, and what is needed to deploy to it."""

    cloud: Cloud
    issuer: Issuer
    template: Path

    def deploy(self) -> DeployedBroker:
        # `sam delete` also removes the packed code.
        packaged = package(self.cloud, self.template)
        outputs = deploy(self.cloud, STACK, packaged, f"Architecture={ARCHITECTURE}")
        return DeployedBroker(self.cloud, outputs, self.issuer, STACK)

    def delete(self) -> None:
        sam(self.cloud, "delete", "--stack-name", STACK, "--no-prompts")

    def take_up(self, stack: str, table: str, bucket: str, key: str | None = None) -> str:
        """Run the command; return what it printed."""
        more = ("--receipt-key", key) if key else ()
        done = subprocess.run(
            [
                *(sys.executable, "-m", "infra.take_up", "--stack", stack),
                *("--table", table, "--bucket", bucket, *more),
            ],
            env={
                **self.cloud.environment,
                "PATH": os.environ["PATH"],
                "PYTHONPATH": f"{ROOT / 'functions'}:{ROOT}",
            },
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    need_tools()
    built = shared_build(tmp_path_factory)
    folder = tmp_path_factory.mktemp("taken-up")
    with Issuer() as issuer, run_cloud(folder) as cloud:
        account = Account(cloud, issuer, write_template(ROOT / "template.yaml", built))
        story = Story()
        broker = account.deploy()
        configure(broker, folder)
        backup, kept = publish_around_a_backup(broker, story.seen)
        refuse(account, broker, story.seen)
        account.delete()
        key = story.seen["key"]
        story.seen["taken up"] = account.take_up(
            STACK, broker.outputs["Table"], broker.outputs["Bucket"], key
        )
        look_at_the_same_data(account.deploy(), kept, story.seen)
        account.delete()
        restore(account, broker, backup, kept, story.seen)
        yield story


def configure(broker: DeployedBroker, folder: Path) -> None:
    path = folder / "broker.toml"
    path.write_text(registry("acme", access="public"))
    operate(broker, "apply", "--yes", "--config", str(path))
    text = configuration_for(broker.issuer.url)
    loaded = config.parse(tomllib.loads(text), allow_loopback=True)
    broker.store.apply(loaded.configuration, loaded.publishers)
    assert isinstance(broker.issuer, Issuer)
    broker.know_keys([public_jwk(key, key_id) for key_id, key in broker.issuer.keys.items()])


def publish_around_a_backup(
    broker: DeployedBroker, seen: dict[str, Any]
) -> tuple[str, Mapping[str, str]]:
    """Publish, make a backup, and publish again; return the backup and secrets from before."""
    token, burned = broker.new_token(), broker.new_token()
    assert broker.upload(token, "1.0").status_code == 200
    identity = broker.issuer.token(exp=int(time.time()) + 3600)
    seen["key"] = broker.store.list_receipt_keys()[0].location
    backup = broker.cloud.client("dynamodb").create_backup(
        TableName=broker.outputs["Table"], BackupName="nightly"
    )
    assert broker.mint(identity).status_code == 200
    assert broker.upload(token, "1.1").status_code == 200
    answer = broker.call("POST", "/acme/_/oidc/burn-token", json={"token": burned})
    assert answer.status_code == 202
    secrets = {"token": token, "burned": burned, "identity": identity}
    return str(backup["BackupDetails"]["BackupArn"]), secrets


def refuse(account: Account, broker: DeployedBroker, seen: dict[str, Any]) -> None:
    """Try to take up what must not be taken up."""
    table, bucket = broker.outputs["Table"], broker.outputs["Bucket"]
    seen["same stack"] = account.take_up(STACK, table, bucket)
    seen["in use"] = account.take_up("another", table, bucket)
    dynamodb = account.cloud.client("dynamodb")
    dynamodb.create_table(
        TableName="orders",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in ("pk", "sk")],
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
    )
    dynamodb.put_item(TableName="orders", Item={"pk": {"S": "ORDER#1"}, "sk": {"S": "LINE#1"}})
    account.cloud.client("s3").create_bucket(Bucket="others-bucket")
    seen["foreign table"] = account.take_up("another", "orders", "others-bucket")
    with pytest.raises(account.cloud.client("cloudformation").exceptions.ClientError):
        account.cloud.client("cloudformation").describe_stacks(StackName="another")


def look_at_the_same_data(
    broker: DeployedBroker, kept: Mapping[str, str], seen: dict[str, Any]
) -> None:
    seen["page"] = broker.call("GET", "/acme/simple/widgets/").text
    seen["replayed"] = problem_code(broker.mint(kept["identity"]))
    seen["burned"] = broker.upload(kept["burned"], "1.2").status_code
    seen["live"] = broker.upload(kept["token"], "1.2").status_code
    seen["keys"] = broker.call("GET", "/.well-known/pytp-receipt-keys").json()["keys"]


def restore(
    account: Account,
    broker: DeployedBroker,
    backup: str,
    kept: Mapping[str, str],
    seen: dict[str, Any],
) -> None:
    """Restore the backup, take it up, and end what could be used a second time.

    The emulator gives a table that it imported the name that it would have given it itself, so the
    restored table has the name of the old one here.
    """
    dynamodb, bucket = account.cloud.client("dynamodb"), broker.outputs["Bucket"]
    table = broker.outputs["Table"]
    with pytest.raises(dynamodb.exceptions.TableAlreadyExistsException):
        dynamodb.restore_table_from_backup(TargetTableName=table, BackupArn=backup)
    # The template protects it, even when its stack is gone.
    with pytest.raises(dynamodb.exceptions.ClientError, match="protected against deletion"):
        dynamodb.delete_table(TableName=table)
    dynamodb.update_table(TableName=table, DeletionProtectionEnabled=False)
    dynamodb.delete_table(TableName=table)
    dynamodb.restore_table_from_backup(TargetTableName=table, BackupArn=backup)
    dynamodb.get_waiter("table_exists").wait(TableName=table, WaiterConfig={"Delay": 1})
    seen["wrong bucket"] = account.take_up(STACK, table, "others-bucket")
    seen["no key"] = account.take_up(STACK, table, bucket, "nobody")
    others = account.cloud.client("kms").create_key(KeySpec="SYMMETRIC_DEFAULT")["KeyMetadata"]
    seen["wrong key"] = account.take_up(STACK, table, bucket, others["Arn"])
    seen["no bucket"] = account.take_up(STACK, table, "nobody")
    seen["no table"] = account.take_up(STACK, "nobody", bucket)
    seen["restored"] = account.take_up(STACK, table, bucket, seen["key"])
    restored = account.deploy()
    seen["ended"] = operate(restored, "token", "burn", "--all", "--identity-tokens")
    seen["restored page"] = restored.call("GET", "/acme/simple/widgets/").text
    seen["replayed after"] = restored.mint(kept["identity"]).json()
    seen["burned after"] = restored.upload(kept["burned"], "1.1").status_code
    described = dynamodb.describe_table(TableName=table)["Table"]
    seen["is protected"] = described["DeletionProtectionEnabled"]


def test_the_data_of_a_deleted_stack_is_taken_up_by_a_new_one(story: Story) -> None:
    assert story.seen["taken up"].startswith(f"taken up into {STACK}; now run `sam deploy")
    assert "widgets-1.0-py3-none-any.whl" in story.seen["page"]
    assert "widgets-1.1-py3-none-any.whl" in story.seen["page"]


def test_a_new_stack_with_the_data_knows_which_tokens_were_used_and_burned(story: Story) -> None:
    assert story.seen["replayed"] == "invalid-reuse-token"
    assert story.seen["burned"] == 401
    assert story.seen["live"] == 200


def test_receipts_are_signed_with_the_same_key(story: Story) -> None:
    (key,) = story.seen["keys"]
    assert "not_after" not in key


def test_a_restored_table_has_what_the_backup_has(story: Story) -> None:
    assert story.seen["restored"].startswith("taken up into ")
    assert "widgets-1.0-py3-none-any.whl" in story.seen["restored page"]
    assert "widgets-1.1-py3-none-any.whl" not in story.seen["restored page"]


@pytest.mark.promise("restored-store")
def test_what_was_used_up_or_burned_after_the_backup_is_not_good_again(story: Story) -> None:
    assert "identity tokens that were issued before" in story.seen["ended"]
    assert "was issued before" in story.seen["replayed after"]["detail"]
    assert story.seen["burned after"] == 401


def test_the_deployment_protects_a_restored_table(story: Story) -> None:
    """The emulator sets neither recovery nor TTL in an update; AWS does, and `doctor` looks."""
    assert story.seen["is protected"]


@pytest.mark.parametrize(
    ("tried", "why"),
    [
        ("same stack", f"there is a stack {STACK} already"),
        ("in use", f"belongs to the stack {STACK}"),
        ("foreign table", "is not a broker's"),
        ("no key", "NotFoundException"),
        ("wrong key", "is for ENCRYPT_DECRYPT with SYMMETRIC_DEFAULT"),
        ("no bucket", "404"),
        ("no table", "nobody"),
        ("wrong bucket", "does not have the file widgets-1.0-py3-none-any.whl"),
    ],
)
def test_what_is_not_this_brokers_is_not_taken_up(story: Story, tried: str, why: str) -> None:
    assert story.seen[tried].startswith("not taken up: ")
    assert why in story.seen[tried]
