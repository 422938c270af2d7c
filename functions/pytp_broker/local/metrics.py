"""The metrics of the server, in Prometheus' form and in a registry of their own.

Each is described in docs/monitoring.md. What is counted here has its labels from
``local.metric_labels``; what is looked up at a scrape is in ``local.readings``.
"""

import time
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder

from pytp_broker import __version__
from pytp_broker.audit.record import AuditRecord
from pytp_broker.local.measures import Answered, Measures, Watched
from pytp_broker.local.metric_labels import (
    OTHER,
    event_of,
    method_of,
    reason_of,
    route_of,
    status_class,
)
from pytp_broker.local.readings import Place, Readings

# An exchange takes milliseconds, a page of a large project tens of them, and an upload minutes.
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_TOO_MANY_REQUESTS: Final = 429
_EXCHANGES: Final = {"exchange": "upload", "read-exchange": "read"}
_OUTCOMES: Final = {True: "good", False: "failed"}


class Metrics(Measures):
    """Counts what the server does, and writes it down for a scraper."""

    def __init__(self) -> None:
        # It would be a second series for each counter, which no query of ours needs.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._readings = Readings()
        self._declare_requests()
        self._declare_events()
        self._declare_work()
        ProcessCollector(registry=self.registry)
        self.registry.register(self._readings)

    def watch(self, watched: Watched) -> None:
        """Show the state of a server from now on."""
        self._readings.watched = watched

    def locate(self, place: Place) -> None:
        """Show the disk of the server's folder and its certificate from now on."""
        self._readings.place = place

    def write(self, accept: str) -> tuple[bytes, str]:
        """Return all metrics in the form that a scraper accepts, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(name, meaning, labels, registry=self.registry)

    def _declare_requests(self) -> None:
        self._requests = self._counter(
            "pytp_requests_total", "Requests that were answered.", "route", "method", "status"
        )
        self._durations = Histogram(
            "pytp_request_duration_seconds",
            "Time from the head of a request until its answer was ready.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._throttled = self._counter(
            "pytp_throttled_requests_total", "Requests that were answered with 429.", "route"
        )
        self._sent = self._counter("pytp_sent_bytes_total", "Bytes of the bodies of answers.")
        self._received = self._counter(
            "pytp_received_bytes_total", "Bytes of the bodies of requests that were taken."
        )
        self._refused = self._counter(
            "pytp_refused_connections_total",
            "Connections that were closed before they sent a whole request.",
            "reason",
        )

    def _declare_events(self) -> None:
        self._records = self._counter(
            "pytp_audit_records_total", "Audit records of requests.", "event", "outcome", "reason"
        )
        self._exchanges = self._counter(
            "pytp_exchanges_total",
            "Exchanges of identity tokens; each accepted one minted a token.",
            "permission",
            "outcome",
            "reason",
        )
        self._uploads = self._counter(
            "pytp_uploads_total",
            "Uploads by the legacy API, and releases that were published by Upload API 2.0.",
            "registry",
            "outcome",
            "reason",
        )
        self._files = self._counter(
            "pytp_published_files_total", "Files that became visible.", "registry"
        )
        self._burns = self._counter("pytp_burned_tokens_total", "Live tokens that were burned.")
        self._store_faults = self._counter(
            "pytp_store_faults_total", "Requests that failed because the store did not answer."
        )

    def _declare_work(self) -> None:
        self._fetches = self._counter(
            "pytp_issuer_fetches_total",
            "Documents that were fetched from issuers: discovery and key sets.",
            "outcome",
        )
        self._receipts = self._counter("pytp_receipts_total", "Receipts to sign.", "outcome")
        self._upkeep = self._counter(
            "pytp_upkeep_runs_total",
            "Turns of the thread that renews certificates and removes bytes nobody needs.",
            "outcome",
        )
        self._upkeep_at = Gauge(
            "pytp_upkeep_last_success_timestamp_seconds",
            "When the last good turn of that thread ended, in seconds since 1970.",
            registry=self.registry,
        )
        build = Gauge(
            "pytp_build_info", "The version that runs.", ("version",), registry=self.registry
        )
        build.labels(__version__).set(1)

    def answered(self, request: Answered) -> None:
        """Count a request."""
        route = route_of(request.path)
        status = status_class(request.status)
        self._requests.labels(route, method_of(request.method), status).inc()
        self._durations.labels(route).observe(request.seconds)
        self._sent.inc(request.sent_bytes)
        if request.status == _TOO_MANY_REQUESTS:
            self._throttled.labels(route).inc()

    def received(self, octets: int) -> None:
        """Count the bytes of a body."""
        self._received.inc(octets)

    def refused(self, reason: str) -> None:
        """Count a connection; the acceptor and the protocol know all reasons."""
        self._refused.labels(reason).inc()

    def recorded(self, record: AuditRecord) -> None:
        """Count an audit record, under each metric that it belongs to."""
        outcome, reason = record.outcome, reason_of(record.reason)
        self._records.labels(event_of(record.event), outcome, reason).inc()
        if permission := _EXCHANGES.get(record.event):
            self._exchanges.labels(permission, outcome, reason).inc()
        if _is_publication(record):
            self._count_publication(record, reason)
        if record.facts.get("burned") is True:
            self._burns.inc()
        if reason == "store-unavailable":
            self._store_faults.inc()

    def _count_publication(self, record: AuditRecord, reason: str) -> None:
        named = record.facts.get("registry")
        watched = self._readings.watched
        is_known = watched is not None and named in watched.registries()
        registry = str(named) if is_known else OTHER
        self._uploads.labels(registry, record.outcome, reason).inc()
        if record.outcome == "accepted" and not record.facts.get("unchanged"):
            count = record.facts.get("file_count", 1)
            self._files.labels(registry).inc(count if isinstance(count, int) else 1)

    def fetched(self, *, is_good: bool) -> None:
        """Count a document of an issuer."""
        self._fetches.labels(_OUTCOMES[is_good]).inc()

    def signed(self, *, is_good: bool) -> None:
        """Count a receipt."""
        self._receipts.labels(_OUTCOMES[is_good]).inc()

    def looked_after(self, *, is_good: bool) -> None:
        """Count a turn of the upkeep."""
        self._upkeep.labels(_OUTCOMES[is_good]).inc()
        if is_good:
            self._upkeep_at.set(time.time())


def _is_publication(record: AuditRecord) -> bool:
    is_release = record.event == "session" and record.facts.get("action") == "publish"
    return record.event == "upload" or is_release
