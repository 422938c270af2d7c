"""The runner: what becomes of a check that fails, does not end, or has nothing to look at."""

from collections.abc import Callable, Iterable
from threading import Event
from typing import Any

import pytest

from pytp_broker.doctor.checks import Check, Need
from pytp_broker.doctor.findings import Finding, Flaw, NotCheckedError, Outcome, well
from pytp_broker.doctor.runner import run
from pytp_broker.doctor.visit import Visit
from pytp_broker.doctor.web import NoAnswerError
from pytp_broker.errors import StoreUnavailable

BAD = Flaw("bad", "run something {target} {unknown}")


def check(look: Callable[[Visit], Iterable[Finding]], *needs: Need, seconds: float = 5) -> Check:
    return Check("mine", "Is it?", needs, (BAD,), look, seconds)


def raising(error: Exception) -> Callable[[Visit], Iterable[Finding]]:
    def look(_: Visit) -> Iterable[Finding]:
        raise error

    return look


def run_one(one: Check, visit: Visit | None = None) -> Finding:
    (finding,) = run([one], visit or Visit())
    return finding


def test_a_flaw_is_told_with_its_cure_filled_in() -> None:
    at = Visit(names={"target": "--stack broker"})

    found = run_one(check(lambda _: [BAD.found("it is bad")]), at)

    assert found.cure == "run something --stack broker UNKNOWN"


def test_what_is_well_is_told_once() -> None:
    found = run_one(check(lambda _: [well("one"), well("two"), well("three")]))

    assert (found.name, found.seen) == ("mine", "one (and 2 more)")


def test_what_is_bad_hides_what_is_well() -> None:
    found = run_one(check(lambda _: [well("one"), BAD.found("it is bad")]))

    assert found.name == "bad"


def test_a_check_that_says_nothing_is_not_a_success() -> None:
    assert run_one(check(lambda _: [])).outcome is Outcome.NOT_CHECKED


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (NotCheckedError("no right"), "no right"),
        (StoreUnavailable("down", operator_detail="ReadTimeout"), "ReadTimeout"),
        (KeyError("a-secret"), "the check itself failed (KeyError)"),
    ],
    ids=["not checked", "store", "mistake"],
)
def test_a_check_that_cannot_tell_says_why(error: Exception, said: str) -> None:
    found = run_one(check(raising(error)))

    assert found.outcome is Outcome.NOT_CHECKED
    assert said in found.seen
    assert "a-secret" not in found.seen


def test_no_answer_is_a_fault() -> None:
    assert run_one(check(raising(NoAnswerError("GET /")))).name == "no-answer"


def test_a_check_that_does_not_end_is_left_behind() -> None:
    over = Event()

    def hang(_: Visit) -> Iterable[Finding]:
        over.wait()
        return []

    found = run_one(check(hang, seconds=0))
    over.set()

    assert found.outcome is Outcome.NOT_CHECKED
    assert "not done within" in found.seen


def test_checks_that_lack_the_same_are_told_together() -> None:
    def never(_: Visit) -> Any:
        raise AssertionError

    checks = [check(never, Need.STORE), check(never, Need.STORE, Need.WEB)]
    at = Visit(absent={Need.STORE: "give --data"})

    (found,) = run(checks, at)

    assert (found.name, found.seen) == ("inside", "give --data (mine, mine)")


def test_what_nobody_asked_for_is_not_told() -> None:
    assert list(run([check(lambda _: [], Need.FOLDER)], Visit())) == []
