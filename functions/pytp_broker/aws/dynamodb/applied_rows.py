"""The rows that ``apply`` reads and writes, and how they hold a setup."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Self

from pytp_broker.aws.dynamodb.catalogue import Entry, Key, entry_key, entry_of, keys_of
from pytp_broker.aws.dynamodb.configuration_rows import parts_of, read_configuration
from pytp_broker.aws.dynamodb.publisher_rows import (
    NOBODY,
    Page,
    PageKey,
    Trusted,
    document_of,
    pages_of,
    read_pages,
    read_publishers,
    read_trust,
    read_trusted,
    trust_key,
    trusted_text,
)
from pytp_broker.aws.dynamodb.sizes import check_sizes
from pytp_broker.aws.dynamodb.table import dump, values_of
from pytp_broker.grants import Trust
from pytp_broker.registries import Configuration
from pytp_broker.storage.plan import Plan, Setup
from pytp_broker.storage.protocols import WHOLE_REGISTRY, Place
from pytp_broker.trust.publishers import TrustedPublisher


@dataclass(frozen=True, slots=True)
class AppliedRows:
    """The rows of the configuration, of publishers and their pages, and of what projects trust.

    ``operators_tokens`` has the registry of each token that an operator made, by its lookup id.
    ``settled`` has the rules of publishers that are as wanted by their entries in the catalogue.
    Neither their pages are here, nor the rows of those projects that only they may publish.
    ``places`` are the projects whose rows were read.
    """

    configuration: Configuration
    publishers: Mapping[str, TrustedPublisher]
    pages: Mapping[PageKey, Page]
    trusted: Trusted
    operators_tokens: Mapping[str, str]
    entries: Mapping[str, Entry]
    settled: AbstractSet[str]
    places: AbstractSet[Place]

    @classmethod
    def scanned(cls, rows: Iterable[Mapping[str, Any]], entries: Mapping[str, Entry]) -> Self:
        """Return what the rows of a table hold of which we have read every one."""
        by_table: dict[str, list[Mapping[str, Any]]] = {}
        for row in rows:
            by_table.setdefault(row["pk"].partition("#")[0], []).append(row)
        publishers = by_table.get("PUBLISHER", [])
        trusted = read_trusted(by_table.get("TRUST", []))
        return cls(
            read_configuration(by_table.get("CONFIGURATION", [])),
            {p.rules_hash: p for p in read_publishers(publishers)},
            read_pages(publishers),
            trusted,
            {row["pk"].partition("#")[2]: row["made_for"] for row in by_table.get("TOKEN", [])},
            entries,
            frozenset(),
            trusted.keys(),
        )

    @property
    def setup(self) -> Setup:
        """Return the setup, each publisher with only those projects whose rows trust it.

        An interrupted ``apply`` may have left a project that its publisher names and that does not
        trust it yet. The next plan then has a step for that publisher.
        """
        trust = self._trust()
        publishers = {
            rules: publisher
            if rules in self.settled
            else publisher.with_projects(tuple(_trusting(publisher, trust)))
            for rules, publisher in self.publishers.items()
        }
        return Setup(self.configuration, publishers)

    def _trust(self) -> dict[Place, Trust]:
        return {place: read_trust(texts) for place, texts in self.trusted.items()}

    def after(self, plan: Plan) -> Self:
        """Return the rows as they will be when the plan has been executed."""
        outcome = plan.outcome
        unsettled = [p for rules, p in outcome.publishers.items() if rules not in self.settled]
        places = {*self.places, *(place for p in unsettled for place in places_of(p))}
        trusted = trusted_by(outcome.publishers.values(), self._trust())
        return type(self)(
            outcome.configuration,
            outcome.publishers,
            pages_of(unsettled),
            {place: trusted[place] for place in trusted.keys() & places},
            {
                lookup_id: registry
                for lookup_id, registry in self.operators_tokens.items()
                if registry in outcome.configuration.registries
            },
            {entry_key(p): self._entry_after(rules, p) for rules, p in outcome.publishers.items()},
            self.settled,
            places,
        )

    def _entry_after(self, rules: str, publisher: TrustedPublisher) -> Entry:
        # An earlier version may have written the same publisher differently.
        is_settled = rules in self.settled
        return self.entries[entry_key(publisher)] if is_settled else entry_of(publisher)

    def keys(self) -> list[Key]:
        """Return the keys of all rows here of publishers and of what projects trust."""
        return self._keys_of(self.trusted)

    def changed(self, wanted: Self) -> list[Key]:
        """Return the keys of rows that may have to change for these to become the wanted ones."""
        places = {*self.trusted, *wanted.trusted}
        differing = (
            place
            for place in sorted(places)
            if self.trusted.get(place, NOBODY) != wanted.trusted.get(place, NOBODY)
        )
        return list(dict.fromkeys([*self._keys_of(differing), *wanted._keys_of(())]))

    def _keys_of(self, places: Iterable[Place]) -> list[Key]:
        own = (keys_of(p, 0) for rules, p in self.publishers.items() if rules not in self.settled)
        trust = (values_of(trust_key(*place)) for place in places)
        return [
            *(key for keys in own for key in keys),
            *((key.pk, key.sk) for key in self.pages),
            *((key["pk"], key["sk"]) for key in trust),
        ]


def check_rows(outcome: Setup) -> None:
    """Check that every row of a setup fits into an item; raise StoreUnavailable."""
    parts = {sk: dump(part) for sk, part in parts_of(outcome.configuration).items()}
    publishers = outcome.publishers.values()
    check_sizes(parts, ((p, document_of(p)) for p in publishers), trusted_by(publishers, {}))


def trusted_by(publishers: Iterable[TrustedPublisher], trust: Mapping[Place, Trust]) -> Trusted:
    """Return what the row of each project should hold, from what these rows hold now."""
    trusted: dict[Place, set[str]] = {}
    for publisher in publishers:
        publisher_id = publisher.publisher_id
        for place in places_of(publisher):
            generation = publisher.generation if place[1] else 0
            since = trust.get(place, {}).get(publisher_id, generation) if place[1] else 0
            trusted.setdefault(place, set()).add(trusted_text(publisher_id, since))
    return {place: frozenset(texts) for place, texts in trusted.items()}


def places_of(publisher: TrustedPublisher) -> Iterator[Place]:
    """Yield the places that trust a publisher: its registry as a whole, and each project."""
    yield publisher.registry, WHOLE_REGISTRY
    for project in publisher.projects:
        yield publisher.registry, project


def _trusting(publisher: TrustedPublisher, trust: Mapping[Place, Trust]) -> Iterator[str]:
    """Yield the publisher's projects that trust it."""
    for project in publisher.projects:
        if publisher.publisher_id in trust.get((publisher.registry, project), {}):
            yield project
