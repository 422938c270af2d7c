"""Uploads whose calls really overlap: each of them fails in every way, and each is slow.

The other tests make these calls one after the other, so that a number always means the same call.
Here a number is whichever call comes at that place; in the end each of them was broken.
"""

from collections.abc import Callable
from dataclasses import replace
from threading import Barrier

import pytest

from pytp_broker.side_by_side import Threads
from tests.faults.engines import DynamoEngines, Engines, SqliteEngines
from tests.faults.injection import Fault
from tests.faults.operations import (
    Attempt,
    Operation,
    upload_again,
    upload_another_spelling,
    upload_multi_use,
    upload_other_content,
    upload_single_use,
)
from tests.faults.stage import Engine, Stage, wheel
from tests.faults.trials import behind_a_line, try_every_call

THREADS = Threads(6)
UPLOADS = (
    upload_multi_use,
    upload_single_use,
    upload_again,
    upload_other_content,
    upload_another_spelling,
)
SECONDS = 60


def overlapping(operation: Operation) -> Callable[[Stage], Attempt]:
    """Return the operation, sent to functions that make calls side by side."""

    def begin(stage: Stage) -> Attempt:
        attempt = operation(stage)
        stage.faulty.index = replace(stage.faulty.index, side_by_side=THREADS)
        return attempt

    return begin


every_upload = pytest.mark.parametrize("operation", UPLOADS, ids=lambda each: each.__name__)
every_fault = pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())


@every_fault
@every_upload
def test_a_fault_in_calls_that_overlap_does_no_harm_and_a_retry_heals_it(
    sqlite_engines: SqliteEngines, operation: Operation, fault: Fault
) -> None:
    try_every_call(sqlite_engines, overlapping(operation), fault)


@pytest.mark.ministack
@every_fault
@pytest.mark.parametrize(
    "operation", [upload_multi_use, upload_single_use], ids=lambda each: each.__name__
)
def test_a_fault_in_calls_that_overlap_does_no_harm_on_ministack(
    ministack_engines: DynamoEngines, operation: Operation, fault: Fault
) -> None:
    def behind_a_line_with_threads(engine: Engine) -> Engine:
        engine.store._side_by_side = THREADS  # type: ignore[attr-defined] # DynamoDB's
        return behind_a_line(engine)

    try_every_call(ministack_engines, overlapping(operation), fault, behind_a_line_with_threads)


@pytest.mark.parametrize(
    "together",
    [
        {"find_token", "find_entry", "find_release"},
        {"save", "sign", "announce_file", "save_release"},
    ],
    ids=["reads", "writes"],
)
def test_the_calls_of_an_upload_overlap(sqlite_engines: Engines, together: set[str]) -> None:
    with sqlite_engines.open() as engine:
        stage = Stage(engine, behind_a_line(engine))
        token = stage.upload_token()
        stage.faulty.index = replace(stage.faulty.index, side_by_side=THREADS)
        meeting, carry, waited = Barrier(len(together)), stage.line.carry, set[str]()

        def meet(name: str, call: Callable[[], object]) -> object:
            if name in together and name not in waited:
                waited.add(name)
                meeting.wait(SECONDS)  # fails unless all of them are under way
            return carry(name, call)

        stage.line.carry = meet  # type: ignore[method-assign,assignment]

        assert stage.faulty.upload(token, wheel()).status == 200
        assert waited == together
