"""A large file of a session is checked after the request that completes it (202 and polling)."""

from dataclasses import replace
from datetime import timedelta

import pytest

from pytp_broker.errors import StoreUnavailable
from pytp_broker.index.sessions.verifying import UNBEGUN
from pytp_broker.verifier import Place
from tests.support.deployment import Answer
from tests.support.distributions import wheel
from tests.support.shelf import Shelf
from tests.support.uploading import Document, Uploader

WHEEL = wheel()


class Client(Uploader):
    """A client that has announced one file, and sent its bytes."""

    def __init__(self, *, is_sent: bool = True) -> None:
        super().__init__(Shelf())
        self.session = self.begin()
        self.upload = self.add(self.session, WHEEL)
        if is_sent:
            assert self.deliver(self.upload, WHEEL.content).status == 204

    @property
    def requests(self) -> list[Place]:
        """Return the verifications that were asked for."""
        return self.shelf.verifier.requests

    def check_at_once(self, max_bytes: int) -> None:
        """Let files up to this size be checked within the request."""
        self.shelf.index = replace(self.shelf.index, immediate_bytes=max_bytes)

    def finish(self) -> Answer:
        """Complete the file."""
        return self.complete(self.upload)

    def look(self) -> Document:
        """Return the file as it is now."""
        return self.see_file(self.upload)


@pytest.fixture
def client() -> Client:
    client = Client()
    client.check_at_once(0)
    return client


def test_a_large_file_is_accepted_and_checked_later(client: Client) -> None:
    answer = client.finish()

    assert answer.status == 202
    assert answer.json["status"] == "processing"
    assert answer.headers["Location"] == client.upload["links"]["file-upload-session"]
    assert int(answer.headers["Retry-After"]) > 0
    (place,) = client.requests
    assert place.filename == WHEEL.filename


def test_it_is_completed_after_its_verification(client: Client) -> None:
    client.finish()
    client.shelf.verify()

    assert client.look()["status"] == "completed"
    assert client.publish(client.session).status == 201
    assert client.shelf.filenames == [WHEEL.filename]


def test_who_completed_it_is_who_published_it(client: Client) -> None:
    client.finish()
    client.shelf.verify()
    client.publish(client.session)

    (file,) = client.shelf.store.files.values()
    assert file.published_by["repository"] == "octo-org/widgets"


def test_a_small_file_is_checked_at_once(client: Client) -> None:
    client.check_at_once(len(WHEEL.content))

    answer = client.finish()

    assert (answer.status, answer.json["status"]) == (201, "completed")
    assert not client.requests


def test_a_file_that_is_processing_is_not_published(client: Client) -> None:
    client.finish()

    assert client.publish(client.session).status == 409
    assert not client.shelf.filenames


def test_a_file_that_is_processing_is_not_deleted(client: Client) -> None:
    client.finish()

    assert client.delete_file(client.upload).status == 409


def test_a_session_is_canceled_although_a_file_is_processing(client: Client) -> None:
    client.finish()

    assert client.cancel(client.session).status == 204
    client.shelf.verify()

    assert not client.shelf.files.contents


def test_a_bad_file_ends_in_an_error_with_a_notice(client: Client) -> None:
    client.finish()
    (key,) = client.shelf.files.contents
    client.shelf.files.contents[key] = b"x" * len(WHEEL.content)
    client.shelf.verify()

    seen = client.see(client.session)
    assert seen["files"][WHEEL.filename]["status"] == "error"
    assert "sha256" in seen["files"][WHEEL.filename]["notices"][0]


def test_a_file_without_bytes_fails_at_once() -> None:
    client = Client(is_sent=False)

    answer = client.finish()

    assert answer.status == 400
    assert client.look()["status"] == "error"
    assert not client.requests


def test_a_second_completion_asks_for_no_second_verification(client: Client) -> None:
    client.finish()

    assert client.finish().status == 202
    assert len(client.requests) == 1


def test_of_two_completions_at_once_one_asks_for_the_verification(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    statuses: list[int] = []

    def complete_elsewhere() -> None:
        client.shelf.now += timedelta(milliseconds=1)
        statuses.append(client.finish().status)

    client.before_next_save(monkeypatch, complete_elsewhere)

    assert client.finish().status == 202
    assert statuses == [202]
    assert len(client.requests) == 1


def test_a_request_that_was_lost_is_made_again_by_a_look(client: Client) -> None:
    client.finish()
    client.requests.clear()
    client.look()
    assert not client.requests

    client.shelf.now += UNBEGUN
    client.look()

    assert len(client.requests) == 1


def test_a_request_that_was_lost_is_made_again_by_a_completion(client: Client) -> None:
    client.finish()
    client.requests.clear()

    client.shelf.now += UNBEGUN + timedelta(seconds=1)
    client.finish()

    assert len(client.requests) == 1


class SilentVerifier:
    """The verify function cannot be asked."""

    def request(self, _place: Place) -> None:
        raise StoreUnavailable("the file cannot be checked now; complete the upload again")


def test_a_verification_that_cannot_be_asked_for_can_be_asked_for_again(client: Client) -> None:
    before = client.shelf.index
    client.shelf.index = replace(before, verifier=SilentVerifier())

    assert client.finish().code == "store-unavailable"
    assert client.look()["status"] == "pending"

    client.shelf.index = before
    assert client.finish().status == 202


def test_a_file_that_was_checked_in_spite_of_that_stays_completed(client: Client) -> None:
    class LateVerifier(SilentVerifier):
        def request(self, place: Place) -> None:
            client.requests.append(place)
            client.shelf.verify()
            super().request(place)

    client.shelf.index = replace(client.shelf.index, verifier=LateVerifier())

    assert client.finish().status == 503
    assert client.look()["status"] == "completed"
