"""What is known of a file's attestations, which may change: save_attestation_state."""

import pytest

from pytp_broker.provenance.attester import AttestationState, AttestationStatus
from pytp_broker.storage.protocols import Store
from tests.contract.test_races import race
from tests.support.samples import file, session, tombstone

PLACE = ("acme", "widgets")
SDIST, WHEEL = "widgets-1.0.tar.gz", "widgets-1.0-py3-none-any.whl"
PENDING = AttestationState(AttestationStatus.PENDING)
VERIFIED = AttestationState(AttestationStatus.VERIFIED)
REFUSED = AttestationState(AttestationStatus.REFUSED, "of another publisher")
ATTESTED = file(attestations_sha256="c" * 64, attestation_state=PENDING)


def states(store: Store) -> dict[str, AttestationState | None]:
    """Return the states that every way to read the files of the project agrees on."""
    surveyed = [each for each in store.survey("acme") if isinstance(each, type(ATTESTED))]
    listed = list(store.list_files(*PLACE))
    found = store.find_files(*PLACE)
    assert found is not None
    entries = [store.find_entry(*PLACE, each.filename).file for each in listed]
    assert entries == listed == sorted(surveyed, key=lambda each: each.filename)
    assert list(found.files) == listed
    return {each.filename: each.attestation_state for each in listed}


def test_a_file_has_the_state_that_it_was_published_with(store: Store) -> None:
    store.add_file(ATTESTED)
    store.add_file(file(WHEEL))

    assert states(store) == {SDIST: PENDING, WHEEL: None}


@pytest.mark.parametrize("state", [VERIFIED, REFUSED])
def test_a_later_state_is_that_of_the_file_everywhere(
    store: Store, state: AttestationState
) -> None:
    store.add_file(ATTESTED)
    store.add_file(file(WHEEL))

    store.save_attestation_state(*PLACE, SDIST, state)

    assert states(store) == {SDIST: state, WHEEL: None}
    assert store.find_entry(*PLACE, SDIST).file == ATTESTED.with_attestation_state(state)


def test_the_later_of_two_states_holds(store: Store) -> None:
    store.add_file(ATTESTED)
    for state in (REFUSED, PENDING, VERIFIED):
        store.save_attestation_state(*PLACE, SDIST, state)

    assert states(store) == {SDIST: VERIFIED}


def test_a_file_that_is_not_there_gets_no_state(store: Store) -> None:
    store.add_file(file(WHEEL))

    store.save_attestation_state(*PLACE, SDIST, VERIFIED)
    store.save_attestation_state("acme", "gadgets", WHEEL, VERIFIED)
    store.save_attestation_state("other", "widgets", WHEEL, VERIFIED)

    assert states(store) == {WHEEL: None}
    assert store.find_entry(*PLACE, SDIST).file is None
    assert list(store.list_projects("acme")) == ["widgets"]


def test_a_retried_write_of_a_file_leaves_its_state(store: Store) -> None:
    store.add_file(ATTESTED)
    store.save_attestation_state(*PLACE, SDIST, VERIFIED)

    store.add_file(ATTESTED)

    assert states(store) == {SDIST: VERIFIED}


def test_a_deleted_file_is_not_on_the_page_again_with_its_state(store: Store) -> None:
    store.add_file(ATTESTED)
    store.add_file(file(WHEEL))
    store.delete_file(*PLACE, SDIST, tombstone())

    store.save_attestation_state(*PLACE, SDIST, VERIFIED)

    found = store.find_files(*PLACE)
    assert found is not None
    assert [each.filename for each in found.files] == [WHEEL]


def test_a_file_of_a_session_has_a_state_like_any_other(store: Store) -> None:
    begun = store.add_session(session())
    processing = begun.processing(begun.created_at)
    assert store.save_session(processing, begun)
    assert not store.reserve(processing, [ATTESTED])
    assert store.publish_session(processing.published(begun.created_at))

    store.save_attestation_state(*PLACE, SDIST, VERIFIED)

    assert states(store) == {SDIST: VERIFIED}


def test_states_and_uploads_at_the_same_time_are_all_on_the_page(racing_store: Store) -> None:
    names = [f"widgets-1.{number}.tar.gz" for number in range(10)]
    for name in names:
        racing_store.add_file(file(name, attestation_state=PENDING))

    def change(number: int) -> None:
        if number % 2:
            racing_store.save_attestation_state(*PLACE, names[number // 2], VERIFIED)
        else:
            racing_store.add_file(file(f"widgets-2.{number}.tar.gz", version=f"2.{number}"))

    race(20, change)

    found = states(racing_store)
    assert {found[name] for name in names} == {VERIFIED}
    assert len(found) == 20
