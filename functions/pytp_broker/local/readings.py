"""What the server looks up when it is asked for its metrics: how things stand at that moment."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography import x509
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from pytp_broker.local.certificates import CertificateFiles
from pytp_broker.local.measures import Watched


@dataclass
class Place:
    """Where the server keeps its files, and its certificate; each may be missing."""

    folder: Path | None = None
    certificate: Callable[[], CertificateFiles | None] = lambda: None


@dataclass(eq=False)
class Readings(Collector):
    """Reads everything once for each scrape."""

    watched: Watched | None = None
    place: Place = field(default_factory=Place)

    def describe(self) -> Sequence[GaugeMetricFamily]:
        """Return no metrics: to register a collector must not read anything."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield each metric with what is so now."""
        if self.watched is not None:
            yield from _read_server(self.watched)
        yield from _read_disk(self.place.folder)
        yield from _read_certificate(self.place.certificate())


def _read_server(watched: Watched) -> Iterator[GaugeMetricFamily]:
    lanes = GaugeMetricFamily(
        "pytp_lane_requests",
        "Requests that have a place in a lane, or that wait for one.",
        labels=("lane", "state"),
    )
    for name, lane in watched.lanes.items():
        lanes.add_metric((name, "running"), lane.running)
        lanes.add_metric((name, "waiting"), lane.waiting)
    yield lanes
    yield _gauge("pytp_connections", "Open connections of clients.", watched.connections())
    yield _gauge(
        "pytp_verifier_waiting",
        "Files that wait to be verified by a thread of the server.",
        watched.waiting_files(),
    )
    yield _gauge(
        "pytp_refusal_budget_sources",
        "Addresses and registries for which refused exchanges are counted.",
        watched.refusing_sources(),
    )
    yield _read_key_sets(watched)
    age = watched.configuration_age()
    if age is not None:
        yield _gauge(
            "pytp_configuration_age_seconds",
            "Time since the configuration in force was read from the store.",
            age,
        )


def _read_key_sets(watched: Watched) -> GaugeMetricFamily:
    oldest: dict[str, float] = {}
    for provider, age in watched.key_set_ages():
        oldest[provider] = max(age, oldest.get(provider, 0))
    ages = GaugeMetricFamily(
        "pytp_key_set_age_seconds",
        "Age of the oldest key set in memory among the issuers of a provider.",
        labels=("provider",),
    )
    for provider, age in oldest.items():
        ages.add_metric((provider,), age)
    return ages


def _read_disk(folder: Path | None) -> Iterator[GaugeMetricFamily]:
    if folder is not None:
        with suppress(OSError):  # a scrape without these says so by their absence
            usage = shutil.disk_usage(folder)
            yield _gauge(
                "pytp_disk_free_bytes", "Free space on the data folder's disk.", usage.free
            )
            yield _gauge("pytp_disk_size_bytes", "Size of the data folder's disk.", usage.total)


def _read_certificate(files: CertificateFiles | None) -> Iterator[GaugeMetricFamily]:
    if files is not None:
        with suppress(OSError, ValueError):
            ends_at = _end_of(files.certificate)
            yield _gauge(
                "pytp_certificate_end_timestamp_seconds",
                "When the server's certificate ends, in seconds since 1970.",
                ends_at.timestamp(),
            )


def _end_of(certificate: Path) -> datetime:
    return x509.load_pem_x509_certificates(certificate.read_bytes())[0].not_valid_after_utc


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, meaning, value)
