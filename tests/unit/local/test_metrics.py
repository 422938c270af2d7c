"""What the server counts: each thing once, under labels that no request can choose."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pytp_broker.audit.record import AuditRecord, Fact
from pytp_broker.errors import StoreUnavailable
from pytp_broker.http import paths
from pytp_broker.local import measures as module
from pytp_broker.local.certificates import issue_certificate
from pytp_broker.local.lanes import Lane
from pytp_broker.local.measures import Answered, MeasuredSigner, Measures, Watched, measured_reach
from pytp_broker.local.metric_labels import OTHER, event_of, method_of, reason_of, route_of
from pytp_broker.local.metrics import Metrics
from pytp_broker.local.readings import Place
from pytp_broker.oidc.documents import FetchError
from pytp_broker.provenance.dsse import Signature
from pytp_broker.registries import PUBLIC_ACCESS
from pytp_broker.storage.signed_puts import PREFIX

TOKEN = "pytp_" + "a1B2c3D4e5" * 7 + "x"
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


def watched(**changes: Any) -> Watched:
    parts: dict[str, Any] = {
        "lanes": {"uploads": Lane(1, 1, 1)},
        "connections": lambda: 3,
        "waiting_files": lambda: 4,
        "refusing_sources": lambda: 5,
        "key_set_ages": lambda: [("github", 7.0), ("github", 9.0), ("gitlab", 1.0)],
        "configuration_age": lambda: 2.5,
        "registries": lambda: {"acme"},
    }
    return Watched(**(parts | changes))


@pytest.fixture
def metrics() -> Metrics:
    metrics = Metrics()
    metrics.watch(watched())
    return metrics


def record(event: str, outcome: Any = "accepted", reason: str = "", **facts: Fact) -> AuditRecord:
    return AuditRecord(event, outcome, reason, facts, "")


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def text(metrics: Metrics) -> str:
    return metrics.write("")[0].decode()


# --- labels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", paths.ALL, ids=str)
@pytest.mark.parametrize("prefix", ["", "/acme"])
def test_an_endpoint_is_a_label_as_it_is_declared(path: paths.Path, prefix: str) -> None:
    words = dict.fromkeys(("session", "filename", "upload", "project", "sha256", "version"), "x")

    assert route_of(path.url(prefix, name="x", **words)) == str(path)


@pytest.mark.parametrize(
    "path", ["/a/b/c/d/e/f/g/h/i", f"/a/b/{TOKEN}/x/y/z/w/v", "/x/y/z", "//a//"]
)
def test_any_other_path_is_one_label(path: str) -> None:
    assert route_of(path) == OTHER


def test_a_signed_address_is_one_label() -> None:
    assert route_of(f"{PREFIX}acme/x/{TOKEN}") == "staged object"


@pytest.mark.parametrize(
    ("label", "texts"),
    [
        (method_of, ["BREW", "get", TOKEN, ""]),
        (event_of, ["x", TOKEN]),
        (reason_of, ["x", "https://issuer.example", TOKEN]),
    ],
)
def test_what_we_do_not_know_is_no_label_of_its_own(
    label: Callable[[str], str], texts: list[str]
) -> None:
    assert {label(each) for each in texts} == {OTHER}


def test_what_we_know_is_a_label() -> None:
    assert (method_of("GET"), event_of("upload"), reason_of("")) == ("GET", "upload", "")
    assert reason_of("immutable-id-changed") == "immutable-id-changed"


def test_hostile_requests_add_no_series(metrics: Metrics) -> None:
    metrics.answered(Answered("BREW", "/x/y/z", 404, 0.1, 1))
    metrics.recorded(record("upload", "refused", "invalid-upload", registry="ghost"))
    before = text(metrics).count("\n")

    for number in range(100):
        metrics.answered(Answered(f"BREW{number}", f"/x/y/{TOKEN}{number}", 404, 0.1, 1))
        facts: dict[str, Fact] = {"registry": f"{TOKEN}{number}", "project": TOKEN}
        metrics.recorded(record("upload", "refused", "invalid-upload", **facts))

    assert text(metrics).count("\n") == before
    assert TOKEN not in text(metrics)


# --- counts ---------------------------------------------------------------------------------------


def test_a_request_is_counted_with_its_time_and_bytes(metrics: Metrics) -> None:
    metrics.answered(Answered("GET", "/acme/simple/widgets/", 200, 0.03, 100))
    metrics.received(7)

    route = "/simple/{project}/"
    assert value(metrics, "pytp_requests_total", route=route, method="GET", status="2xx") == 1
    bucket = "pytp_request_duration_seconds_bucket"
    assert value(metrics, bucket, route=route, le="0.025") == 0
    assert value(metrics, bucket, route=route, le="0.05") == 1
    assert value(metrics, "pytp_sent_bytes_total") == 100
    assert value(metrics, "pytp_received_bytes_total") == 7


def test_a_throttled_request_is_counted_apart(metrics: Metrics) -> None:
    metrics.answered(Answered("POST", "/_/oidc/mint-token", 429, 0.1, 1))

    assert value(metrics, "pytp_throttled_requests_total", route="/_/oidc/mint-token") == 1


@pytest.mark.parametrize(
    ("event", "permission"), [("exchange", "upload"), ("read-exchange", "read")]
)
def test_an_exchange_is_counted_by_outcome_and_reason(
    metrics: Metrics, event: str, permission: str
) -> None:
    metrics.recorded(record(event, "refused", "invalid-publisher"))

    labels = {"permission": permission, "outcome": "refused", "reason": "invalid-publisher"}
    assert value(metrics, "pytp_exchanges_total", **labels) == 1


@pytest.mark.parametrize(
    ("facts", "files"),
    [
        ({"event": "upload"}, 1),
        ({"event": "upload", "unchanged": True}, None),
        ({"event": "session", "action": "publish", "file_count": 3}, 3),
        ({"event": "session", "action": "publish", "file_count": "x"}, 1),
        ({"event": "session", "action": "cancel"}, None),
        ({"event": "upload", "outcome": "refused", "reason": "file-exists"}, None),
    ],
)
def test_files_are_counted_when_they_become_visible(
    metrics: Metrics, facts: dict[str, Any], files: int | None
) -> None:
    metrics.recorded(record(**facts, registry="acme"))

    assert value(metrics, "pytp_published_files_total", registry="acme") == files


def test_an_upload_to_a_registry_that_is_not_configured_has_no_label_of_its_own() -> None:
    unwatched = Metrics()

    unwatched.recorded(record("upload", registry="acme"))

    labels = {"registry": OTHER, "outcome": "accepted", "reason": ""}
    assert value(unwatched, "pytp_uploads_total", **labels) == 1
    assert "pytp_lane_requests" not in text(unwatched)


@pytest.mark.parametrize(("burned", "count"), [(True, 1), (False, 0)])
def test_a_burn_counts_if_the_token_lived(metrics: Metrics, burned: bool, count: int) -> None:
    metrics.recorded(record("burn", burned=burned))

    assert value(metrics, "pytp_burned_tokens_total") == count


def test_a_request_that_the_store_did_not_answer_is_a_store_fault(metrics: Metrics) -> None:
    metrics.recorded(record("request", "refused", "store-unavailable"))

    assert value(metrics, "pytp_store_faults_total") == 1


def test_a_closed_connection_is_counted_by_its_reason(metrics: Metrics) -> None:
    metrics.refused("silent")

    assert value(metrics, "pytp_refused_connections_total", reason="silent") == 1


def test_a_turn_of_the_upkeep_is_counted_and_dated_if_it_was_good(metrics: Metrics) -> None:
    metrics.looked_after(is_good=False)
    assert value(metrics, "pytp_upkeep_last_success_timestamp_seconds") == 0

    metrics.looked_after(is_good=True)

    assert value(metrics, "pytp_upkeep_runs_total", outcome="failed") == 1
    assert value(metrics, "pytp_upkeep_runs_total", outcome="good") == 1
    assert value(metrics, "pytp_upkeep_last_success_timestamp_seconds")


def test_documents_of_issuers_are_counted_and_failures_pass_on(metrics: Metrics) -> None:
    def fetch(url: str) -> bytes:
        if "bad" in url:
            raise FetchError("no")
        return b"{}"

    measured = measured_reach(lambda _: fetch, metrics)(PUBLIC_ACCESS)

    assert measured("https://good.example/") == b"{}"
    with pytest.raises(FetchError):
        measured("https://bad.example/")
    assert value(metrics, "pytp_issuer_fetches_total", outcome="good") == 1
    assert value(metrics, "pytp_issuer_fetches_total", outcome="failed") == 1
    assert "example" not in text(metrics)


class Signer:
    def sign(self, message: bytes) -> Signature:
        if not message:
            raise StoreUnavailable("no key")
        return Signature("x", message)


def test_receipts_are_counted_and_failures_pass_on(metrics: Metrics) -> None:
    signer = MeasuredSigner(Signer(), metrics)

    assert signer.sign(b"x").key_id == "x"
    with pytest.raises(StoreUnavailable):
        signer.sign(b"")

    assert value(metrics, "pytp_receipts_total", outcome="good") == 1
    assert value(metrics, "pytp_receipts_total", outcome="failed") == 1


def test_a_server_that_nobody_asks_counts_nothing() -> None:
    nothing = module.UNMEASURED

    nothing.watch(watched())
    nothing.answered(Answered("GET", "/", 200, 0.1, 1))
    nothing.received(1)
    nothing.recorded(record("burn"))
    nothing.refused("silent")
    nothing.fetched(is_good=True)
    nothing.signed(is_good=True)
    nothing.looked_after(is_good=True)

    assert vars(nothing) == vars(Measures()) == {}


# --- readings -------------------------------------------------------------------------------------


def test_the_state_of_the_server_is_read_at_a_scrape(metrics: Metrics) -> None:
    assert value(metrics, "pytp_lane_requests", lane="uploads", state="waiting") == 0
    assert value(metrics, "pytp_connections") == 3
    assert value(metrics, "pytp_verifier_waiting") == 4
    assert value(metrics, "pytp_refusal_budget_sources") == 5
    assert value(metrics, "pytp_key_set_age_seconds", provider="github") == 9
    assert value(metrics, "pytp_key_set_age_seconds", provider="gitlab") == 1
    assert value(metrics, "pytp_configuration_age_seconds") == 2.5


def test_a_server_that_has_read_no_configuration_shows_no_age_of_it() -> None:
    metrics = Metrics()
    metrics.watch(watched(configuration_age=lambda: None))

    assert "configuration_age" not in text(metrics)


def test_the_disk_and_the_certificate_are_read_at_a_scrape(
    metrics: Metrics, tmp_path: Path
) -> None:
    files = issue_certificate(tmp_path, ["x.example.com"], NOW)
    metrics.locate(Place(tmp_path, lambda: files))

    ends_at = value(metrics, "pytp_certificate_end_timestamp_seconds")
    assert ends_at == (NOW + timedelta(days=397)).timestamp()
    assert (value(metrics, "pytp_disk_size_bytes") or 0) > 0
    assert (value(metrics, "pytp_disk_free_bytes") or 0) > 0


@pytest.mark.parametrize("content", [None, b"", b"not a certificate"])
def test_a_certificate_or_a_disk_that_cannot_be_read_is_left_out(
    metrics: Metrics, tmp_path: Path, content: bytes | None
) -> None:
    files = issue_certificate(tmp_path, ["x.example.com"], NOW)
    files.certificate.unlink()
    if content is not None:
        files.certificate.write_bytes(content)
    metrics.locate(Place(tmp_path / "none", lambda: files))

    assert "certificate_end" not in text(metrics)
    assert "pytp_disk" not in text(metrics)


def test_a_scraper_chooses_the_form(metrics: Metrics) -> None:
    assert metrics.write("")[1].startswith("text/plain; version=0.0.4")
    assert metrics.write("application/openmetrics-text")[1].startswith("application/openmetrics")
