"""Tables of version 0.1.0, which the first `apply` upgrades, and tables of a later version."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytp_broker import __version__
from pytp_broker.aws.dynamodb.broker_table import ForeignTableError, check_table
from pytp_broker.aws.dynamodb.operating import DynamoStore
from pytp_broker.errors import StoreUnavailable
from pytp_broker.storage.protocols import Store
from pytp_broker.storage.survey import TrustedBy
from pytp_broker.trust.built_in import with_built_in
from tests.contract.test_dynamodb import (
    AFTER,
    BEFORE,
    OWNER,
    RIGHTS_AFTER,
    CrashError,
    crash_at,
    rights,
    watch,
)
from tests.support.emulator import ROOT, Emulator, create_table
from tests.support.old_tables import drop_index, make_old
from tests.support.samples import (
    ACME,
    NOW,
    OTHER,
    Table,
    configuration,
    file,
    operation,
    publisher,
    record,
    session,
)

OLD_VERSION = "c5575aa"  # 0.1.0
OPERATORS = record(lookup_id="e" * 32)
OPERATORS = replace(OPERATORS, grants=OPERATORS.grants[:1])


@pytest.fixture
def dynamo(table: Table) -> DynamoStore:
    return DynamoStore(table.client, table.name, now=NOW.timestamp)


@pytest.fixture
def calls(table: Table) -> list[str]:
    """Return the list in which the name of every call is noted."""
    noted: list[str] = []

    def note(model: Any, **_: Any) -> None:
        noted.append(model.name)

    table.client.meta.events.register("before-call.dynamodb.*", note)
    return noted


def fill(store: DynamoStore) -> None:
    store.apply(*BEFORE)
    store.pin_publisher(BEFORE[1][0], OWNER)
    store.add_token(record())
    store.add_session(session())
    store.add_file(file())
    assert store.add_operators_token(OPERATORS)
    store.add_operator_record(operation(), NOW)


def test_all_is_found_in_an_old_table(dynamo: DynamoStore, table: Table) -> None:
    fill(dynamo)
    setup, pieces = dynamo.load_setup(), list(dynamo.survey("acme"))

    make_old(table)

    assert dynamo.load_setup() == setup
    assert {p.rules_hash for p in BEFORE[1]} == set(setup.publishers)
    assert all(piece in pieces for piece in dynamo.survey("acme"))
    assert TrustedBy("gadgets", "id-1") in pieces
    assert dynamo.list_tokens(NOW) == [record(), OPERATORS]
    assert dynamo.list_sessions(NOW) == [session()]


def test_the_first_apply_upgrades_an_old_table_and_no_later_call_scans(
    dynamo: DynamoStore, table: Table, calls: list[str]
) -> None:
    fill(dynamo)
    make_old(table)

    assert dynamo.apply(*BEFORE).lines == ()
    assert "Scan" in calls
    calls.clear()

    assert dynamo.apply(*BEFORE).lines == ()
    assert dynamo.list_tokens(NOW) == [record(), OPERATORS]
    assert dynamo.list_sessions(NOW) == [session()]
    (pinned,) = dynamo.list_publishers(publisher().identity_key)
    assert pinned.pins == OWNER
    dynamo.apply(configuration(OTHER), [])
    assert dynamo.list_tokens(NOW) == [record()], "an operator's token ends with its registry"
    assert list(dynamo.survey("acme"))
    assert "Scan" not in calls


def test_a_plan_leaves_an_old_table_as_it_is(dynamo: DynamoStore, table: Table) -> None:
    fill(dynamo)
    make_old(table)
    before = table.dump()

    assert dynamo.apply(*AFTER, lambda _: False).lines != ()

    assert table.dump() == before


WRITES_OF_UPGRADE = 25


@pytest.mark.parametrize("number", range(WRITES_OF_UPGRADE))
def test_an_upgrade_that_crashed_at_a_write_is_resumed(moto_table: Table, number: int) -> None:
    table = moto_table
    dynamo = DynamoStore(table.client, table.name, now=NOW.timestamp)
    fill(dynamo)
    make_old(table)
    client = watch(table, before=crash_at(number))
    with pytest.raises(CrashError):
        DynamoStore(client, table.name, now=NOW.timestamp).apply(*AFTER)

    dynamo.apply(*AFTER)

    assert dynamo.load_configuration() == with_built_in(AFTER[0])
    assert rights(dynamo) == RIGHTS_AFTER
    assert dynamo.apply(*AFTER).lines == ()
    assert dynamo.list_tokens(NOW) == [record(), OPERATORS]
    assert set(dynamo.load_setup().publishers) == {p.rules_hash for p in AFTER[1]}


def test_a_token_that_ends_during_an_upgrade_does_not_come_back(
    dynamo: DynamoStore, table: Table
) -> None:
    fill(dynamo)
    make_old(table)
    (key,) = [
        {name: item[name] for name in ("pk", "sk")}
        for item in table.dump()
        if item["sk"]["S"] == "TOKEN" and "made_for" not in item
    ]

    def end_token(number: int) -> None:
        name, request = client.writes[number]
        if name == "update_item" and request["Key"] == key:
            table.client.delete_item(TableName=table.name, Key=key)

    client = watch(table, before=end_token)
    DynamoStore(client, table.name, now=NOW.timestamp).apply(*BEFORE)

    assert dynamo.list_tokens(NOW) == [OPERATORS]


def test_an_upgrade_is_so_many_writes(moto_table: Table) -> None:
    dynamo = DynamoStore(moto_table.client, moto_table.name, now=NOW.timestamp)
    fill(dynamo)
    make_old(moto_table)
    client = watch(moto_table)

    DynamoStore(client, moto_table.name, now=NOW.timestamp).apply(*AFTER)

    assert len(client.writes) == WRITES_OF_UPGRADE


def test_what_a_crashed_first_apply_of_the_old_version_left_is_found(
    dynamo: DynamoStore, table: Table
) -> None:
    """It wrote publishers before the configuration, and its record before them."""
    dynamo.add_operator_record(operation(), NOW)
    dynamo.apply(*BEFORE)
    make_old(table)
    for item in table.dump():
        if item["pk"]["S"] == "CONFIGURATION":
            key = {name: item[name] for name in ("pk", "sk")}
            table.client.delete_item(TableName=table.name, Key=key)

    dynamo.apply(configuration(ACME), [])

    assert rights(dynamo) == set()


def test_a_new_table_is_never_scanned(dynamo: DynamoStore, table: Table, calls: list[str]) -> None:
    dynamo.add_operator_record(operation(), NOW)

    dynamo.apply(*BEFORE)

    assert "Scan" not in calls


def test_a_table_without_the_index_is_scanned_for_tokens(
    dynamo: DynamoStore, table: Table, calls: list[str]
) -> None:
    fill(dynamo)
    drop_index(table)
    calls.clear()

    assert dynamo.list_tokens(NOW) == [record(), OPERATORS]
    assert dynamo.list_sessions(NOW) == [session()]
    assert calls.count("Scan") == 2


# A later version


def make_newer(table: Table, **written_by: str) -> None:
    document = {"enabled": True, "format": 3, **written_by}
    item = {"pk": "CONFIGURATION", "sk": "MAIN", "document": json.dumps(document)}
    table.client.put_item(
        TableName=table.name, Item={name: {"S": value} for name, value in item.items()}
    )


REFUSED: dict[str, Callable[[Store], Any]] = {
    "apply": lambda store: store.apply(*AFTER),
    "plan": lambda store: store.apply(*AFTER, lambda _: False),
    "load_setup": lambda store: store.load_setup(),
    "survey": lambda store: list(store.survey("acme")),
    "list_tokens": lambda store: store.list_tokens(NOW),
    "list_sessions": lambda store: store.list_sessions(NOW),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_table_of_a_later_version_is_refused_with_the_version_to_use(
    dynamo: DynamoStore, table: Table, name: str
) -> None:
    fill(dynamo)
    make_newer(table, written_by="0.9.0")
    before = table.dump()

    with pytest.raises(StoreUnavailable) as refused:
        REFUSED[name](dynamo)

    assert "use pytp-broker 0.9.0 or later" in refused.value.detail
    assert __version__ in refused.value.detail
    assert table.dump() == before


def test_a_command_refuses_it_before_anything_else(dynamo: DynamoStore, table: Table) -> None:
    fill(dynamo)
    make_newer(table, written_by="0.9.0\x1b[31m")

    with pytest.raises(ForeignTableError, match="use pytp-broker 0") as refused:
        check_table(table.client, table.name)

    assert "\x1b" not in str(refused.value)


def test_functions_still_read_it(dynamo: DynamoStore, table: Table) -> None:
    """During an upgrade the functions of two versions work side by side."""
    fill(dynamo)
    make_newer(table)

    assert dynamo.load_configuration() == with_built_in(BEFORE[0])


# Version 0.1.0 itself


@pytest.fixture(scope="module")
def old_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the code of version 0.1.0, from git's history."""
    folder = tmp_path_factory.mktemp("old")
    archive = subprocess.run(
        ["git", "archive", OLD_VERSION, "functions", "tests/support"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if archive.returncode:
        pytest.skip("git's history does not reach back to version 0.1.0")
    subprocess.run(["tar", "x"], cwd=folder, input=archive.stdout, check=True)
    return folder / "functions"


OLD_PROGRAM = """
import sys
sys.path[:0] = [{functions!r}, {tests!r}]
import pytp_broker
assert pytp_broker.__version__ == "0.1.0"
from pytp_broker.aws.dynamodb.operating import DynamoStore
from tests.support.emulator import make_client
from tests.support.samples import *
store = DynamoStore(make_client("dynamodb", endpoint_url={url!r}), {table!r})
{statements}
"""


@pytest.fixture
def shared_table(emulator: Emulator) -> Iterator[Table]:
    client = emulator.client("dynamodb")
    name = create_table(client)
    yield Table(client, name)
    client.delete_table(TableName=name)


@pytest.mark.ministack
def test_version_0_1_0_and_this_one_share_a_table(
    old_tree: Path, shared_table: Table, emulator: Emulator
) -> None:
    def run_old(statements: str) -> subprocess.CompletedProcess[str]:
        program = OLD_PROGRAM.format(
            functions=str(old_tree),
            tests=str(old_tree.parent),
            url=emulator.endpoint_url,
            table=shared_table.name,
            statements=statements,
        )
        return subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=False,
            cwd=old_tree.parent,
            env={"PATH": "/usr/bin:/bin"},
        )

    store = DynamoStore(shared_table.client, shared_table.name, now=NOW.timestamp)
    filled = run_old(
        "store.add_operator_record(operation(), NOW)\n"
        "store.apply(configuration(), [publisher()])\n"
        "store.add_token(record())\n"
        "store.add_session(session())"
    )
    assert filled.returncode == 0, filled.stderr

    assert store.apply(configuration(), [publisher()]).lines == ()
    assert store.list_tokens(NOW) == [record()]

    # Its functions work on, and its `apply` stops before its first write.
    read = run_old(
        "assert store.find_token(record().lookup_id, ('acme', 'widgets'))[1] == {'id-1': 0}\n"
        "assert store.load_configuration().registries.keys() == {'acme', 'other'}\n"
        "assert store.list_publishers(publisher().identity_key) == [publisher()]\n"
        "assert store.burn_token(record().lookup_id, record().token_hash, None, NOW)"
    )
    assert read.returncode == 0, read.stderr
    before = shared_table.dump()
    stopped = run_old("store.apply(configuration(), [])")
    assert (stopped.returncode, "_read_place" in stopped.stderr) == (1, True)
    assert shared_table.dump() == before
