"""docs/capacity.md: its tables are what `infra.capacity` calculates, and its words fit them."""

import re
from functools import cache

import pytest

from infra import capacity, memory_costs
from infra.simulation import (
    BEFORE_START_SECONDS,
    COLD_SECONDS,
    Bucket,
    Load,
    Setting,
    simulate,
)
from tests.support.released import ROOT

PAGE = (ROOT / "docs/capacity.md").read_text()
UNLIMITED = Setting(
    "unlimited",
    mint_rate=1e9,
    mint_burst=1e9,
    request_rate=1e9,
    request_burst=1e9,
    account_rate=1e9,
    account_burst=1e9,
    concurrency=10**6,
    table_writes=1e9,
    table_reads=1e9,
)


@cache
def tables() -> dict[str, str]:
    return dict(capacity.tables())


@pytest.mark.parametrize("name", ["acts", "limits", "simulation"])
def test_a_table_of_the_page_is_what_was_calculated(name: str) -> None:
    (written,) = re.findall(rf"<!-- {name} -->\n((?:\|.*\n)+)", PAGE)

    assert written.strip() == tables()[name]


def test_the_rates_are_the_defaults_of_the_template() -> None:
    text = (ROOT / "template.yaml").read_text()
    default = {
        name: int(
            re.findall(rf"^  {name}:\n(?:    .*\n)*?    Default: (\d+)", text, re.MULTILINE)[0]
        )
        for name in ("MintRate", "MintBurst", "RequestRate", "RequestBurst")
    }

    setting = capacity.PLAYED[0][0]

    assert default == {
        "MintRate": setting.mint_rate,
        "MintBurst": setting.mint_burst,
        "RequestRate": setting.request_rate,
        "RequestBurst": setting.request_burst,
    }


def test_a_cold_start_takes_as_long_as_its_parts() -> None:
    size = memory_costs.CHOSEN_MB
    cold, warm = memory_costs.cold_seconds(size), memory_costs.warm_seconds(size)

    assert 0 <= COLD_SECONDS - (BEFORE_START_SECONDS + cold - warm) < 0.05


@pytest.mark.parametrize("words", ["a cold start is always {} s", "| {} s for a cold start |"])
def test_the_page_says_how_long_a_cold_start_takes(words: str) -> None:
    assert words.format(COLD_SECONDS) in PAGE


def test_a_bucket_gives_what_has_flowed_in() -> None:
    bucket = Bucket(rate=2, size=3)

    assert [bucket.take(0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(1) for _ in range(3)] == [True, True, False]


def test_without_limits_every_exchange_ends_with_a_token() -> None:
    outcome = simulate(UNLIMITED, Load(50, 5, 10))

    assert outcome.first == outcome.minted == outcome.exchanges > 0
    assert outcome.throttled == 0


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"mint_rate": 10, "mint_burst": 1}, id="gateway"),
        pytest.param({"concurrency": 1}, id="concurrency"),
        pytest.param({"table_writes": 20}, id="writes of the table"),
        pytest.param({"table_reads": 20}, id="reads of the table"),
    ],
)
def test_each_limit_refuses_what_is_above_it(changes: dict[str, float]) -> None:
    outcome = simulate(UNLIMITED.changed(**changes), Load(50, 5, 10))

    assert outcome.first < outcome.exchanges
    assert outcome.throttled + outcome.unavailable


def test_one_repository_is_limited_where_many_are_not() -> None:
    one, many = (simulate(UNLIMITED, Load(4_000, 2, count)) for count in (1, 1_000))

    assert one.first < one.exchanges
    assert many.first == many.exchanges


def test_the_same_load_has_the_same_outcome() -> None:
    setting, load = capacity.PLAYED[1]

    assert simulate(setting, load) == simulate(setting, load)
