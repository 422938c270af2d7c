"""Attestations of the legacy API: verified after a file is visible, or before where required."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from pytp_broker.errors import StoreUnavailable
from pytp_broker.index.forms import MAX_FIELD_BYTES
from pytp_broker.making import Making
from pytp_broker.minting import make_to_upload
from pytp_broker.provenance.attester import AttestationState, NoAttester
from pytp_broker.services import build_index
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.file_store import attestations_key
from pytp_broker.verifier import AttestationPlace, Place
from tests.support import distributions
from tests.support.attesting import (
    PENDING,
    REFUSED,
    UNVERIFIED,
    VERIFIED,
    attest,
    attestation,
)
from tests.support.deployment import Answer
from tests.support.distributions import Distribution, fields, sdist, wheel
from tests.support.shelf import Shelf

WHEEL = wheel()
PLACE = AttestationPlace("acme", "widgets", WHEEL.filename)


def publish(shelf: Shelf, sent: str | None = None, file: Distribution = WHEEL) -> Answer:
    """Upload a file with attestations, or with another text in their place."""
    return shelf.publish(file, fields(file, attestations=attest(file) if sent is None else sent))


def published(shelf: Shelf) -> PublishedFile:
    (file,) = shelf.store.files.values()
    return file


def state(shelf: Shelf) -> AttestationState | None:
    return published(shelf).attestation_state


def verifications(shelf: Shelf) -> list[tuple[str, str, str]]:
    """Return the outcome, the reason and the detail of each record of attestations."""
    found = [record for record in shelf.records if record.event == "attestation"]
    return [(r.outcome, r.reason, str(r.facts.get("detail", ""))) for r in found]


# --- a registry that does not require them --------------------------------------------------------


def test_a_file_with_attestations_is_visible_at_once_and_they_are_pending(shelf: Shelf) -> None:
    assert publish(shelf).status == 200

    assert state(shelf) == PENDING
    assert shelf.verifier.requests == [PLACE]
    assert not shelf.attester.questions


def test_attestations_are_kept_as_they_were_sent(shelf: Shelf) -> None:
    sent = json.dumps([attestation(WHEEL.filename, WHEEL.sha256)], indent=3)

    publish(shelf, sent)

    digest = published(shelf).attestations_sha256
    assert digest is not None
    assert shelf.files.contents[attestations_key("acme", digest, WHEEL.filename)] == sent.encode()


def test_the_attester_is_asked_about_the_file_and_its_publisher(shelf: Shelf) -> None:
    publish(shelf)
    shelf.verify()

    (question,) = shelf.attester.questions
    assert question.attestations == attest(WHEEL)
    assert (question.filename, question.sha256) == (WHEEL.filename, WHEEL.sha256)
    assert question.publisher["claims"]["repository"] == "octo-org/widgets"


@pytest.mark.parametrize(
    ("said", "record"),
    [
        (VERIFIED, ("accepted", "", "")),
        (UNVERIFIED, ("refused", "attestations-unverified", UNVERIFIED.reason)),
        (REFUSED, ("refused", "attestations-refused", REFUSED.reason)),
    ],
)
def test_what_the_attester_says_is_kept_and_recorded(
    shelf: Shelf, said: AttestationState, record: tuple[str, str, str]
) -> None:
    publish(shelf)
    shelf.attester.state = said
    shelf.verify()

    assert state(shelf) == said
    assert verifications(shelf) == [record]


def test_a_second_verification_changes_nothing(shelf: Shelf) -> None:
    publish(shelf)
    shelf.verify()
    shelf.attester.state = REFUSED
    shelf.verifier.request(PLACE)
    shelf.verify()

    assert state(shelf) == VERIFIED
    assert len(verifications(shelf)) == 1


def test_a_file_that_is_not_there_is_not_verified(shelf: Shelf) -> None:
    shelf.verifier.request(PLACE)
    shelf.verify()

    assert not shelf.attester.questions


@contextmanager
def verification_fails(shelf: Shelf) -> Iterator[None]:
    with pytest.raises(StoreUnavailable):
        yield
    assert state(shelf) == PENDING
    assert [outcome for outcome, *_ in verifications(shelf)] == ["refused"]
    assert verifications(shelf)[0][1] == "store-unavailable"


def test_without_an_answer_they_stay_pending(shelf: Shelf) -> None:
    publish(shelf)
    shelf.attester.state = None

    with verification_fails(shelf):
        shelf.verify()


def test_a_state_that_cannot_be_stored_stays_pending(shelf: Shelf) -> None:
    publish(shelf)
    shelf.store.fail_next("save_attestation_state")

    with verification_fails(shelf):
        shelf.verify()


@pytest.mark.parametrize("fault", ["it is lost", "the store fails"])
def test_attestations_that_cannot_be_read_stay_pending(shelf: Shelf, fault: str) -> None:
    publish(shelf)
    if fault == "it is lost":
        shelf.files.contents.clear()
    else:
        shelf.files.fail_next("open")

    with verification_fails(shelf):
        shelf.verify()


def test_a_file_is_published_although_nobody_can_be_asked(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_place: Place) -> None:
        raise StoreUnavailable("the queue does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(shelf.verifier, "request", refuse)
        assert publish(shelf).status == 200
    assert state(shelf) == PENDING

    assert publish(shelf).status == 200
    shelf.verify()

    assert state(shelf) == VERIFIED


def test_an_upload_of_a_verified_file_asks_for_nothing(shelf: Shelf) -> None:
    publish(shelf)
    shelf.verify()

    assert publish(shelf).status == 200
    assert not shelf.verifier.requests


def test_a_file_without_attestations_has_no_state(shelf: Shelf) -> None:
    shelf.publish(WHEEL)

    assert state(shelf) is None
    assert published(shelf).attestations_sha256 is None
    assert not shelf.verifier.requests


def test_an_empty_field_is_none(shelf: Shelf) -> None:
    assert publish(shelf, "").status == 200
    assert state(shelf) is None


# --- their form -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ("hello", "they are not strict JSON"),
        ("[]", "one or two attestations, not 0"),
        (attest(sdist()), "it is about `widgets-1.0.tar.gz`"),
        (attest(Distribution(WHEEL.filename, b"other")), "a file of another sha256"),
        (" " * (256 * 1024) + "[]", "more than 256 KiB"),
    ],
)
def test_attestations_of_another_form_are_refused_at_once(
    shelf: Shelf, sent: str, words: str
) -> None:
    answer = publish(shelf, sent)

    assert answer.status == 400
    assert answer.detail.startswith("the attestations cannot be taken: ")
    assert words in answer.detail
    assert not shelf.store.files
    assert not shelf.files.contents


def test_a_field_of_more_than_a_mebibyte_is_refused(shelf: Shelf) -> None:
    answer = publish(shelf, " " * (MAX_FIELD_BYTES + 1))

    assert (answer.status, "`attestations` is longer than" in answer.detail) == (400, True)


def test_two_fields_of_attestations_are_refused(shelf: Shelf) -> None:
    sent = [*fields(WHEEL, attestations=attest(WHEEL)), ("attestations", attest(WHEEL))]

    assert "more than one field `attestations`" in shelf.publish(WHEEL, sent).detail


def test_a_stranger_is_told_nothing_of_their_form(shelf: Shelf) -> None:
    body = distributions.form(WHEEL, fields(WHEEL, attestations="hello"))

    assert shelf.post(body, "").status == 401


# --- a registry that requires them ----------------------------------------------------------------


@pytest.fixture
def strict(shelf: Shelf) -> Shelf:
    shelf.change(require_attestations=True)
    return shelf


def assert_nothing_is_kept(shelf: Shelf) -> None:
    assert not shelf.store.files
    assert not shelf.files.contents
    assert not shelf.verifier.requests


def test_a_file_is_visible_once_they_are_verified(strict: Shelf) -> None:
    assert publish(strict).status == 200

    assert state(strict) == VERIFIED
    assert not strict.verifier.requests


@pytest.mark.promise("required-attestations")
@pytest.mark.parametrize("said", [UNVERIFIED, REFUSED])
def test_a_file_whose_attestations_are_not_verified_is_refused_with_the_reason(
    strict: Shelf, said: AttestationState
) -> None:
    strict.attester.state = said

    answer = publish(strict)

    assert (answer.status, answer.code) == (400, "invalid-upload")
    assert f"these are {said.status.value}: {said.reason}" in answer.detail
    assert_nothing_is_kept(strict)


def test_if_nobody_can_say_it_now_the_upload_may_be_repeated(strict: Shelf) -> None:
    strict.attester.state = None

    answer = publish(strict)

    assert (answer.status, answer.code) == (503, "store-unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert_nothing_is_kept(strict)

    strict.attester.state = VERIFIED
    assert publish(strict).status == 200
    assert state(strict) == VERIFIED


@pytest.mark.promise("required-attestations")
def test_a_file_without_attestations_is_refused(strict: Shelf) -> None:
    answer = strict.publish(WHEEL)

    assert (answer.status, answer.code) == (400, "invalid-upload")
    assert "takes only files with attestations" in answer.detail
    assert_nothing_is_kept(strict)


def test_a_deployment_without_an_attester_verifies_nothing(strict: Shelf) -> None:
    index = strict.index
    strict.index = build_index(
        index,
        files=index.files,
        max_upload_bytes=index.max_upload_bytes,
        verifier=index.verifier,
        signer=index.signer,
    )
    assert isinstance(strict.index.attester, NoAttester)

    assert publish(strict).status == 503


def operators_upload(shelf: Shelf, sent: distributions.Fields | None = None) -> Answer:
    making = Making("user olive", reason="the CI is down")
    made = make_to_upload("acme", "widgets", making, timedelta(minutes=15), shelf.now)
    shelf.store.tokens[made.token.lookup_id] = made.record
    return shelf.post(distributions.form(WHEEL, sent), shelf.basic(made.token))


def test_an_operator_has_no_job_and_needs_no_attestations(strict: Shelf) -> None:
    assert operators_upload(strict).status == 200
    assert state(strict) is None


def test_attestations_that_an_operator_sends_are_verified_like_others(strict: Shelf) -> None:
    assert operators_upload(strict, fields(WHEEL, attestations=attest(WHEEL))).status == 200
    assert state(strict) == PENDING

    strict.verify()

    (question,) = strict.attester.questions
    assert question.publisher == {"kind": "pytp:operator"}


def test_a_published_file_stays_when_its_registry_begins_to_require_them(shelf: Shelf) -> None:
    shelf.publish(WHEEL)
    shelf.change(require_attestations=True)

    assert shelf.publish(WHEEL).status == 200
    assert shelf.get(f"/acme/files/{WHEEL.sha256}/{WHEEL.filename}").status == 200
