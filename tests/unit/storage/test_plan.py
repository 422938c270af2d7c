"""The plan: one step for each part that differs, and its outcome."""

from dataclasses import replace

from pytp_broker.registries import Configuration
from pytp_broker.storage.plan import Kind, Plan, Setup, Step, Verb, make_plan
from tests.support.samples import ACME, ISSUER, OTHER, configuration, for_repository, publisher

EMPTY = Setup(Configuration(), {})
PINS = {"repository_owner_id": "9919"}


def test_a_step_holds_the_part_before_and_after_it() -> None:
    present = make_plan(EMPTY, configuration(ACME, issuers={}), [publisher()]).outcome
    changed = replace(ACME, enabled=False)
    wanted = configuration(changed, issuers={ISSUER.url: ISSUER}, enabled=False)

    plan = make_plan(present, wanted, [])

    mine = publisher()
    assert plan.steps == (
        Step(Verb.REMOVE, Kind.PUBLISHER, mine.rules_hash, mine, None),
        Step(Verb.CHANGE, Kind.REGISTRY, "acme", ACME, changed),
        Step(Verb.CHANGE, Kind.SWITCH, "main", True, False),
        Step(Verb.ADD, Kind.ISSUER, ISSUER.url, None, ISSUER),
    )


def test_steps_are_printed_in_the_order_of_their_verbs_and_then_of_their_texts() -> None:
    present = make_plan(EMPTY, configuration(ACME, OTHER, issuers={}), [publisher()]).outcome
    wanted = configuration(replace(ACME, enabled=False), replace(OTHER, name="new"), enabled=False)

    assert make_plan(present, wanted, []).lines == (
        "- publisher acme github octo-org/widgets -> widgets",
        "- registry other",
        "~ registry acme",
        "~ trusted publishing: off",
        "+ issuer https://ghes.example.com/_services/token",
        "+ issuer https://token.actions.githubusercontent.com",
        "+ registry new",
    )


def test_what_is_there_already_needs_no_step() -> None:
    present = make_plan(EMPTY, configuration(), [publisher()]).outcome

    plan = make_plan(present, configuration(), [publisher("id-2")])

    assert plan == Plan((), present, present)


def test_another_order_of_projects_is_no_change() -> None:
    present = make_plan(EMPTY, configuration(), [publisher(projects=("a", "b"))]).outcome

    plan = make_plan(present, configuration(), [publisher(projects=("b", "a"))])

    assert plan == Plan((), present, present)


def test_publishers_with_the_same_rules_are_one_step() -> None:
    twins = [publisher(projects=("a", "b")), publisher("id-2", projects=("b", "c"))]

    plan = make_plan(EMPTY, Configuration(), twins)

    assert [step.after for step in plan.steps] == [publisher(projects=("a", "b", "c"))]


def test_further_projects_begin_a_new_generation_and_fewer_do_not() -> None:
    present = make_plan(EMPTY, configuration(), [publisher(projects=("a",))]).outcome

    larger = make_plan(present, configuration(), [publisher(projects=("a", "b"))]).outcome
    smaller = make_plan(larger, configuration(), [publisher(projects=("b",))]).outcome

    assert [p.generation for s in (larger, smaller) for p in s.publishers.values()] == [1, 1]


def test_a_publisher_with_new_rules_takes_over_the_pins_of_its_identity() -> None:
    pinned = publisher(pins=PINS)
    present = Setup(configuration(), {pinned.rules_hash: pinned})
    narrower = publisher("id-2", claims={"actor": "octocat"})
    stranger = for_repository("octo-org/other", "id-3")

    outcome = make_plan(present, configuration(), [narrower, stranger]).outcome

    assert outcome.publishers == {
        narrower.rules_hash: narrower.with_pins(PINS),
        stranger.rules_hash: stranger,
    }


def test_a_plan_without_removals_loses_nothing() -> None:
    plan = make_plan(EMPTY, configuration(), [publisher()])

    assert plan.steps
    assert plan.losses == ()
