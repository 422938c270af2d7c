"""Bring the table to a configuration, row by row.

Rights are taken away before new ones are given, and the table is read again until it is as it
should be.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from random import SystemRandom
from typing import Any, Final

from pytp_broker.aws.dynamodb.configuration_rows import (
    CONFIGURATION,
    MAIN,
    ConfigurationRows,
    parts_of,
    read_configuration,
)
from pytp_broker.aws.dynamodb.publisher_rows import (
    NOBODY,
    Page,
    PageKey,
    Trusted,
    document_of,
    pages_of,
    publisher_key,
    read_pages,
    read_publishers,
    read_trust,
    read_trusted,
    trust_key,
    trusted_text,
)
from pytp_broker.aws.dynamodb.sizes import check_sizes
from pytp_broker.aws.dynamodb.table import ConditionFailedError, attributes, dump
from pytp_broker.errors import StoreUnavailable
from pytp_broker.registries import Configuration
from pytp_broker.storage.plan import Approve, Changes, Setup, carry_over
from pytp_broker.storage.protocols import Place
from pytp_broker.trust.publishers import TrustedPublisher

# One round is enough for one operator; several at the same time need a few more.
MAX_APPLY_ROUNDS: Final = 10

_APPLIED: Final = "begins_with(pk, :publisher) OR pk = :configuration OR sk = :trust"


@dataclass(frozen=True, slots=True)
class _State:
    """The part of the table that ``apply`` reads and changes."""

    setup: Setup
    pages: Mapping[PageKey, Page]
    trusted: Trusted

    @property
    def effective(self) -> Setup:
        """Return the setup, each publisher with only those projects whose rows trust it."""
        publishers = {
            key: p.with_projects(
                tuple(
                    project
                    for project in p.projects
                    if p.publisher_id in read_trust(self.trusted.get((p.registry, project), NOBODY))
                )
            )
            for key, p in self.setup.publishers.items()
        }
        return Setup(self.setup.configuration, publishers)


class Applying(ConfigurationRows):
    """Changes to the configuration and the publishers, which only an operator makes."""

    def apply(
        self,
        configuration: Configuration,
        publishers: Sequence[TrustedPublisher],
        approve: Approve | None = None,
    ) -> Changes:
        """Bring the table to this configuration.

        Raises StoreUnavailable if another ``apply`` changes the table at the same time, or if an
        item would be too large for DynamoDB. In the second case nothing is written.

        It reads the table again until the table is as it should be. So two at the same time leave
        what one of them wanted, never a mixture, unless one says that it has failed.
        """
        want = partial(_want, configuration, publishers)
        present = first = self._read_state()
        _check_sizes(want(first))
        planned = Changes.between(first.effective, want(first).setup)
        if approve is not None and not approve(planned):
            return planned
        for attempt in range(1, MAX_APPLY_ROUNDS + 1):
            started_at = time.monotonic()
            for step in self._plan(present, want(present)):
                # A condition fails only if another `apply` changed the table; the next read sees
                # that.
                with suppress(ConditionFailedError):
                    step()
            present = self._read_state()
            if not self._plan(present, want(present)):
                return Changes.between(first.effective, want(present).setup)
            _step_aside(attempt * (time.monotonic() - started_at))
            present = self._read_state()
            # The approved changes do not include what another `apply` has added meanwhile.
            planned = Changes.between(present.effective, want(present).setup)
            if approve is not None and not approve(planned):
                break
        raise StoreUnavailable("another `apply` is changing the same store; run it again alone")

    def _read_state(self) -> _State:
        rows = list(
            self._pages(
                self._client.scan,
                ConsistentRead=True,
                FilterExpression=_APPLIED,
                ExpressionAttributeValues=attributes(
                    **{":publisher": "PUBLISHER#", ":configuration": CONFIGURATION},
                    **{":trust": "TRUST"},
                ),
            )
        )
        mine = [row for row in rows if row["pk"].startswith("PUBLISHER#")]
        publishers = {p.rules_hash: p for p in read_publishers(mine)}
        configuration = read_configuration(r for r in rows if r["pk"] == CONFIGURATION)
        trusted = read_trusted(row for row in rows if row["sk"] == "TRUST")
        return _State(Setup(configuration, publishers), read_pages(mine), trusted)

    def _plan(self, present: _State, wanted: _State) -> list[Callable[[], object]]:
        """Return the writes in their order: first those that take rights away.

        Those that give rights follow. After a crash between any two writes, the next ``apply``
        finishes the work.
        """
        old, new = present.setup.publishers, wanted.setup.publishers
        old_parts = parts_of(present.setup.configuration)
        new_parts = parts_of(wanted.setup.configuration)
        is_on = wanted.setup.configuration.enabled
        switch = [] if old_parts[MAIN] == new_parts[MAIN] else [MAIN]
        others = [sk for sk in new_parts if sk != MAIN and old_parts.get(sk) != new_parts[sk]]
        put = partial(self._put_part, new_parts)
        return [
            *(partial(put, sk) for sk in switch if not is_on),
            *(partial(self._distrust, *left) for left in _beyond(present.trusted, wanted.trusted)),
            *(partial(self._remove_page, key) for key in present.pages if key not in wanted.pages),
            *(partial(self._remove_publisher, old[key]) for key in old if key not in new),
            *(partial(self._remove_part, sk) for sk in old_parts if sk not in new_parts),
            *(partial(put, sk) for sk in others if sk in old_parts),
            *(partial(self._add_publisher, new[key]) for key in new if key not in old),
            *(
                partial(self._change_publisher, new[key])
                for key in new
                if key in old and old[key].document() != new[key].document()
            ),
            *(
                partial(self._put_page, key, page)
                for key, page in wanted.pages.items()
                if present.pages.get(key) != page
            ),
            *(partial(self._trust, *given) for given in _beyond(wanted.trusted, present.trusted)),
            *(partial(put, sk) for sk in others if sk not in old_parts),
            *(partial(put, sk) for sk in switch if is_on),
        ]

    def _put_part(self, parts: Mapping[str, Any], sk: str) -> None:
        item = attributes(pk=CONFIGURATION, sk=sk, document=dump(parts[sk]))
        self._call(self._client.put_item, Item=item)

    def _remove_part(self, sk: str) -> None:
        self._call(self._client.delete_item, Key=attributes(pk=CONFIGURATION, sk=sk))

    def _put_page(self, key: PageKey, page: Page) -> None:
        item = attributes(**key._asdict(), **page._asdict())
        self._call(self._client.put_item, Item=item)

    def _remove_page(self, key: PageKey) -> None:
        self._call(self._client.delete_item, Key=attributes(**key._asdict()))

    def _add_publisher(self, publisher: TrustedPublisher) -> None:
        self._call(
            self._client.put_item,
            Item=attributes(
                **publisher_key(publisher),
                document=document_of(publisher),
                publisher_id=publisher.publisher_id,
                pins=publisher.pins,
            ),
            ConditionExpression="attribute_not_exists(document)",
        )

    def _change_publisher(self, publisher: TrustedPublisher) -> None:
        # An update, because a put would undo a pin that was made meanwhile.
        self._call(
            self._client.update_item,
            Key=attributes(**publisher_key(publisher)),
            UpdateExpression="SET document = :document",
            ConditionExpression="publisher_id = :id",
            ExpressionAttributeValues=attributes(
                **{":document": document_of(publisher), ":id": publisher.publisher_id}
            ),
        )

    def _remove_publisher(self, publisher: TrustedPublisher) -> None:
        self._call(
            self._client.delete_item,
            Key=attributes(**publisher_key(publisher)),
            ConditionExpression="publisher_id = :id",
            ExpressionAttributeValues=attributes(**{":id": publisher.publisher_id}),
        )

    def _trust(self, place: Place, publisher_ids: AbstractSet[str]) -> None:
        self._update_trust("ADD publisher_ids :ids", place, publisher_ids)

    def _distrust(self, place: Place, publisher_ids: AbstractSet[str]) -> None:
        self._update_trust("DELETE publisher_ids :ids", place, publisher_ids)

    def _update_trust(self, expression: str, place: Place, publisher_ids: AbstractSet[str]) -> None:
        self._call(
            self._client.update_item,
            Key=trust_key(*place),
            UpdateExpression=expression,
            ExpressionAttributeValues=attributes(**{":ids": publisher_ids}),
        )


def _want(
    configuration: Configuration, publishers: Iterable[TrustedPublisher], present: _State
) -> _State:
    wanted = carry_over(present.setup.publishers.values(), publishers)
    trusted: dict[Place, set[str]] = {}
    for publisher in wanted.values():
        for project in publisher.projects:
            place, publisher_id = (publisher.registry, project), publisher.publisher_id
            before = read_trust(present.trusted.get(place, NOBODY))
            text = trusted_text(publisher_id, before.get(publisher_id, publisher.generation))
            trusted.setdefault(place, set()).add(text)
    frozen = {place: frozenset(texts) for place, texts in trusted.items()}
    return _State(Setup(configuration, wanted), pages_of(wanted.values()), frozen)


def _check_sizes(wanted: _State) -> None:
    parts = {sk: dump(part) for sk, part in parts_of(wanted.setup.configuration).items()}
    publishers = ((p, document_of(p)) for p in wanted.setup.publishers.values())
    check_sizes(parts, publishers, wanted.trusted)


def _step_aside(seconds: float) -> None:
    # Two that undo each other's work in step would never finish. So each waits for a random time,
    # about as long as its round took. One operator alone never waits.
    time.sleep(SystemRandom().uniform(0, seconds))


def _beyond(these: Trusted, those: Trusted) -> list[tuple[Place, frozenset[str]]]:
    """Return the publishers of each place that are in ``these`` and not in ``those``."""
    more = [(place, ids - those.get(place, NOBODY)) for place, ids in these.items()]
    return [(place, ids) for place, ids in more if ids]
