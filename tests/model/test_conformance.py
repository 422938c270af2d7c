"""The real stores do what the store of the search does: SQLite at every call, DynamoDB at some."""

from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from pytp_broker.aws.dynamodb.operating import DynamoStore
from tests.model import scenarios
from tests.model.conformance import WAYS, OnSqlite, walk
from tests.model.desk import Desk
from tests.model.search import search
from tests.model.system import Scenario
from tests.support.emulator import create_table, make_client
from tests.support.figures import MODEL

# Together they make every call that the scenarios make. Those in which time passes are missing:
# SQLite removes old rows when it writes, and in the search that is a step of its own.
COMPARED = [
    scenarios.STOLEN_IDENTITY,
    scenarios.STOLEN_TOKEN,
    scenarios.SINGLE_USE,
    scenarios.REMOVED,
    scenarios.SAME_NAME,
    scenarios.USED_BEFORE,
    scenarios.SPELLINGS,
    scenarios.TWO_CLIENTS,
    scenarios.CANCELED,
]


def begun(scenario: Scenario) -> Desk:
    """Return the desk of a scenario that was searched."""
    found, desk = search(scenario)
    assert found.violation is None
    return desk


def first_of(desk: Desk) -> Any:
    """Return the contents before the first call."""
    return next(iter(desk.edges))[0]


@pytest.mark.parametrize("scenario", COMPARED, ids=lambda each: each.name)
def test_sqlite_returns_what_the_search_was_told(scenario: Scenario, quick_path: Path) -> None:
    desk = begun(scenario)
    compared = OnSqlite(desk, scenario.begin_store, quick_path)

    assert compared.differences(first_of(desk)) == []
    assert compared.compared > 0
    MODEL["calls compared on SQLite"] += compared.compared


@pytest.mark.parametrize("scenario", COMPARED[:4], ids=lambda each: each.name)
def test_dynamodb_returns_what_the_search_was_told(scenario: Scenario) -> None:
    desk = begun(scenario)
    with mock_aws():
        client = make_client("dynamodb")
        for seed in range(WAYS):
            table = create_table(client)
            store = DynamoStore(client, table)
            scenario.begin_store(store)

            calls, found = walk(desk, first_of(desk), store, seed)

            assert found == []
            MODEL["calls compared on DynamoDB"] += calls
        client.close()
