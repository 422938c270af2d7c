"""The records of an ``apply`` and its changes are there together, wherever it is interrupted."""

import json
import os
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from pytp_broker.aws.dynamodb.operating import DynamoStore
from pytp_broker.cli.applying import apply
from pytp_broker.cli.operator import Operator
from pytp_broker.errors import StoreUnavailable
from pytp_broker.storage.protocols import Store
from tests.faults.injection import Fault
from tests.faults.killed_apply import AFTER, BEFORE
from tests.faults.statements import StoreOnLine, make_line
from tests.support.emulator import ROOT, Emulator, create_table, make_client

OLD: Final = ["tools", "widgets"]
NEW: Final = ["gadgets", "gizmos", "tools"]
CHANGES: Final = [
    "- publisher acme github octo-org/widgets -> widgets",
    "+ publisher acme github octo-org/gadgets -> gadgets",
    "+ publisher acme github octo-org/gizmos -> gizmos",
]
# More than any `apply` here makes; the loops end at the first one that is not interrupted.
MAX_CALLS: Final = 200


def test_a_kill_before_any_statement_leaves_changes_and_records_together(tmp_path: Path) -> None:
    paths = os.pathsep.join([str(ROOT / "functions"), str(ROOT)])
    seen = subprocess.run(
        [sys.executable, "-m", "tests.faults.killed_apply", tmp_path],
        check=True,
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths},
    )
    outcomes: list[dict[str, Any]] = json.loads(seen.stdout)

    unchanged = {"projects": OLD, "changes": []}
    changed = {"projects": NEW, "changes": CHANGES}
    killed = [{**each, "ends": each["ends"][:1]} for each in outcomes]
    assert {json.dumps(each) for each in killed} == {
        json.dumps({**unchanged, "ends": []}),
        json.dumps({**unchanged, "ends": ["begun"]}),
        json.dumps({**changed, "ends": ["begun"]}),
    }
    assert outcomes[-1] == {**changed, "ends": ["begun", "accepted"]}


@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.AFTER])
def test_a_statement_that_fails_leaves_changes_and_records_together(
    tmp_path: Path, fault: Fault
) -> None:
    line, was_hit = make_line(), True
    for number in range(MAX_CALLS):
        with closing(StoreOnLine(tmp_path / f"{number}.db", line)) as store:
            store.apply(BEFORE.configuration, BEFORE.publishers)
            line.break_at(number, fault)
            with suppress(StoreUnavailable):
                apply(Operator(store, "olive"), AFTER, prune=True)
            was_hit = line.was_hit
            line.repair()
            assert (projects_in(store), changes_in(store)) in [(OLD, []), (NEW, CHANGES)]
        if not was_hit:
            break
    assert not was_hit


@pytest.mark.ministack
def test_a_table_has_the_record_of_a_change_before_the_change(emulator: Emulator) -> None:
    left, was_killed = set(), True
    with closing(make_client("dynamodb", endpoint_url=emulator.endpoint_url)) as client:
        killing = Killing(client)
        for number in range(MAX_CALLS):
            store = DynamoStore(client, create_table(client))
            store.apply(BEFORE.configuration, BEFORE.publishers)
            killing.left = number
            with suppress(Killed):
                apply(Operator(store, "olive"), AFTER, prune=True)
            was_killed, killing.left = killing.left < 0, None
            left.add((projects_in(store) == OLD, tuple(changes_in(store))))
            if not was_killed:
                break

    assert not was_killed
    assert left == {(True, ()), (True, tuple(CHANGES)), (False, tuple(CHANGES))}


class Killed(BaseException):
    """The process is killed."""


class Killing:
    """Kills the process before a call of a client; ``left`` are the calls until then."""

    def __init__(self, client: Any) -> None:
        self.left: int | None = None
        client.meta.events.register("before-call.dynamodb.*", self._count)

    def _count(self, **_: Any) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed


def projects_in(store: Store) -> list[str]:
    return sorted(name for p in store.load_setup().publishers.values() for name in p.projects)


def changes_in(store: Store) -> list[str]:
    return [record["change"] for record in store.list_operator_records() if "change" in record]
