"""What the operator writes: load_configuration and apply."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pytp_broker.registries import Configuration, Timestamping
from pytp_broker.storage.plan import Plan, Setup
from pytp_broker.storage.protocols import WHOLE_REGISTRY, Store
from pytp_broker.trust.built_in import BUILT_IN_ISSUERS, with_built_in
from tests.support.samples import (
    ACME,
    GITHUB,
    ISSUER,
    NOW,
    OTHER,
    OTHER_ISSUER,
    configuration,
    for_repository,
    publisher,
    record,
)

PINS = {"repository_owner_id": "9919"}


def trusted(store: Store, registry: str, project: str) -> set[str]:
    store.add_token(record())
    found = store.find_token(record().lookup_id, (registry, project))
    assert found is not None
    return set(found[1])


def test_what_operators_have_written_is_read_whole(store: Store) -> None:
    here, there = publisher(), publisher("id-2", registry="other", projects=("gizmos",))
    store.apply(configuration(enabled=False), [here, there])
    store.pin_publisher(here, PINS)

    setup = store.load_setup()

    assert setup.configuration == configuration(enabled=False)
    assert setup.publishers == {
        here.rules_hash: here.with_pins(PINS),
        there.rules_hash: there,
    }


def test_nothing_is_written_in_an_empty_store(store: Store) -> None:
    assert store.load_setup() == Setup(Configuration(), {})


def test_an_empty_store_has_an_empty_configuration(store: Store) -> None:
    assert store.load_configuration() == with_built_in(Configuration())


def test_what_is_applied_is_loaded(store: Store) -> None:
    store.apply(configuration(), [])

    assert store.load_configuration() == with_built_in(configuration())


@pytest.mark.parametrize("enabled", [True, False])
def test_the_main_switch_is_loaded(store: Store, enabled: bool) -> None:
    store.apply(configuration(enabled=not enabled), [])

    store.apply(configuration(enabled=enabled), [])

    assert store.load_configuration().enabled is enabled


def test_what_is_no_longer_configured_is_gone(store: Store) -> None:
    store.apply(configuration(), [])

    store.apply(configuration(ACME, issuers={}), [])

    assert store.load_configuration() == with_built_in(configuration(ACME, issuers={}))


def test_an_applied_publisher_is_listed_and_trusted_by_its_projects(store: Store) -> None:
    wanted = publisher(projects=("widgets", "gadgets"))

    store.apply(configuration(), [wanted])

    assert list(store.list_publishers(wanted.identity_key)) == [wanted]
    assert trusted(store, "acme", "widgets") == {"id-1"}
    assert trusted(store, "acme", "gadgets") == {"id-1"}
    assert trusted(store, "other", "widgets") == frozenset()


def test_a_registry_as_a_whole_trusts_each_of_its_publishers(store: Store) -> None:
    store.apply(
        configuration(), [publisher(), for_repository("octo-org/b", "id-2", projects=("gadgets",))]
    )
    assert trusted(store, "acme", WHOLE_REGISTRY) == {"id-1", "id-2"}
    assert trusted(store, "other", WHOLE_REGISTRY) == frozenset()

    store.apply(configuration(), [publisher()])

    assert trusted(store, "acme", WHOLE_REGISTRY) == {"id-1"}


def test_a_registry_as_a_whole_trusts_a_publisher_in_its_first_generation(store: Store) -> None:
    for projects in (("widgets",), ("widgets", "gadgets")):
        store.apply(configuration(), [publisher(projects=projects)])

    place = ("acme", WHOLE_REGISTRY)
    assert store.list_trust([place]) == {place: {"id-1": 0}}


def test_a_project_trusts_all_its_publishers(store: Store) -> None:
    store.apply(configuration(), [publisher(), for_repository("octo-org/b", "id-2")])

    assert trusted(store, "acme", "widgets") == {"id-1", "id-2"}


def test_applying_again_changes_nothing(store: Store) -> None:
    store.apply(configuration(), [publisher()])

    plan = store.apply(configuration(), [publisher("id-2")])

    assert plan.lines == ()


def test_a_publisher_that_is_there_already_keeps_its_id_and_pins(store: Store) -> None:
    store.apply(configuration(), [publisher()])
    store.pin_publisher(publisher(), PINS)

    store.apply(configuration(), [publisher("id-2")])

    assert list(store.list_publishers(publisher().identity_key)) == [publisher(pins=PINS)]
    assert trusted(store, "acme", "widgets") == {"id-1"}


def test_a_publisher_whose_projects_change_keeps_its_id_and_pins(store: Store) -> None:
    store.apply(configuration(), [publisher(projects=("widgets", "gadgets"))])
    store.pin_publisher(publisher(), PINS)

    store.apply(configuration(), [publisher("id-2", projects=("gadgets", "gizmos"))])

    (found,) = store.list_publishers(publisher().identity_key)
    assert found == publisher(projects=("gadgets", "gizmos"), pins=PINS, generation=1)
    assert trusted(store, "acme", "widgets") == frozenset()
    assert trusted(store, "acme", "gadgets") == {"id-1"}
    assert trusted(store, "acme", "gizmos") == {"id-1"}


def test_a_removed_publisher_is_neither_listed_nor_trusted(store: Store) -> None:
    store.apply(configuration(), [publisher(), for_repository("octo-org/b", "id-2")])

    store.apply(configuration(), [for_repository("octo-org/b", "id-2")])

    assert list(store.list_publishers(publisher().identity_key)) == []
    assert trusted(store, "acme", "widgets") == {"id-2"}


def test_a_publisher_that_comes_back_has_a_new_id_and_no_pins(store: Store) -> None:
    store.apply(configuration(), [publisher()])
    store.pin_publisher(publisher(), PINS)
    store.apply(configuration(), [])

    store.apply(configuration(), [publisher("id-2")])

    assert list(store.list_publishers(publisher().identity_key)) == [publisher("id-2")]
    assert trusted(store, "acme", "widgets") == {"id-2"}


def test_two_publishers_with_the_same_rules_are_one_for_the_projects_of_both(store: Store) -> None:
    twin = publisher("id-2", projects=("widgets", "gadgets"))

    store.apply(configuration(), [publisher(), twin])

    (found,) = store.list_publishers(publisher().identity_key)
    assert found == publisher(projects=("widgets", "gadgets"))
    assert trusted(store, "acme", "gadgets") == {"id-1"}


FIRST = configuration(), [publisher()]


@pytest.mark.parametrize(
    ("wanted", "lines"),
    [
        pytest.param((configuration(), [publisher()]), (), id="nothing"),
        pytest.param(
            (configuration(replace(ACME, enabled=False), replace(OTHER, name="new")), []),
            (
                "- publisher acme github octo-org/widgets -> widgets",
                "- registry other",
                "~ registry acme",
                "+ registry new",
            ),
            id="registries",
        ),
        pytest.param(
            (configuration(issuers={ISSUER.url: replace(ISSUER, enabled=False)}), [publisher()]),
            (
                "- issuer https://ghes.example.com/_services/token",
                "~ issuer https://token.actions.githubusercontent.com",
            ),
            id="issuers",
        ),
        pytest.param(
            (
                configuration(enabled=False),
                [publisher(projects=("gizmos",)), for_repository("octo-org/b", "id-2")],
            ),
            (
                "~ publisher acme github octo-org/widgets -> gizmos",
                "~ trusted publishing: off",
                "+ publisher acme github octo-org/b -> widgets",
            ),
            id="publishers and the main switch",
        ),
    ],
)
def test_every_change_is_told_in_a_line(store: Store, wanted: Any, lines: tuple[str, ...]) -> None:
    store.apply(*FIRST)

    assert store.apply(*wanted).lines == lines


def test_a_first_apply_tells_what_it_adds(store: Store) -> None:
    assert store.apply(configuration(ACME, issuers={}), [publisher()]).lines == (
        "+ publisher acme github octo-org/widgets -> widgets",
        "+ registry acme",
    )


def test_apply_touches_neither_tokens_nor_files(store: Store) -> None:
    store.add_token(record())

    store.apply(*FIRST)

    assert store.find_token(record().lookup_id, ("acme", "widgets")) is not None


def test_changes_that_are_not_approved_are_not_written(store: Store) -> None:
    store.apply(configuration(), [publisher()])
    shown = []

    def refuse(plan: Plan) -> bool:
        shown.append(plan)
        return False

    returned = store.apply(configuration(OTHER), [], refuse)

    assert shown == [returned]
    assert store.load_configuration() == with_built_in(configuration())
    assert store.apply(configuration(), [publisher()]).lines == ()


def test_changes_that_are_approved_are_written(store: Store) -> None:
    store.apply(configuration(), [], lambda _: True)

    assert store.load_configuration() == with_built_in(configuration())


def test_a_registry_or_publisher_that_is_removed_is_a_loss(store: Store) -> None:
    store.apply(configuration(), [publisher()])

    plan = store.apply(configuration(OTHER), [])

    assert [step.line for step in plan.losses] == [
        "- publisher acme github octo-org/widgets -> widgets",
        "- registry acme",
    ]


def test_a_publisher_whose_rules_change_is_no_loss(store: Store) -> None:
    store.apply(configuration(), [publisher()])
    changed = replace(publisher(), fields={**publisher().fields, "environment": "release"})

    plan = store.apply(configuration(), [changed])

    assert [line[0] for line in plan.lines] == ["-", "+"]
    assert plan.losses == ()


@pytest.mark.parametrize("projects", [("widgets",), ("widgets", "gadgets")])
def test_a_publisher_that_changes_and_keeps_not_all_of_its_projects_is_a_loss(
    store: Store, projects: tuple[str, ...]
) -> None:
    store.apply(configuration(), [publisher(projects=("widgets", "gadgets"))])
    changed = replace(
        publisher(projects=projects), fields={**publisher().fields, "environment": "release"}
    )

    plan = store.apply(configuration(), [changed])

    assert len(plan.losses) == (1 if projects == ("widgets",) else 0)


def test_a_project_trusts_a_publisher_since_the_generation_in_which_it_was_added(
    store: Store,
) -> None:
    for projects in (("widgets",), ("widgets", "gadgets"), ("gadgets",), ("gadgets", "widgets")):
        store.apply(configuration(), [publisher(projects=projects)])

    (found,) = store.list_publishers(publisher().identity_key)
    assert found.generation == 2
    assert store.list_trust([("acme", "widgets"), ("acme", "gadgets")]) == {
        ("acme", "widgets"): {"id-1": 2},
        ("acme", "gadgets"): {"id-1": 1},
    }


def test_a_plan_says_which_registries_everybody_may_read(store: Store) -> None:
    store.apply(configuration(ACME), [])

    public = store.apply(configuration(replace(ACME, access="public")), [])
    private = store.apply(configuration(ACME), [])

    assert public.lines == ("~ registry acme (public: everybody may read it)",)
    assert private.lines == ("~ registry acme",)
    assert not store.load_configuration().registries["acme"].is_public


def test_the_issuers_that_are_built_in_are_known_and_not_written(store: Store) -> None:
    plan = store.apply(configuration(replace(ACME, issuers=None), issuers={}), [])

    assert plan.lines == ("+ registry acme",)
    assert store.load_configuration().issuers == BUILT_IN_ISSUERS
    assert all(store.load_configuration().is_enabled("acme", url) for url in BUILT_IN_ISSUERS)


def test_a_built_in_issuer_can_be_switched_off_and_on_again(store: Store) -> None:
    registry = replace(ACME, issuers=None)
    off = replace(BUILT_IN_ISSUERS[GITHUB], enabled=False)
    store.apply(configuration(registry, issuers={}), [])

    switched_off = store.apply(configuration(registry, issuers={GITHUB: off}), [])
    assert not store.load_configuration().is_enabled("acme", GITHUB)

    switched_on = store.apply(configuration(registry, issuers={}), [])
    assert store.load_configuration().is_enabled("acme", GITHUB)

    assert switched_off.lines == (f"+ issuer {GITHUB}",)
    assert switched_on.lines == (f"- issuer {GITHUB} (stays known: it is built in)",)


def test_what_an_earlier_version_wrote_about_built_in_issuers_holds_until_the_next_apply(
    store: Store,
) -> None:
    """That version stored them as the operator's own, and listed them in each registry."""
    own = {**BUILT_IN_ISSUERS, OTHER_ISSUER.url: OTHER_ISSUER}
    listed = replace(ACME, issuers=tuple(own))
    store.apply(configuration(listed, issuers=own), [publisher()])
    before = store.load_configuration()

    plan = store.apply(
        configuration(replace(ACME, issuers=None), issuers={OTHER_ISSUER.url: OTHER_ISSUER}),
        [publisher()],
    )

    assert before == configuration(listed, issuers=own)
    assert plan.lines == (
        *(f"- issuer {url} (stays known: it is built in)" for url in sorted(BUILT_IN_ISSUERS)),
        "~ registry acme",
    )
    assert plan.losses == ()
    assert store.load_configuration().issuers == before.issuers
    assert all(store.load_configuration().is_enabled("acme", url) for url in own)


