"""Bring the table to a configuration, row by row.

Rights are taken away before new ones are given, and what the command may change is read again until
it is as it should be. Of a table in which little differs, little is read: ``catalogue`` says how.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from random import SystemRandom
from typing import Any, Final, TypeAlias, TypeVar

from pytp_broker.aws.dynamodb.applied_reading import Found
from pytp_broker.aws.dynamodb.applied_rows import AppliedRows, check_rows
from pytp_broker.aws.dynamodb.applied_writing import AppliedWriting
from pytp_broker.aws.dynamodb.catalogue import CATALOGUE, Entry
from pytp_broker.aws.dynamodb.configuration_rows import MAIN, parts_of
from pytp_broker.aws.dynamodb.formats import marked
from pytp_broker.aws.dynamodb.operator_records import OperatorRecordRows
from pytp_broker.aws.dynamodb.parallel import each
from pytp_broker.aws.dynamodb.publisher_rows import NOBODY, Trusted
from pytp_broker.aws.dynamodb.runs import OwnRun
from pytp_broker.aws.dynamodb.table import ConditionFailedError, attributes
from pytp_broker.aws.dynamodb.upgrading import Upgrading
from pytp_broker.errors import StoreUnavailable
from pytp_broker.registries import Configuration
from pytp_broker.storage.plan import Approve, Describe, Plan, Setup, make_plan, no_records
from pytp_broker.storage.protocols import Place
from pytp_broker.trust.publishers import TrustedPublisher

# One round is enough for one operator; several at the same time need a few more.
MAX_APPLY_ROUNDS: Final = 10

_NOTHING: Final = Setup(Configuration({}, {}), {})

_Write: TypeAlias = Callable[[], None]
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Applying(Upgrading, AppliedWriting, OperatorRecordRows):
    """Changes to the configuration and the publishers, which only an operator makes."""

    def load_setup(self) -> Setup:
        """Return all that operators have written: the configuration and every publisher."""
        return self._read_applied().rows.setup

    def apply(
        self,
        configuration: Configuration,
        publishers: Sequence[TrustedPublisher],
        approve: Approve | None = None,
        describe: Describe = no_records,
    ) -> Plan:
        """Bring the table to this configuration.

        Raises StoreUnavailable if another ``apply`` changes the table at the same time, if an item
        would be too large for DynamoDB, or if the table has a later format. In the last two cases
        nothing is written.

        It reads again what it may have changed until that is as it should be, and makes its plan
        anew from what it has read. So two commands at the same time leave what one of them wanted,
        and never a mixture, unless one of them reports a failure.
        """
        wanted = make_plan(_NOTHING, configuration, publishers).outcome.publishers
        present = self._read_applied(wanted)
        plan = first = make_plan(present.rows.setup, configuration, publishers)
        check_rows(plan.outcome)
        if approve is not None and not approve(plan):
            return plan
        self._add_operator_records(describe(plan))
        run = OwnRun(self._call, self._client, self._operator, self._now)
        for attempt in range(MAX_APPLY_ROUNDS + 1):  # pragma: no branch - the last one ends it
            if present.is_marked and not any(self._writes(plan, present.rows)):
                self._end(run, present)
                return first
            is_last = attempt == MAX_APPLY_ROUNDS
            # The approved plan does not include what another `apply` has added meanwhile.
            if is_last or (attempt and approve is not None and not approve(plan)):
                break
            started_at = time.monotonic()
            self._execute(plan, present, run)
            present = self._read_applied(wanted)
            plan = make_plan(present.rows.setup, configuration, publishers)
            if any(self._writes(plan, present.rows)):
                _back_off((attempt + 1) * (time.monotonic() - started_at))
                present = self._read_applied(wanted)
                plan = make_plan(present.rows.setup, configuration, publishers)
        raise StoreUnavailable(f"{self._name_others(run, present)}; run this one again afterwards")

    def _name_others(self, run: OwnRun, present: Found) -> str:
        """Say who else changes the table."""
        others = [other for other in present.runs if not run.has(other)]
        if not others:
            return "another `apply` is changing the same store"
        newest = max(others, key=lambda other: other.began_at)
        since = datetime.fromtimestamp(newest.began_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"{newest.by} has been applying another configuration since {since}"

    def _execute(self, plan: Plan, present: Found, run: OwnRun) -> None:
        if not present.is_marked:
            self._upgrade(present, run)
        run.cover(present.rows.changed(present.rows.after(plan)))

        def perform(write: _Write) -> None:
            run.keep_alive()
            # A condition fails only if another `apply` changed the table; the next read sees that.
            with suppress(ConditionFailedError):
                write()

        for writes in self._writes(plan, present.rows):
            each(perform, writes)

    def _end(self, run: OwnRun, present: Found) -> None:
        """Remove the rows of this run, and of runs that died, now that all is as it should be."""
        run.end()
        now = self._now()
        dead = [attributes(pk=CATALOGUE, sk=r.sk) for r in present.runs if r.is_abandoned(now)]
        self._write_all([{"DeleteRequest": {"Key": key}} for key in dead])

    def _writes(self, plan: Plan, present: AppliedRows) -> Iterator[list[_Write]]:
        """Yield the writes in their order: first those that take rights away.

        The writes are the rows in which the table differs from the plan's outcome. A crash may
        leave rows that no step names, so the steps alone are not enough. After a crash between any
        two writes, the next ``apply`` finishes the work. The order within a list does not matter.
        """
        wanted = present.after(plan)
        lists = (*self._takes(present, wanted), *self._gives(present, wanted))
        yield from filter(None, map(list, (*lists, self._entry_writes(present, wanted))))

    def _takes(
        self, present: AppliedRows, wanted: AppliedRows
    ) -> Iterator[Iterator[_Write] | list[_Write]]:
        if present.configuration.enabled and not wanted.configuration.enabled:
            yield [partial(self._put_part, MAIN, marked({"enabled": False}))]
        taken = _beyond(present.trusted, wanted.trusted)
        yield (partial(self._distrust, place, ids) for place, ids in taken)
        yield (partial(self._remove_page, key) for key in _gone(present.pages, wanted.pages))
        gone = _gone(present.publishers, wanted.publishers)
        yield (partial(self._remove_publisher, present.publishers[rules]) for rules in gone)
        tokens = _gone(present.operators_tokens, wanted.operators_tokens)
        yield (partial(self._remove_token, lookup_id) for lookup_id in tokens)
        parts = _gone(parts_of(present.configuration), parts_of(wanted.configuration))
        yield (partial(self._remove_part, sk) for sk in parts)

    def _gives(
        self, present: AppliedRows, wanted: AppliedRows
    ) -> Iterator[Iterator[_Write] | list[_Write]]:
        old, new = parts_of(present.configuration), parts_of(wanted.configuration)
        differing = [sk for sk in _differing(old, new) if sk != MAIN]
        yield (partial(self._put_part, sk, new[sk]) for sk in differing if sk in old)
        yield self._publisher_writes(present.publishers, wanted.publishers)
        pages = _differing(present.pages, wanted.pages)
        yield (partial(self._put_page, key, wanted.pages[key]) for key in pages)
        given = _beyond(wanted.trusted, present.trusted)
        yield (partial(self._trust, place, ids) for place, ids in given)
        yield (partial(self._put_part, sk, new[sk]) for sk in differing if sk not in old)
        if wanted.configuration.enabled and not present.configuration.enabled:
            yield [partial(self._put_part, MAIN, marked({"enabled": True}))]

    def _publisher_writes(
        self, present: Mapping[str, TrustedPublisher], wanted: Mapping[str, TrustedPublisher]
    ) -> Iterator[_Write]:
        for rules, publisher in wanted.items():
            if rules not in present:
                yield partial(self._add_publisher, publisher)
            elif present[rules].document() != publisher.document():
                yield partial(self._change_publisher, publisher)

    def _entry_writes(self, present: AppliedRows, wanted: AppliedRows) -> Iterator[_Write]:
        put = [
            {"PutRequest": {"Item": _entry_item(sk, wanted.entries[sk])}}
            for sk in _differing(present.entries, wanted.entries)
        ]
        gone = [attributes(pk=CATALOGUE, sk=sk) for sk in _gone(present.entries, wanted.entries)]
        requests = [*put, *({"DeleteRequest": {"Key": key}} for key in gone)]
        if requests:
            yield partial(self._write_all, requests)


def _entry_item(sk: str, entry: Entry) -> dict[str, Any]:
    return attributes(pk=CATALOGUE, sk=sk, **entry._asdict())


def _back_off(seconds: float) -> None:
    # Two that undo each other's writes at the same pace would never finish. So each waits for a
    # random time, about as long as its round took. One operator alone never waits.
    time.sleep(SystemRandom().uniform(0, seconds))


def _beyond(these: Trusted, those: Trusted) -> list[tuple[Place, frozenset[str]]]:
    """Return the publishers of each place that are in ``these`` and not in ``those``."""
    more = [(place, ids - those.get(place, NOBODY)) for place, ids in these.items()]
    return [(place, ids) for place, ids in more if ids]


def _gone(before: Mapping[_Key, object], after: Mapping[_Key, object]) -> list[_Key]:
    """Return the keys that are not there afterwards."""
    return [key for key in before if key not in after]


def _differing(before: Mapping[_Key, _Value], after: Mapping[_Key, _Value]) -> list[_Key]:
    """Return the keys whose value afterwards is new or another one."""
    return [key for key, value in after.items() if before.get(key) != value]
