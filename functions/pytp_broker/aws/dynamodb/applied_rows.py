"""The rows that ``apply`` reads and writes, and how they hold a setup."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from pytp_broker.aws.dynamodb.configuration_rows import parts_of, read_configuration
from pytp_broker.aws.dynamodb.publisher_rows import (
    Page,
    PageKey,
    Trusted,
    document_of,
    pages_of,
    read_pages,
    read_publishers,
    read_trust,
    read_trusted,
    trusted_text,
)
from pytp_broker.aws.dynamodb.sizes import check_sizes
from pytp_broker.aws.dynamodb.table import dump
from pytp_broker.grants import Trust
from pytp_broker.registries import Configuration
from pytp_broker.storage.plan import Plan, Setup
from pytp_broker.storage.protocols import WHOLE_REGISTRY, Place
from pytp_broker.trust.publishers import TrustedPublisher


@dataclass(frozen=True, slots=True)
class AppliedRows:
    """The rows of the configuration, of publishers and their pages, and of what projects trust.

    ``operators_tokens`` has the registry of each token that an operator made, by its lookup id.
    """

    configuration: Configuration
    publishers: Mapping[str, TrustedPublisher]
    pages: Mapping[PageKey, Page]
    trusted: Trusted
    operators_tokens: Mapping[str, str]

    @classmethod
    def read(cls, rows: Iterable[Mapping[str, Any]]) -> Self:
        """Return what these rows hold."""
        by_table: dict[str, list[Mapping[str, Any]]] = {}
        for row in rows:
            by_table.setdefault(row["pk"].partition("#")[0], []).append(row)
        publishers = by_table.get("PUBLISHER", [])
        return cls(
            read_configuration(by_table.get("CONFIGURATION", [])),
            {p.rules_hash: p for p in read_publishers(publishers)},
            read_pages(publishers),
            read_trusted(by_table.get("TRUST", [])),
            {row["pk"].partition("#")[2]: row["made_for"] for row in by_table.get("TOKEN", [])},
        )

    @property
    def setup(self) -> Setup:
        """Return the setup, each publisher with only those projects whose rows trust it.

        An interrupted ``apply`` may have left a project that its publisher names and that does not
        trust it yet. The next plan then has a step for that publisher.
        """
        trust = self._trust()
        publishers = {
            rules: publisher.with_projects(tuple(_trusting(publisher, trust)))
            for rules, publisher in self.publishers.items()
        }
        return Setup(self.configuration, publishers)

    def _trust(self) -> dict[Place, Trust]:
        return {place: read_trust(texts) for place, texts in self.trusted.items()}

    def after(self, plan: Plan) -> Self:
        """Return the rows as they will be when the plan has been executed."""
        outcome, trust = plan.outcome, self._trust()
        trusted: dict[Place, set[str]] = {}
        for publisher in outcome.publishers.values():
            whole = (publisher.registry, WHOLE_REGISTRY)
            trusted.setdefault(whole, set()).add(publisher.publisher_id)
            for project in publisher.projects:
                place, publisher_id = (publisher.registry, project), publisher.publisher_id
                since = trust.get(place, {}).get(publisher_id, publisher.generation)
                trusted.setdefault(place, set()).add(trusted_text(publisher_id, since))
        return type(self)(
            outcome.configuration,
            outcome.publishers,
            pages_of(outcome.publishers.values()),
            {place: frozenset(texts) for place, texts in trusted.items()},
            {
                lookup_id: registry
                for lookup_id, registry in self.operators_tokens.items()
                if registry in outcome.configuration.registries
            },
        )

    def check_sizes(self) -> None:
        """Check that every row fits into an item; raise StoreUnavailable."""
        parts = {sk: dump(part) for sk, part in parts_of(self.configuration).items()}
        publishers = ((p, document_of(p)) for p in self.publishers.values())
        check_sizes(parts, publishers, self.trusted)


def _trusting(publisher: TrustedPublisher, trust: Mapping[Place, Trust]) -> Iterator[str]:
    """Yield the publisher's projects that trust it."""
    for project in publisher.projects:
        if publisher.publisher_id in trust.get((publisher.registry, project), {}):
            yield project
