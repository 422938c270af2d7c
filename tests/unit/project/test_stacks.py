"""The stacks beside the broker agree with the code and with the docs."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra import capacity, costs, memory_costs
from pytp_broker.audit.facts import NARROWER_REASONS
from pytp_broker.local.routes import load_template
from tests.unit.project.test_infra import reasons
from tests.unit.project.test_template import TEMPLATE

ROOT = Path(__file__).parents[3]
INFRA = ROOT / "infra"
STACKS = sorted(path.name for path in INFRA.glob("*.yaml"))
DEPLOYING = (ROOT / "docs/deploying.md").read_text()
QUERIES = load_template(INFRA / "queries.yaml")["Resources"]
QUERY_PAGE = (ROOT / "docs/queries.md").read_text()
SCHEMA: dict[str, Any] = json.loads((ROOT / "docs/audit.schema.json").read_text())
DASHBOARD = load_template(INFRA / "dashboard.yaml")
WIDGETS: list[dict[str, Any]] = json.loads(
    DASHBOARD["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
)["widgets"]
# Metrics that AWS itself has, by namespace, as far as our stacks look at them.
OF_AWS = {
    "AWS/ApiGateway": {"Count", "4xx", "5xx", "Latency"},
    "AWS/Lambda": {"AsyncEventAge", "ConcurrentExecutions", "Duration", "Errors", "Throttles"},
    "AWS/DynamoDB": {
        *("ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits"),
        *("ReadThrottleEvents", "WriteThrottleEvents"),
    },
    "AWS/SQS": {"ApproximateNumberOfMessagesVisible"},
    "pytp-broker": {"ThrottledRequests"},
}


@pytest.mark.parametrize("stack", STACKS)
def test_the_page_about_deploying_has_every_stack(stack: str) -> None:
    assert f"](../infra/{stack})" in DEPLOYING


@pytest.mark.parametrize("stack", STACKS)
def test_what_a_stack_asks_for_is_an_output_or_its_own_and_in_the_docs(stack: str) -> None:
    template = load_template(INFRA / stack)
    own = {
        name
        for name, parameter in template.get("Parameters", {}).items()
        if "Default" not in parameter
    } - TEMPLATE["Outputs"].keys()

    (row,) = [line for line in DEPLOYING.splitlines() if f"](../infra/{stack})" in line]
    assert own <= set(re.findall(r"`([A-Za-z]+)`", row)), row


def test_an_output_that_a_stack_takes_is_never_another_thing_of_the_same_name() -> None:
    """The host name and a certificate are chosen for a stack, so they are no outputs."""
    outputs = TEMPLATE["Outputs"].keys()

    assert not outputs & {"HostName", "Certificate", "HostedZoneId", "Topic", "RegionalDomain"}


# --- queries --------------------------------------------------------------------------------------


def fields_of_records() -> set[str]:
    found: set[str] = set()

    def walk(node: object) -> None:
        if isinstance(node, dict):
            found.update(node.get("properties", {}))
            for each in node.values():
                walk(each)
        elif isinstance(node, list):
            for each in node:
                walk(each)

    walk(SCHEMA)
    return found


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_a_query_asks_for_fields_that_records_have(query: str) -> None:
    text = QUERIES[query]["Properties"]["QueryString"]
    asked = set(re.findall(r"\baudit\.([a-z_]\w*)", text))

    assert asked <= fields_of_records()


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_a_query_asks_for_fields_that_the_access_log_has(query: str) -> None:
    properties = QUERIES[query]["Properties"]
    line = TEMPLATE["Resources"]["Stage"]["Properties"]["AccessLogSettings"]["Format"]
    fields = set(re.findall(r'"(\w+)":"\$context', line))
    asked = {
        name
        for name in ("ip", "route", "status", "milliseconds", "error")
        if re.search(rf"(?<![.\w@]){name}\b(?!\s*\()", properties["QueryString"])
    }

    if {"Ref": "AccessLogs"} in properties["LogGroupNames"]:
        assert asked <= fields
    else:
        assert not asked


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_the_page_about_queries_has_every_query_as_it_is(query: str) -> None:
    properties = QUERIES[query]["Properties"]
    name = properties["Name"]["Fn::Sub"].removeprefix("${AWS::StackName}/")
    title = name[0].upper() + name[1:]

    section = QUERY_PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]
    assert f"```text\n{properties['QueryString']}```" in section


def test_the_reasons_that_queries_look_for_exist() -> None:
    known = {*reasons(), *NARROWER_REASONS}

    for query in QUERIES.values():
        (listed,) = re.findall(
            r"audit\.reason in \[(.*?)\]", query["Properties"]["QueryString"]
        ) or [""]
        assert set(re.findall(r'"([^"]+)"', listed)) <= known


# --- dashboard ------------------------------------------------------------------------------------


def metrics() -> Iterator[list[Any]]:
    for widget in WIDGETS:
        yield from widget["properties"].get("metrics", [])


def test_every_graph_of_the_dashboard_shows_metrics_that_exist() -> None:
    for metric in metrics():
        if isinstance(metric[0], str):
            assert metric[1] in OF_AWS[metric[0]], metric


def test_every_search_of_the_dashboard_is_for_an_event_that_leaves_records() -> None:
    events = set(re.findall(r'"const": "([a-z-]+)"', json.dumps(SCHEMA)))
    searched = re.findall(r'event=\\"([a-z-]+)\\"', json.dumps(WIDGETS).replace('\\\\"', '\\"'))

    assert searched
    assert set(searched) <= events


def test_the_parts_of_the_dashboard_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for widget in WIDGETS:
        cells = {
            (x, y)
            for x in range(widget["x"], widget["x"] + widget["width"])
            for y in range(widget["y"], widget["y"] + widget["height"])
        }
        assert not cells & taken, widget["properties"].get("title")
        assert max(x for x, _ in cells) < 24
        taken |= cells


# --- domain ---------------------------------------------------------------------------------------


def test_the_domain_takes_no_old_tls() -> None:
    domain = load_template(INFRA / "domain.yaml")["Resources"]["Domain"]["Properties"]

    assert domain["DomainNameConfigurations"][0]["SecurityPolicy"] == "TLS_1_2"


def test_the_domain_is_mapped_without_a_key() -> None:
    """A key would be the first part of each path, where the broker expects a registry."""
    mapping = load_template(INFRA / "domain.yaml")["Resources"]["Mapping"]["Properties"]

    assert "ApiMappingKey" not in mapping
    assert mapping["Stage"] == "$default"


# --- cost -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mark", "table"),
    [
        ("sizes", costs.size_table()),
        ("acts", costs.act_table()),
        ("prices", costs.price_table()),
        ("memory", memory_costs.memory_table()),
        ("peers", costs.peer_table()),
    ],
)
def test_the_page_about_costs_has_the_tables_that_are_calculated(mark: str, table: str) -> None:
    page = (ROOT / "docs/cost.md").read_text()

    assert f"<!-- {mark} -->\n{table}\n" in page


@pytest.mark.parametrize(
    ("act", "counted"),
    [("exchange", ("mint", "burn")), ("file published", ("upload",)), ("page read", ("page",))],
)
def test_the_bill_has_the_units_that_the_tests_count_at_least(
    act: str, counted: tuple[str, ...]
) -> None:
    for unit, table in (("read", capacity.READS), ("write", capacity.WRITES)):
        least = sum(sum(table[name].values()) for name in counted)
        assert costs.ACTS[act].get(unit, 0) >= least


def test_the_bill_has_the_time_of_an_exchange_in_warm_functions_at_least() -> None:
    seconds = memory_costs.warm_seconds(memory_costs.CHOSEN_MB)

    assert costs.ACTS["exchange"]["gb_s"] >= memory_costs.CHOSEN_MB / 1024 * seconds


@pytest.mark.parametrize(
    "words",
    [
        f"{memory_costs.START_CPU} for the start",
        f"{memory_costs.FIRST_CPU} more for the first mint",
        f"{memory_costs.EXCHANGE_CPU} for an audience, a mint and a burn",
    ],
)
def test_the_page_about_costs_says_what_is_calculated_with(words: str) -> None:
    assert words in (ROOT / "docs/cost.md").read_text()


def test_the_page_about_costs_says_how_long_the_first_exchange_takes() -> None:
    chosen = memory_costs.cold_seconds(memory_costs.CHOSEN_MB)
    smallest = memory_costs.cold_seconds(memory_costs.SIZES_MB[0])

    words = f"then takes {chosen:.2f} s and not {smallest:.2f} s"
    assert words in (ROOT / "docs/cost.md").read_text()


def test_the_table_marks_the_memory_that_the_template_gives() -> None:
    assert TEMPLATE["Globals"]["Function"]["MemorySize"] == memory_costs.CHOSEN_MB


@pytest.mark.parametrize("seconds", [memory_costs.warm_seconds, memory_costs.cold_seconds])
def test_more_memory_is_faster_and_costs_more(seconds: Callable[[int], float]) -> None:
    sizes = memory_costs.SIZES_MB
    times = [seconds(size) for size in sizes]
    prices = [memory_costs.dollars(size, seconds(size)) for size in sizes]

    assert times == sorted(times, reverse=True)
    assert prices == sorted(prices)


def test_what_the_processor_does_costs_the_same_with_any_memory() -> None:
    work = [memory_costs.dollars(size, 1 / memory_costs.share(size)) for size in (128, 512, 1769)]

    assert work == pytest.approx([work[0]] * 3)


def test_the_bill_counts_the_metrics_of_all_alarms() -> None:
    alarms = load_template(INFRA / "alarms.yaml")["Resources"].values()
    looked_at = [a["Properties"].get("Metrics", [{"MetricStat": a}]) for a in alarms]

    count = sum("MetricStat" in metric for metrics in looked_at for metric in metrics)
    assert count == costs.ALARM_METRICS


@pytest.mark.parametrize("size", costs.SIZES, ids=lambda size: size.name)
def test_no_line_of_a_bill_is_negative(size: costs.Size) -> None:
    assert all(dollars >= 0 for _, dollars in costs.lines(size))


def test_twice_as_many_releases_cost_twice_as_much() -> None:
    one = dict(costs.lines(costs.SIZES[1]))
    two = dict(costs.lines(costs.Size("twice", 10_000, 5, 1, 2_000_000, 500_000, 500, 20)))

    assert two["exchange"] == pytest.approx(2 * one["exchange"])
    assert two["file published"] == pytest.approx(2 * one["file published"])
    assert two["page read"] == one["page read"]
