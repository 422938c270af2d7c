"""Several runs that work in one session, such as the jobs of a matrix."""

from collections.abc import Callable
from dataclasses import replace

from pytp_broker.client.publishing.finishing import WAIT_SECONDS
from pytp_broker.client.uploads.wire import Reply, Request, Wire
from tests.support.distributions import SDIST_NAME, WHEEL_NAME, sdist, wheel
from tests.support.upload_server import Session, Upload, problem
from tests.unit.client.publishing.conftest import Person

OTHER = Upload("f" * 32, SDIST_NAME, 5, "0" * 64, "http-post-bytes")


def meanwhile(person: Person, ending: str, act: Callable[[], None]) -> None:
    """Let another run do something once, before the first request of this form is answered."""
    answer, acts = person.server.send, [act]

    def send(_: Wire, request: Request) -> Reply:
        if request.url.endswith(ending) and acts:
            acts.pop()()
        return answer(request)

    person.monkeypatch.setattr(Wire, "send", send)


def begin_other(person: Person) -> None:
    person.server.session.uploads[SDIST_NAME] = OTHER
    OTHER.status = "pending"


def publish_other(person: Person) -> None:
    """Stage the other file and publish the session, with what is in it."""
    person.server.session.status = "published"
    person.server.published[SDIST_NAME] = sdist().content


def test_a_file_that_another_run_is_sending_is_waited_for(person: Person) -> None:
    meanwhile(person, "/publish", lambda: begin_other(person))
    wait = person.server.wait

    def waited(seconds: float) -> None:
        wait(seconds)
        if sum(person.server.waits) > 60:
            OTHER.status, OTHER.content = "completed", b"other"

    person.set_wait(waited)

    assert person.publish(f"dist/{WHEEL_NAME}") == 0

    assert person.err.count(f"widgets 1.0: waits for {SDIST_NAME}, of another run") == 1
    assert person.server.published == {WHEEL_NAME: wheel().content, SDIST_NAME: b"other"}


def test_a_session_that_another_run_has_joined_is_left_to_it(person: Person) -> None:
    def join() -> None:
        begin_other(person)
        person.server.published[WHEEL_NAME] = wheel().content

    meanwhile(person, "/files", join)

    assert person.publish(f"dist/{WHEEL_NAME}") == 0

    assert person.server.session.status == "open"
    assert [*person.server.session.uploads] == [SDIST_NAME]


def test_a_run_that_was_killed_is_not_waited_for_without_end(person: Person) -> None:
    meanwhile(person, "/publish", lambda: begin_other(person))

    assert person.publish(f"dist/{WHEEL_NAME}") == 1

    assert WAIT_SECONDS <= sum(person.server.waits) < WAIT_SECONDS + 60
    assert f"not completed: ['{SDIST_NAME}']" in person.err


def test_a_refused_publish_is_not_tried_for_minutes(person: Person) -> None:
    person.server.plan("POST publish", problem(409, "the release is closed"))

    assert person.publish() == 1
    assert not person.server.waits


def test_a_session_that_another_run_publishes_before_our_file_is_followed_by_a_new_one(
    person: Person,
) -> None:
    meanwhile(person, "/files", lambda: publish_other(person))

    assert person.publish(f"dist/{WHEEL_NAME}") == 0

    assert len(person.server.sessions) == 2
    assert person.server.published[WHEEL_NAME] == wheel().content


def test_a_session_that_another_run_publishes_with_our_file_is_published(person: Person) -> None:
    def publish() -> None:
        session = person.server.session
        person.server._settle(session)

    meanwhile(person, "/publish", publish)

    assert person.publish(f"dist/{WHEEL_NAME}") == 0
    assert person.server.published == {WHEEL_NAME: wheel().content}


def test_a_session_that_is_gone_is_followed_by_a_new_one(person: Person) -> None:
    meanwhile(person, "/files", person.server.sessions.clear)

    assert person.publish(f"dist/{WHEEL_NAME}") == 0
    assert person.server.published == {WHEEL_NAME: wheel().content}


def test_a_session_that_cannot_be_looked_at_is_not_over(person: Person) -> None:
    person.server.plan("POST files", problem(409, "no"), problem(409, "no"))
    person.server.plan("GET session", None, problem(403, "not yours"), problem(403, "not yours"))

    assert person.publish("--jobs", "1", f"dist/{WHEEL_NAME}") == 1


def test_a_session_that_ends_while_we_send_is_followed_by_the_one_that_has_our_file(
    person: Person,
) -> None:
    def stage_in_another() -> None:
        (ours,) = person.server.session.uploads.values()
        theirs = replace(ours, id="e" * 32, content=wheel().content, status="completed")
        another = Session("stage_9", "widgets", "1.0", uploads={WHEEL_NAME: theirs})
        person.server.sessions = {another.token: another}

    meanwhile(person, "/complete", stage_in_another)

    assert person.publish(f"dist/{WHEEL_NAME}") == 0

    assert person.server.count("PUT object") == 1
    assert f"{WHEEL_NAME}: was staged before" in person.err
    assert person.server.published == {WHEEL_NAME: wheel().content}


def test_a_session_that_another_run_is_just_publishing_is_followed_by_a_new_one(
    person: Person,
) -> None:
    def begin_to_publish() -> None:
        person.server.session.status = "processing"
        person.server.polls_while_processing = 3

    meanwhile(person, "/files", begin_to_publish)

    assert person.publish("--jobs", "1", f"dist/{WHEEL_NAME}") == 0

    assert len(person.server.sessions) == 2
    assert person.server.published == {WHEEL_NAME: wheel().content}


def test_a_file_that_is_finished_while_we_are_refused_is_published_with_ours(
    person: Person,
) -> None:
    def finish_other() -> None:
        begin_other(person)
        OTHER.status, OTHER.content = "completed", b"other"

    meanwhile(person, "/publish", finish_other)
    person.server.plan("POST publish", problem(409, "a file is pending"))

    assert person.publish(f"dist/{WHEEL_NAME}") == 0

    assert person.server.published == {WHEEL_NAME: wheel().content, SDIST_NAME: b"other"}
    assert not person.server.waits
