"""What a registry refuses before a byte is sent: sessions and files that `publish` announces."""

from pytp_broker.client.uploads.wire import Reply, Request, Wire
from tests.support.distributions import SDIST_NAME, WHEEL_NAME, wheel
from tests.support.upload_server import BUCKET, Drop, problem
from tests.unit.client.publishing.conftest import Person

TOO_LARGE = problem(413, "it is larger than 1 GiB")


def uploads(person: Person) -> list[str]:
    """Return the names of all files that the registry waits for or has."""
    return [name for session in person.server.sessions.values() for name in session.uploads]


def test_no_byte_is_sent_if_one_of_several_files_is_refused(person: Person) -> None:
    person.put(wheel("gadgets"))
    person.server.plan("POST files", None, None, TOO_LARGE)

    assert person.publish() == 1

    assert person.server.received == 0
    assert "PUT object" not in person.server.log
    assert "the registry does not take it: it is larger than 1 GiB" in person.err
    assert person.err.endswith("\nnothing is published\n")


def test_a_refused_file_leaves_no_upload_that_others_would_wait_for(person: Person) -> None:
    person.server.plan("POST files", None, TOO_LARGE)
    person.publish("--jobs", "1")
    assert uploads(person) == []

    assert person.publish(f"dist/{WHEEL_NAME}") == 0

    assert not person.server.waits


def test_refused_releases_and_refused_files_are_named_together(person: Person) -> None:
    person.put(wheel("gadgets"), wheel("gizmos"))
    person.server.plan("POST root", problem(403, "not for you"), None, problem(409, "closed"))
    person.server.plan("POST files", TOO_LARGE)

    assert person.publish() == 1

    assert person.server.received == 0
    for why in ("opens no session: not for you", "opens no session: closed", "than 1 GiB"):
        assert why in person.err


def test_all_sessions_are_open_and_all_files_announced_before_a_byte_is_sent(
    person: Person,
) -> None:
    person.put(wheel("gadgets"))

    assert person.publish("--jobs", "1") == 0

    log = person.server.log
    assert [what for what in log[: log.index("PUT object")] if what.startswith("POST")] == [
        "POST root",
        "POST root",
        "POST files",
        "POST files",
        "POST files",
    ]


def test_what_an_earlier_run_has_staged_stays_after_a_refusal(person: Person) -> None:
    person.publish("--stage", f"dist/{SDIST_NAME}")
    person.server.plan("POST files", TOO_LARGE)

    assert person.publish() == 1

    assert uploads(person) == [SDIST_NAME]
    assert f"{SDIST_NAME}: was staged before" in person.err


def test_a_file_that_waited_for_others_gets_a_new_address(person: Person) -> None:
    answer = person.server.send

    def send(_: Wire, request: Request) -> Reply:
        reply = answer(request)
        if request.url.startswith(BUCKET):
            person.server.wait(1200)
        return reply

    person.monkeypatch.setattr(Wire, "send", send)

    assert person.publish("--jobs", "1") == 0

    assert person.server.count("PUT object") == 2
    assert len(person.server.published) == 2


def test_an_announcement_that_is_not_taken_back_hides_no_refusal(person: Person) -> None:
    person.server.plan("POST files", None, TOO_LARGE)
    person.server.plan("DELETE file", *[Drop(0)] * 9)

    assert person.publish("--jobs", "1") == 1

    assert f"error: {SDIST_NAME}: the registry does not take it" in person.err
