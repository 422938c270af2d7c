"""Tables of other owners: a command refuses them before it writes anything."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from pytp_broker import cli
from pytp_broker.aws import dynamodb
from pytp_broker.aws.api.errors import RefusedError
from pytp_broker.aws.boto import Client
from pytp_broker.aws.deployments import NotOpenedError, StandIns, open_stand_ins
from pytp_broker.aws.dynamodb.broker_table import (
    ForeignTableError,
    check_table,
    ensure_table,
    is_known,
)
from pytp_broker.local.routes import find_template, load_template
from tests.support.refusals import refused

REGION = "eu-west-1"
CONFIGURATION = '[[registries]]\nname = "acme"\n'


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with mock_aws():
        made = Client(boto3.client("dynamodb", region_name=REGION))
        yield made
        made.close()


def make(client: Any, keys: dict[str, str], *rows: dict[str, str]) -> None:
    """Make the table `orders` with these keys, of the types given, and these rows of texts."""
    kinds = ("HASH", "RANGE")
    client.create_table(
        TableName="orders",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": k, "AttributeType": t} for k, t in keys.items()],
        KeySchema=[
            {"AttributeName": k, "KeyType": kind} for k, kind in zip(keys, kinds, strict=False)
        ],
    )
    for row in rows:
        item = {name: {keys.get(name, "S"): value} for name, value in row.items()}
        client.put_item(TableName="orders", Item=item)


BROKERS = {"pk": "S", "sk": "S"}
FOREIGN: dict[str, tuple[dict[str, str], list[dict[str, str]]]] = {
    "other keys": ({"id": "S"}, []),
    "no sort key": ({"pk": "S"}, []),
    "another sort key": ({"pk": "S", "id": "S"}, []),
    "the keys turned round": ({"sk": "S", "pk": "S"}, []),
    "a number as a key": ({"pk": "S", "sk": "N"}, []),
    "rows of its own": (BROKERS, [{"pk": "ORDER#1", "sk": "ITEM#1"}]),
    "rows like ours": (BROKERS, [{"pk": "PROJECT#1", "sk": "PROJECT#1"}]),
    "rows of its own among ours": (
        BROKERS,
        [{"pk": "CONFIGURATION", "sk": "MAIN"}, {"pk": "USER#1", "sk": "PROFILE"}],
    ),
}


def apply(tmp_path: Path, *options: str) -> int:
    (tmp_path / "broker.toml").write_text(CONFIGURATION)
    return cli.main(["apply", "--yes", "--config", str(tmp_path / "broker.toml"), *options])


@pytest.mark.parametrize("name", FOREIGN)
def test_a_table_of_somebody_else_is_refused_before_anything_is_written(
    client: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    keys, rows = FOREIGN[name]
    make(client, keys, *rows)

    status = apply(tmp_path, "--table", "orders")

    said = capsys.readouterr()
    assert status == 1
    assert "the table orders is not a broker's: " in said.err + said.out
    assert "--stack" in said.err + said.out
    assert client.scan(TableName="orders")["Count"] == len(rows)


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("the keys turned round", "its key is sk (HASH, S), pk (RANGE, S)"),
        ("a number as a key", "its key is pk (HASH, S), sk (RANGE, N)"),
        ("other keys", "its key is id (HASH, S)"),
    ],
)
def test_another_key_is_told_with_a_brokers(
    client: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, seen: str
) -> None:
    make(client, FOREIGN[name][0])

    apply(tmp_path, "--table", "orders")

    said = " ".join(capsys.readouterr().err.split())
    assert f"{seen}, and a broker's is pk (HASH, S), sk (RANGE, S)" in said


def test_an_empty_table_of_the_right_keys_becomes_a_brokers(client: Any, tmp_path: Path) -> None:
    make(client, BROKERS)

    assert apply(tmp_path, "--table", "orders") == 0
    assert apply(tmp_path, "--table", "orders") == 0


def test_serve_writes_into_no_table_of_somebody_else(client: Any) -> None:
    make(client, BROKERS, {"pk": "ORDER#1", "sk": "ITEM#1"})
    boto3.client("s3", region_name="us-east-1").close()
    places = StandIns(
        dynamodb_url=f"https://dynamodb.{REGION}.amazonaws.com",
        s3_url=f"https://s3.{REGION}.amazonaws.com",
        table="orders",
        bucket="files",
    )

    with pytest.raises(NotOpenedError, match="ORDER#1"):
        open_stand_ins(places)


def test_a_table_that_is_made_has_the_keys_of_the_templates(client: Any) -> None:
    resources = load_template(find_template())["Resources"].values()
    (table,) = [each["Properties"] for each in resources if each["Type"] == "AWS::DynamoDB::Table"]

    ensure_table(client, "orders")
    ensure_table(client, "orders")

    made = client.describe_table(TableName="orders")["Table"]
    assert made["KeySchema"] == table["KeySchema"]
    assert made["AttributeDefinitions"] == table["AttributeDefinitions"]


def rows_in_the_documentation() -> list[tuple[str, str]]:
    """Return the keys of every row that the store's own table of them lists."""
    found = re.findall(r"^``(\S+?)``\s+``(\S+?)``", str(dynamodb.__doc__), re.MULTILINE)
    assert len(found) > 10
    return found


@pytest.mark.parametrize(("pk", "sk"), rows_in_the_documentation())
def test_every_row_of_ours_is_known(pk: str, sk: str) -> None:
    assert is_known(pk, sk)


@pytest.mark.parametrize(
    ("pk", "sk"),
    [("", ""), ("CONFIGURATION", "OTHER"), ("CONFIGURATIONS", "MAIN"), ("TOKEN", "TOKEN")],
)
def test_no_other_row_is_known(pk: str, sk: str) -> None:
    assert not is_known(pk, sk)


# --- rights ---------------------------------------------------------------------------------------


class Denying:
    """A client that is denied some operations."""

    def __init__(self, client: Any, *denied: str) -> None:
        self._client, self._denied = client, denied

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name in self._denied:
            return lambda **_: self._deny(name)
        operation: Callable[..., Any] = getattr(self._client, name)
        return operation

    def _deny(self, name: str) -> None:
        raise refused(name, "AccessDeniedException")


def test_the_rows_say_enough_where_the_schema_may_not_be_seen(client: Any) -> None:
    make(client, {"id": "S"}, {"id": "1"})
    denying: Any = Denying(client, "describe_table")

    with pytest.raises(ForeignTableError):
        check_table(denying, "orders")


def test_what_fails_while_a_table_is_looked_at_is_told(client: Any) -> None:
    make(client, BROKERS)
    denying: Any = Denying(client, "query")

    with pytest.raises(RefusedError):
        check_table(denying, "orders")


def test_who_writes_must_be_allowed_to_look(client: Any) -> None:
    make(client, BROKERS)
    denying: Any = Denying(client, "scan")

    check_table(denying, "orders", is_for_writing=False)
    with pytest.raises(RefusedError):
        check_table(denying, "orders")


def test_a_table_that_is_not_there_is_said_to_readers_too(client: Any) -> None:
    with pytest.raises(RefusedError, match="ResourceNotFound"):
        check_table(client, "orders", is_for_writing=False)
