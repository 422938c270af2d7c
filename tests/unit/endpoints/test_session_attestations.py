"""Attestations of a session: sent before a file is completed, then verified (PEP 694, PEP 740)."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest

from pytp_broker.errors import StoreUnavailable
from pytp_broker.index.sessions.verifying import MAX_ATTEMPTS, UNBEGUN
from pytp_broker.provenance.attester import AttestationState
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.file_store import attestations_key
from pytp_broker.verifier import AttestationPlace
from tests.support.attesting import PENDING, REFUSED, UNVERIFIED, VERIFIED, attest
from tests.support.deployment import Answer
from tests.support.distributions import Distribution, body, fields, file_part, sdist, texts, wheel
from tests.support.shelf import Shelf
from tests.support.uploading import POST_BYTES, PUT, Document, Uploader, problem_of

WHEEL = wheel()
JSON = "application/json"


class Client(Uploader):
    """A client that has announced one file, and sent its bytes."""

    def __init__(self) -> None:
        super().__init__(Shelf())
        self.session = self.begin()
        self.upload = self.add(self.session, WHEEL)
        assert self.deliver(self.upload, WHEEL.content).status == 204

    def attest(self, text: str | None = None, upload: Document | None = None) -> Answer:
        url = (upload or self.upload)["mechanism"]["attestations_url"]
        octets = (attest(WHEEL) if text is None else text).encode()
        return self.send("POST", url, body=octets, content_type=JSON)

    def finish(self) -> Answer:
        return self.complete(self.upload)

    def look(self) -> Document:
        return self.see_file(self.upload)

    def publish_it(self) -> PublishedFile:
        assert self.publish(self.session).status == 201
        return self.shelf.store.files["acme", WHEEL.filename]

    def require(self) -> None:
        self.shelf.change(require_attestations=True)

    def say(self, state: AttestationState | None) -> None:
        self.shelf.attester.state = state

    @property
    def sent(self) -> list[str]:
        """Return the stored attestations."""
        found = self.shelf.files.contents.items()
        return [octets.decode() for key, octets in found if key.startswith("attestations/")]


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.mark.parametrize("mechanism", [POST_BYTES, PUT])
def test_the_way_of_a_file_says_where_its_attestations_go(client: Client, mechanism: str) -> None:
    upload = client.add(client.session, sdist(), mechanism)

    url = upload["mechanism"]["attestations_url"]
    assert url == upload["links"]["file-upload-session"] + "/attestations"
    assert client.attest(attest(sdist()), upload).status == 204


def test_attestations_are_kept_as_they_were_sent(client: Client) -> None:
    text = json.dumps(json.loads(attest(WHEEL)), indent=2)

    assert client.attest(text).status == 204

    assert client.sent == [text]


def test_a_file_with_attestations_is_processing_until_they_are_verified(client: Client) -> None:
    client.attest()

    answer = client.finish()
    assert (answer.status, answer.json["status"]) == (202, "processing")
    client.shelf.verify()

    assert client.look()["status"] == "completed"
    file = client.publish_it()
    assert file.attestation_state == VERIFIED
    key = attestations_key("acme", str(file.attestations_sha256), WHEEL.filename)
    assert client.shelf.files.contents[key] == attest(WHEEL).encode()
    assert not client.shelf.verifier.requests


def test_the_attester_is_asked_about_the_job_that_completed_the_file(client: Client) -> None:
    client.attest()
    client.finish()
    client.shelf.verify()

    (question,) = client.shelf.attester.questions
    assert question.publisher["claims"]["repository"] == "octo-org/widgets"
    assert (question.filename, question.sha256) == (WHEEL.filename, WHEEL.sha256)


def test_the_last_attestations_count(client: Client) -> None:
    client.attest()
    later = json.dumps([*json.loads(attest(WHEEL))], indent=1)
    client.attest(later)
    client.finish()
    client.shelf.verify()

    (question,) = client.shelf.attester.questions
    assert question.attestations == later


def test_the_same_attestations_may_be_sent_again(client: Client) -> None:
    client.attest()
    before = client.shelf.store.sessions

    assert client.attest().status == 204
    assert client.shelf.store.sessions == before


@pytest.mark.parametrize("state", [UNVERIFIED, REFUSED])
def test_a_release_shows_attestations_for_what_they_are(
    client: Client, state: AttestationState
) -> None:
    client.say(state)
    client.attest()
    client.finish()
    client.shelf.verify()

    assert client.publish_it().attestation_state == state
    (record,) = [each for each in client.shelf.records if each.event == "attestation"]
    assert (record.reason, record.facts["detail"]) == (
        f"attestations-{state.status.value}",
        state.reason,
    )


def test_if_nobody_can_say_it_they_are_verified_after_the_publish(client: Client) -> None:
    client.say(None)
    client.attest()
    client.finish()
    client.shelf.verify()

    assert client.look()["status"] == "completed"
    assert client.publish_it().attestation_state == PENDING
    assert client.shelf.verifier.requests == [AttestationPlace("acme", "widgets", WHEEL.filename)]

    client.say(VERIFIED)
    client.shelf.verify()
    assert client.shelf.store.files["acme", WHEEL.filename].attestation_state == VERIFIED


def test_a_repeated_publish_asks_for_the_verification_again(client: Client) -> None:
    client.say(None)
    client.attest()
    client.finish()
    client.shelf.verify()
    client.publish_it()
    client.shelf.verifier.requests.clear()

    client.publish_it()

    assert len(client.shelf.verifier.requests) == 1


def test_a_file_without_attestations_is_checked_at_once(client: Client) -> None:
    assert client.finish().status == 201
    assert client.publish_it().attestation_state is None


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hello", "they are not strict JSON"),
        ("[]", "one or two attestations, not 0"),
        (attest(sdist()), "it is about `widgets-1.0.tar.gz`"),
        (attest(Distribution(WHEEL.filename, b"x")), "a file of another sha256"),
        (" " * (256 * 1024 + 1), "more than 256 KiB"),
    ],
)
def test_attestations_of_another_form_are_refused_at_once(
    client: Client, text: str, words: str
) -> None:
    answer = client.attest(text)

    assert answer.status == 400
    assert words in problem_of(answer)["detail"]
    assert not client.sent
    assert client.look()["status"] == "pending"


ENDS: dict[str, Callable[[Client], object]] = {
    "completed": Client.finish,
    "canceled": lambda client: client.delete_file(client.upload),
}


@pytest.mark.parametrize("status", ENDS)
def test_attestations_come_before_the_end_of_an_upload(client: Client, status: str) -> None:
    ENDS[status](client)

    answer = client.attest()

    assert answer.status == 409
    assert f"is `{status}`: attestations must come before" in problem_of(answer)["detail"]
    assert not client.sent


def test_a_session_that_is_over_takes_no_attestations(client: Client) -> None:
    client.cancel(client.session)

    assert client.attest().status == 409


def test_a_stranger_sends_no_attestations(client: Client) -> None:
    stranger = Uploader(client.shelf, authorization="")
    url = client.upload["mechanism"]["attestations_url"]

    assert stranger.send("POST", url, body=attest(WHEEL).encode()).status == 401
    assert not client.sent


def test_attestations_of_another_upload_are_not_found(client: Client) -> None:
    url = client.upload["mechanism"]["attestations_url"].replace("/attestations", "0/attestations")

    assert client.send("POST", url, body=attest(WHEEL).encode()).status == 404


def test_attestations_that_arrive_while_a_file_is_completed_are_not_lost(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.before_next_save(monkeypatch, client.attest)

    answer = client.finish()

    assert answer.status == 409
    assert "complete it again" in answer.detail
    assert client.finish().status == 202
    client.shelf.verify()
    assert client.publish_it().attestation_state == VERIFIED


def test_an_upload_that_ends_while_attestations_arrive_does_not_have_them(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.before_next_save(monkeypatch, client.finish)

    assert client.attest().status == 409
    assert client.publish_it().attestations_sha256 is None


# --- a registry that requires them ----------------------------------------------------------------


def test_a_file_without_them_is_not_completed_and_may_still_get_them(client: Client) -> None:
    client.require()

    answer = client.finish()

    assert answer.status == 400
    assert "takes only files with attestations" in problem_of(answer)["detail"]
    assert client.look()["status"] == "pending"
    client.attest()
    assert client.finish().status == 202


def test_verified_ones_complete_the_file(client: Client) -> None:
    client.require()
    client.attest()
    client.finish()
    client.shelf.verify()

    assert client.look()["status"] == "completed"
    assert client.publish_it().attestation_state == VERIFIED


@pytest.mark.parametrize("state", [UNVERIFIED, REFUSED])
def test_others_end_the_upload_with_the_reason(client: Client, state: AttestationState) -> None:
    client.require()
    client.say(state)
    client.attest()
    client.finish()
    client.shelf.verify()

    seen = client.look()
    assert seen["status"] == "error"
    assert f"these are {state.status.value}: {state.reason}" in seen["notices"][0]
    assert client.publish(client.session).status == 409


def test_without_an_answer_the_file_is_processing_and_asked_about_again(client: Client) -> None:
    client.require()
    client.say(None)
    client.attest()
    client.finish()
    for _ in range(MAX_ATTEMPTS + 1):
        with pytest.raises(StoreUnavailable):
            client.shelf.verify()
        assert client.look()["status"] == "processing"
        client.shelf.advance(seconds=(UNBEGUN + timedelta(seconds=1)).total_seconds())
        assert client.look()["status"] == "processing"
        assert len(client.shelf.verifier.requests) == 1

    client.say(VERIFIED)
    client.shelf.verify()

    assert client.look()["status"] == "completed"


@pytest.mark.promise("required-attestations")
@pytest.mark.parametrize(
    ("has_them", "state"), [(False, VERIFIED), (True, UNVERIFIED), (True, None)]
)
def test_a_file_that_was_completed_before_is_not_published_without_them(
    client: Client, has_them: bool, state: AttestationState | None
) -> None:
    client.say(state)
    if has_them:
        client.attest()
    client.finish()
    client.shelf.verify()
    client.require()

    answer = client.publish(client.session)

    assert answer.status == 409
    (error,) = problem_of(answer)["errors"]
    assert error["source"] == WHEEL.filename
    assert not client.shelf.filenames


# --- files that come by the legacy API ------------------------------------------------------------


def stage(shelf: Shelf) -> Answer:
    sent = fields(WHEEL, attestations=attest(WHEEL), staged="true")
    return shelf.post(body([*texts(sent), file_part(WHEEL.filename, WHEEL.content)]))


def test_a_staged_file_is_verified_after_the_publish() -> None:
    client = Uploader(Shelf())
    session = stage(client.shelf).json

    assert client.publish(session).status == 201
    client.shelf.verify()

    assert client.shelf.store.files["acme", WHEEL.filename].attestation_state == VERIFIED


def test_a_staged_file_is_verified_at_once_where_that_is_required() -> None:
    client = Uploader(Shelf())
    client.shelf.change(require_attestations=True)
    client.shelf.attester.state = REFUSED
    assert stage(client.shelf).status == 400

    client.shelf.attester.state = VERIFIED
    session = stage(client.shelf).json

    assert client.publish(session).status == 201
    assert not client.shelf.verifier.requests
