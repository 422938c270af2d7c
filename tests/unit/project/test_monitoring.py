"""The page about monitoring and the alert rules: they are about metrics that exist."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.metrics_core import Metric

from pytp_broker.audit.record import AuditRecord
from pytp_broker.local.certificates import CertificateFiles, issue_certificate
from pytp_broker.local.lanes import Lane
from pytp_broker.local.measures import Answered, Watched
from pytp_broker.local.metrics import Metrics
from pytp_broker.local.readings import Place
from tests.support.signing import NOW

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/monitoring.md").read_text()
ALERTS: dict[str, Any] = yaml.safe_load((ROOT / "infra/prometheus/alerts.yaml").read_text())
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
# Prometheus gives each target this metric, and counts the parts of a histogram.
_OF_PROMETHEUS = {"up"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    return issue_certificate(tmp_path_factory.mktemp("tls"), ["x.example.com"], NOW)


@pytest.fixture(scope="module")
def collected(certificate: CertificateFiles) -> dict[str, Metric]:
    """Return every metric by its name, each with a sample."""
    metrics = Metrics()
    metrics.watch(
        Watched(
            lanes={"uploads": Lane(1, 1, 1)},
            connections=lambda: 0,
            waiting_files=lambda: 0,
            refusing_sources=lambda: 0,
            key_set_ages=lambda: [("github", 1)],
            configuration_age=lambda: 1,
            registries=lambda: (),
        )
    )
    metrics.locate(Place(certificate.certificate.parent, lambda: certificate))
    metrics.answered(Answered("GET", "/", 429, 1, 1))
    metrics.refused("silent")
    metrics.signed(is_good=True)
    metrics.fetched(is_good=True)
    metrics.looked_after(is_good=True)
    for event in ("exchange", "upload"):
        metrics.recorded(AuditRecord(event, "accepted", "", {}, ""))
    return {
        f"{metric.name}_total" if metric.type == "counter" else metric.name: metric
        for metric in metrics.registry.collect()
        if not metric.name.startswith("process_")
    }


def labels_of(metric: Metric) -> list[str]:
    names = {name: None for sample in metric.samples for name in sample.labels if name != "le"}
    return list(names)


def test_the_page_lists_every_metric_with_its_type_labels_and_meaning(
    collected: dict[str, Metric],
) -> None:
    (rows,) = re.findall(r"<!-- metrics -->\n((?:\|.*\n)+)", PAGE)
    listed = [re.findall(r"(?<=\| ).*?(?= \|)", row) for row in rows.splitlines()[2:]]

    shown = {row[0].strip("`"): (row[1], row[3]) for row in listed}
    assert shown == {name: (m.type, m.documentation) for name, m in collected.items()}
    for row in listed:
        named = re.findall(r"`(\w+)`", row[2])
        assert sorted(named) == sorted(labels_of(collected[row[0].strip("`")])), row[0]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_is_about_metrics_and_labels_that_exist(
    rule: dict[str, Any], collected: dict[str, Metric]
) -> None:
    names = re.findall(r"\b(?:pytp_\w+|up)\b", rule["expr"])

    assert names
    for name in set(names) - _OF_PROMETHEUS:
        assert name in collected, name
        selectors = re.findall(rf"{name}\{{(.*?)\}}", rule["expr"])
        used = {label for each in selectors for label in re.findall(r"(\w+)=", each)}
        assert used <= set(labels_of(collected[name])), name
    assert rule["annotations"]["summary"]
    assert rule["labels"]["severity"] in {"page", "ticket"}


def test_an_alert_for_an_audit_record_names_an_event_and_reasons_that_exist() -> None:
    schema = (ROOT / "docs/audit.schema.json").read_text()

    named = [
        word
        for rule in RULES
        for words in re.findall(r'(?:event|reason)=~?"([^"]+)"', rule["expr"])
        for word in words.split("|")
    ]

    assert len(named) > 3
    for word in named:
        assert f'"{word}"' in schema, word


def test_the_page_says_what_to_do_at_each_alert() -> None:
    assert re.findall(r"^\| `(Pytp\w+)` \|", PAGE, re.MULTILINE) == [r["alert"] for r in RULES]


def test_the_scrape_configuration_shown_is_yaml_for_the_job_of_the_alerts() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)

    shown = yaml.safe_load(block)

    (job,) = shown["scrape_configs"]
    assert f'job="{job["job_name"]}"' in RULES[0]["expr"]
    assert shown["rule_files"] == ["alerts.yaml"]
