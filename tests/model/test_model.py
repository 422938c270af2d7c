"""Every state of the token's life that a few actors can reach, searched with the real code.

docs/model.md says what that proves, and what it does not.
"""

from functools import cache
from pathlib import Path

import pytest

from tests.model.contents import NOT_ROWS, OF_STORE
from tests.model.desk import Desk
from tests.model.invariants import INVARIANTS
from tests.model.mutants import MUTANTS, Mutant
from tests.model.scenarios import SCENARIOS
from tests.model.search import Found, search
from tests.model.system import Scenario
from tests.support.fakes import MemoryStore
from tests.support.figures import MODEL


@cache
def searched(scenario: Scenario) -> tuple[Found, Desk]:
    """Search a scenario once in each process."""
    return search(scenario)


@pytest.mark.promise("exchanged-once")
@pytest.mark.promise("failed-store")
@pytest.mark.promise("dead-token")
@pytest.mark.promise("removed-publisher")
@pytest.mark.promise("switched-off")
@pytest.mark.promise("slow-upload")
@pytest.mark.promise("scope")
@pytest.mark.promise("single-use")
@pytest.mark.promise("renamed-owner")
@pytest.mark.promise("immutable-file")
@pytest.mark.promise("deleted-file")
@pytest.mark.promise("no-file-without-receipt")
@pytest.mark.promise("closed-release")
@pytest.mark.promise("all-or-none")
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.name)
def test_no_reachable_state_breaks_an_invariant(scenario: Scenario) -> None:
    found, _ = searched(scenario)

    assert found.violation is None, str(found)
    MODEL["states"] += found.states
    MODEL["transitions"] += found.transitions
    MODEL[f"depth {found.depth}"] += 1


@pytest.mark.parametrize(
    "mutant", MUTANTS, ids=lambda each: f"{each.invariant}: {each.scenario.name}"
)
def test_the_search_finds_a_fault_that_we_put_in(
    mutant: Mutant, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant.install(monkeypatch)

    found, _ = search(mutant.scenario, [INVARIANTS[mutant.invariant]])

    assert found.violation is not None, f"nobody noticed: {mutant.name}"
    assert found.trace
    print(f"{mutant.name}\n{found}")
    MODEL["mutants found"] += 1


def test_a_mutant_breaks_each_invariant() -> None:
    assert {mutant.invariant for mutant in MUTANTS} == INVARIANTS.keys()
    MODEL["invariants"] += len(INVARIANTS)


def test_every_row_of_the_store_is_part_of_a_state() -> None:
    assert vars(MemoryStore()).keys() == {*OF_STORE} | NOT_ROWS


def test_the_page_lists_the_invariants() -> None:
    page = (Path(__file__).parents[2] / "docs/model.md").read_text()

    for each in INVARIANTS.values():
        sentence = " ".join(each.sentence.split())
        assert f"| {each.name} | `{each.promise}` | {sentence} |\n" in page


def test_a_trace_says_who_did_what_and_when(monkeypatch: pytest.MonkeyPatch) -> None:
    (mutant,) = (each for each in MUTANTS if each.invariant == "burned token")
    mutant.install(monkeypatch)

    found, _ = search(mutant.scenario, [INVARIANTS[mutant.invariant]])

    lines = str(found).splitlines()
    assert lines[0].startswith("burned token (dead-token): `widgets-1.0-py3-none-any.whl` was")
    assert lines[2] == "  1. [0 s] job begins: mint"
    assert lines[-1].endswith("upload is answered 200")


def test_a_search_gives_the_same_figures_again() -> None:
    first, again = (search(SCENARIOS[0])[0] for _ in range(2))

    assert (first.states, first.transitions, first.depth) == (
        again.states,
        again.transitions,
        again.depth,
    )
