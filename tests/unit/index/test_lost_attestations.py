"""A release has lost its attestations once those that it came with are not verified."""

from typing import Any

import pytest

from pytp_broker.errors import StoreUnavailable
from pytp_broker.provenance.attester import AttestationState
from tests.support.attesting import REFUSED, UNVERIFIED, VERIFIED, attest
from tests.support.distributions import Distribution, fields, sdist, wheel
from tests.support.shelf import Shelf

WHEEL, SDIST = wheel(version="2.0"), sdist(version="2.0")
EARLIER = wheel()


def publish(shelf: Shelf, file: Distribution, state: AttestationState) -> None:
    """Publish a file of which an attester says something after the upload."""
    version = "1.0" if file == EARLIER else "2.0"
    sent = fields(file, attestations=attest(file), version=version)
    assert shelf.publish(file, sent).status == 200
    shelf.attester.state = state
    shelf.verify()


def found_in(shelf: Shelf) -> list[Any]:
    return [each.facts for each in shelf.records if each.event == "provenance"]


@pytest.mark.promise("provenance-watched")
@pytest.mark.parametrize("said", [UNVERIFIED, REFUSED])
def test_attestations_that_are_not_verified_are_lost(shelf: Shelf, said: AttestationState) -> None:
    """A thief of an upload token can make attestations with a Sigstore that nobody knows."""
    publish(shelf, EARLIER, VERIFIED)

    publish(shelf, WHEEL, said)

    assert found_in(shelf) == [
        {
            "registry": "acme",
            "project": "widgets",
            "version": "2.0",
            "filenames": [WHEEL.filename],
            "basis": "attestation",
            "provenance": ["no", "lost"],
            "compared_with": "1.0",
            "new_sources": [],
        }
    ]


def test_attestations_that_are_verified_are_not_lost(shelf: Shelf) -> None:
    publish(shelf, EARLIER, VERIFIED)

    publish(shelf, WHEEL, VERIFIED)

    assert found_in(shelf) == []


def test_a_project_that_has_no_attestations_loses_none(shelf: Shelf) -> None:
    publish(shelf, EARLIER, UNVERIFIED)

    publish(shelf, WHEEL, UNVERIFIED)

    assert found_in(shelf) == []


@pytest.mark.parametrize(("other", "records"), [(VERIFIED, 0), (UNVERIFIED, 1)])
def test_a_release_has_lost_them_when_no_file_can_have_any(
    shelf: Shelf, other: AttestationState, records: int
) -> None:
    publish(shelf, EARLIER, VERIFIED)
    for file in (WHEEL, SDIST):
        sent = fields(file, attestations=attest(file), version="2.0")
        assert shelf.publish(file, sent).status == 200

    for state in (UNVERIFIED, other):
        shelf.attester.state = state
        shelf.verifier.requests, later = shelf.verifier.requests[:1], shelf.verifier.requests[1:]
        shelf.verify()
        shelf.verifier.requests = later

    assert len(found_in(shelf)) == records


def test_without_a_look_at_the_other_files_the_state_is_kept(shelf: Shelf) -> None:
    publish(shelf, EARLIER, VERIFIED)
    shelf.publish(WHEEL, fields(WHEEL, attestations=attest(WHEEL), version="2.0"))
    shelf.attester.state = UNVERIFIED
    shelf.store.fail_next("find_files")

    with pytest.raises(StoreUnavailable):
        shelf.verify()

    assert shelf.store.files["acme", WHEEL.filename].attestation_state == UNVERIFIED
    assert [each.reason for each in shelf.records if each.event == "attestation"] == [
        *("", "attestations-unverified", "store-unavailable"),
    ]
