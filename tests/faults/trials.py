"""Trials of one operation: a fault at each call in turn, and what must hold afterwards."""

from collections.abc import Callable
from itertools import count
from typing import TypeAlias

from tests.faults.engines import Engines
from tests.faults.injection import Fault, Remote
from tests.faults.operations import Attempt, Operation
from tests.faults.stage import Engine, Stage
from tests.support.deployment import Answer
from tests.support.figures import FAULTS

# From storage to the same storage behind a line that can be broken.
Lay: TypeAlias = Callable[[Engine], Engine]


def behind_a_line(engine: Engine) -> Engine:
    """Lay a line through which every call of both protocols goes."""
    return Engine(
        Remote(engine.store, engine.line),
        Remote(engine.files, engine.line),
        engine.look,
        engine.fill,
        engine.line,
        signer=Remote(engine.signer, engine.line),
    )


def try_every_call(
    engines: Engines,
    operation: Operation,
    fault: Fault,
    lay: Lay = behind_a_line,
    *,
    is_healed_inside: bool = False,
) -> list[str]:
    """Break each call of an operation in turn; return the names of all calls.

    The last trial is the one in which the fault comes too late to matter. With ``is_healed_inside``
    no fault may reach the client.
    """
    for number in count():
        with engines.open() as engine:
            stage = Stage(engine, lay(engine))
            attempt = operation(stage)
            if not _try(stage, attempt, number, fault, is_healed_inside=is_healed_inside):
                assert number > 0
                return stage.line.calls
    raise AssertionError


def _try(
    stage: Stage, attempt: Attempt, number: int, fault: Fault, *, is_healed_inside: bool
) -> bool:
    FAULTS["operations"] += 1
    before = stage.engine.dump()
    stage.line.break_at(number, fault)
    answer = attempt.send()
    if not stage.line.was_hit:
        _check_settled(stage, attempt, answer)
        return False
    broken = stage.line.broken_call
    stage.line.repair()

    stage.check_answer(answer)
    stage.check()
    may_fail = answer.status == 503 and not is_healed_inside and fault is not Fault.SLOW
    assert may_fail or attempt.is_as_expected(answer), answer.body
    if 400 <= answer.status < 500:
        assert stage.engine.dump() == before, "refused, and yet something was written"

    final = answer if answer.status < 500 else attempt.retry()
    if is_the_accepted_loss(final, answer, broken, fault):
        final = _ask_the_ci_again(stage)
        assert final.status == 200
    else:
        _check_settled(stage, attempt, final)
    stage.check()
    return True


# The name that each kind of line gives to add_token, or to the decisive call in it.
ADDS_THE_TOKEN = ("add_token", "COMMIT", "PutItem")


def is_the_accepted_loss(final: Answer, first: Answer, broken: str, fault: Fault) -> bool:
    """Say whether the identity token is used, and the upload token lost with the answer.

    The one loss that we accept: a token whose write was applied while its answer was lost is lost,
    and it would be worse to mint a second one for the same identity token. The client is told, and
    its next run has a new identity token.
    """
    lost_answer = first.status == 503 and fault is Fault.AFTER and broken in ADDS_THE_TOKEN
    return lost_answer and final.status == 422 and final.code == "invalid-reuse-token"


def _ask_the_ci_again(stage: Stage) -> Answer:
    FAULTS["accepted losses"] += 1
    identity = stage.identity_token()
    return stage.faulty.mint(identity)


def _check_settled(stage: Stage, attempt: Attempt, answer: Answer) -> None:
    stage.check_answer(answer)
    assert attempt.is_as_expected(answer), answer.body
    attempt.check(answer)