def test_a_time_stamping_authority_is_loaded(store: Store) -> None:
    wanted = configuration(timestamping=Timestamping("https://tsa.example.com/", "PEM"))

    plan = store.apply(wanted, [])

    assert "+ timestamping https://tsa.example.com/" in plan.lines
    assert store.load_configuration() == with_built_in(wanted)
    assert store.load_setup().configuration == wanted


def test_another_time_stamping_authority_takes_the_place_of_the_first(store: Store) -> None:
    first, second = (
        configuration(timestamping=Timestamping(f"https://{name}.example.com/")) for name in "ab"
    )
    store.apply(first, [])

    plan = store.apply(second, [])

    assert plan.lines == (
        "- timestamping https://a.example.com/",
        "+ timestamping https://b.example.com/",
    )
    assert store.load_configuration().timestamping == second.timestamping


def test_other_certificates_of_an_authority_are_a_change(store: Store) -> None:
    authority = Timestamping("https://tsa.example.com/")
    store.apply(configuration(timestamping=authority), [])

    plan = store.apply(configuration(timestamping=replace(authority, ca_pem="PEM")), [])

    assert plan.lines == ("~ timestamping https://tsa.example.com/",)
    assert store.load_configuration().timestamping == replace(authority, ca_pem="PEM")


def test_a_time_stamping_authority_that_is_no_longer_configured_is_gone(store: Store) -> None:
    store.apply(configuration(timestamping=Timestamping("https://tsa.example.com/")), [])

    plan = store.apply(configuration(), [])

    assert plan.lines == ("- timestamping https://tsa.example.com/",)
    assert store.load_configuration() == with_built_in(configuration())


# --- identity tokens from before a time -----------------------------------------------------------


def test_an_apply_leaves_the_time_before_which_identity_tokens_are_refused(store: Store) -> None:
    store.apply(configuration(), [])
    store.refuse_identity_tokens(NOW)

    plan = store.apply(configuration(enabled=False), [publisher()])

    assert len(plan.steps) == 2
    assert store.load_configuration().identity_tokens_from == NOW
    assert not store.load_configuration().enabled


def test_the_later_time_stays(store: Store) -> None:
    for seconds in (0, 1, -1):
        store.refuse_identity_tokens(NOW + timedelta(seconds=seconds, milliseconds=300))

    since = store.load_configuration().identity_tokens_from
    assert since == NOW + timedelta(seconds=1)


def test_no_identity_token_is_refused_for_its_time_in_a_new_store(store: Store) -> None:
    assert store.load_configuration().identity_tokens_from is None
