"""Read what ``apply`` has written: by queries and by keys, and by a scan in an older table."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from pytp_broker.aws.dynamodb.applied_rows import AppliedRows, places_of
from pytp_broker.aws.dynamodb.catalogue import (
    CATALOGUE,
    Catalogue,
    Key,
    Run,
    hash_of,
    keys_of,
    publisher_in,
)
from pytp_broker.aws.dynamodb.configuration_rows import (
    CONFIGURATION,
    ConfigurationRows,
    read_configuration,
)
from pytp_broker.aws.dynamodb.formats import FormatRows
from pytp_broker.aws.dynamodb.operators_tokens import OPERATORS_TOKENS, read_operators_tokens
from pytp_broker.aws.dynamodb.publisher_rows import (
    pages_of,
    publisher_key,
    read_pages,
    read_publishers,
    read_trusted,
    trust_key,
)
from pytp_broker.aws.dynamodb.table import attributes
from pytp_broker.storage.protocols import Place
from pytp_broker.trust.publishers import TrustedPublisher

# Version 0.1.0 knew no catalogue. Its `apply` reads every row of this sort key, and stops at this
# one, because the name of a project is missing. No function reads it.
GUARD: Final = {"pk": "TRUST#", "sk": "TRUST"}

_APPLIED: Final = (
    "begins_with(pk, :publisher) OR (sk = :trust AND pk <> :guard) OR attribute_exists(made_for)"
)


@dataclass(frozen=True, slots=True)
class Found:
    """What a read of the table has found.

    ``is_marked`` says whether the table has this version's format. One that has not may be an old
    one, ``is_old``, or one that no operator has used yet.
    """

    rows: AppliedRows
    runs: Sequence[Run] = ()
    is_marked: bool = True
    is_old: bool = False


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The entries whose rows need not be read, because they are as wanted; and what is wanted."""

    publishers: Mapping[str, TrustedPublisher]
    settled: Mapping[str, TrustedPublisher]

    def unsettled(self) -> Iterator[TrustedPublisher]:
        for rules, publisher in self.publishers.items():
            if rules not in self.settled:
                yield publisher


class AppliedReading(ConfigurationRows, FormatRows):
    """Reads of all that operators have written."""

    def _read_applied(
        self, wanted: Mapping[str, TrustedPublisher] | None = None, registry: str | None = None
    ) -> Found:
        """Return the rows that hold a setup.

        With the ``wanted`` publishers, by their rules, only those rows of publishers that may have
        to change. With a ``registry``, only the publishers of this one.
        """
        configuration = list(self._query(CONFIGURATION))
        catalogue = Catalogue.read(self._query(CATALOGUE))
        if not self._is_marked(configuration):
            is_old = self._is_old(configuration)
            rows = [*configuration, *self._scan_applied()] if is_old else []
            applied = AppliedRows.scanned(rows, catalogue.entries)
            return Found(applied, catalogue.runs, is_marked=False, is_old=is_old)
        if registry is not None:
            catalogue = catalogue.of_registry(registry)
        named = [] if wanted is None else self._query(OPERATORS_TOKENS)
        tokens = read_operators_tokens(named)
        found = AppliedRows(
            *(read_configuration(configuration), {}, {}, {}, tokens),
            *(catalogue.entries, frozenset(), frozenset()),
        )
        return Found(self._with_publishers(found, catalogue, wanted or {}), catalogue.runs)

    def _scan_applied(self) -> Iterator[dict[str, Any]]:
        values = {":publisher": "PUBLISHER#", ":trust": "TRUST", ":guard": GUARD["pk"]}
        return self._pages(
            self._client.scan,
            ConsistentRead=True,
            FilterExpression=_APPLIED,
            ExpressionAttributeValues=attributes(**values),
        )

    def _with_publishers(
        self, found: AppliedRows, catalogue: Catalogue, publishers: Mapping[str, TrustedPublisher]
    ) -> AppliedRows:
        wanted = _Wanted(publishers, _settled(catalogue, publishers))
        under_way = catalogue.keys_under_way()
        rows = self._read_keys(_keys_to_read(catalogue, wanted, under_way))
        read = {p.rules_hash: p for p in read_publishers(rows)}
        present = {rules: p for rules, p in read.items() if rules not in wanted.settled}
        settled = {
            rules: p.with_pins(read[rules].pins) if rules in read else p
            for rules, p in wanted.settled.items()
        }
        places = {_place_of(key) for key in under_way if key[1] == "TRUST"}
        for publisher in (*present.values(), *wanted.unsettled()):
            places.update(places_of(publisher))
        keys = [trust_key(*place) for place in sorted(places)]
        return replace(
            found,
            publishers={**settled, **present},
            pages=read_pages(rows),
            trusted=read_trusted(self._read_all(keys)),
            settled=settled.keys(),
            places=places,
        )

    def _read_keys(self, keys: Iterable[Key]) -> list[dict[str, Any]]:
        return self._read_all([attributes(pk=pk, sk=sk) for pk, sk in sorted(keys)])


def _settled(
    catalogue: Catalogue, wanted: Mapping[str, TrustedPublisher]
) -> dict[str, TrustedPublisher]:
    """Return the publishers that are as wanted, by their entries, and that nobody changes now."""
    changing = {sk for pk, sk in catalogue.keys_under_way() if pk.startswith("PUBLISHER#")}
    found = {}
    for entry_sk, entry in catalogue.entries.items():
        own = entry_sk.partition("#")[2]
        rules = own.rpartition("#")[2]
        twin = wanted.get(rules)
        if twin and own not in changing and hash_of(twin.projects) == entry.projects_hash:
            found[rules] = publisher_in(entry).with_projects(twin.projects)
    return found


def _keys_to_read(catalogue: Catalogue, wanted: _Wanted, under_way: set[Key]) -> set[Key]:
    """Return the keys of the rows of publishers that may have to change.

    Publishers with an identity of these are read too, for their pins.
    """
    keys = {key for key in under_way if key[1] != "TRUST"}
    for sk, entry in catalogue.entries.items():
        if sk.rpartition("#")[2] not in wanted.settled:
            keys.update(keys_of(publisher_in(entry), entry.pages))
    for publisher in wanted.unsettled():
        keys.update(keys_of(publisher, len(pages_of([publisher]))))
    identities = {pk for pk, _ in keys}
    own = (publisher_key(publisher) for publisher in wanted.settled.values())
    return keys | {(key["pk"], key["sk"]) for key in own if key["pk"] in identities}


def _place_of(key: Key) -> Place:
    _, registry, project = key[0].split("#", 2)
    return registry, project
