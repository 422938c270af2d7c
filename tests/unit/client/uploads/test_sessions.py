"""Upload API 2.0, as the client speaks it: sessions, files, publishing, and what may be lost."""

from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta

import pytest

from pytp_broker.client.uploads.api import PROCESSING_SECONDS
from pytp_broker.client.uploads.refusals import UploadError
from pytp_broker.client.uploads.sending import Delivery
from pytp_broker.client.uploads.wire import Reply, Request
from tests.support.distributions import WHEEL_NAME, sdist, wheel
from tests.support.upload_server import LOST, Drop, problem
from tests.unit.client.uploads.conftest import Client

BUSY = Reply(503, "Service Unavailable")


@pytest.fixture(params=["vnd-pytp-s3-put", "http-post-bytes"])
def mechanism(request: pytest.FixtureRequest, client: Client) -> str:
    client.server.mechanisms = [request.param]
    name: str = request.param
    return name


def test_a_file_is_staged_and_published(client: Client, mechanism: str) -> None:
    assert client.deliver()
    client.release()

    assert client.server.published == {WHEEL_NAME: client.file().path.read_bytes()}
    assert client.server.session.uploads[WHEEL_NAME].mechanism == mechanism


def test_the_best_mechanism_that_both_know_is_used(client: Client) -> None:
    client.server.mechanisms = ["vnd-acme-postal", "http-post-bytes"]

    client.deliver()

    assert client.server.count("POST file bytes") == 1


def test_a_server_without_a_known_mechanism_is_said(client: Client) -> None:
    client.server.mechanisms = ["vnd-acme-postal"]

    with pytest.raises(UploadError, match="takes files by `vnd-acme-postal`, and this version"):
        client.deliver()


def test_a_session_that_exists_is_joined(client: Client) -> None:
    client.deliver()
    client.deliver(client.file(sdist()))

    assert len(client.server.session.uploads) == 2


def test_a_session_that_is_being_published_is_waited_for(client: Client) -> None:
    client.deliver()
    client.server.polls_while_processing = 3
    client.server.session.status = "processing"

    assert client.open().status == "published"
    assert client.server.waits == [2.0] * 3


def test_a_refused_session_is_said_with_the_whole_reason(client: Client) -> None:
    client.server.plan("POST root", problem(403, "the token is for gadgets"))

    with pytest.raises(
        UploadError, match=r"^the registry opens no session: the token is for gadgets$"
    ) as refusal:
        client.open()
    assert (refusal.value.status, refusal.value.may_pass) == (403, False)


# --- what an earlier run has left -----------------------------------------------------------------


def test_a_file_that_was_staged_is_not_sent_again(client: Client) -> None:
    client.deliver()
    sent = client.server.received

    assert not client.deliver()
    assert client.server.received == sent


def test_another_file_of_the_same_name_replaces_the_staged_one(client: Client) -> None:
    client.deliver(client.file(wheel(text="Metadata-Version: 2.1\nName: widgets\nVersion: 1.0\n")))

    assert client.deliver()
    assert client.server.session.uploads[WHEEL_NAME].status == "completed"
    client.release()
    assert client.file().path.read_bytes() in client.server.published.values()


def test_without_a_preview_a_staged_file_is_sent_again(client: Client) -> None:
    client.server.has_stage = False
    client.deliver()

    assert client.deliver()


def test_a_run_that_died_before_its_bytes_is_replaced(client: Client) -> None:
    file = client.file()
    client.api.add_file(client.open(), file.filename, file.size, {"sha256": file.sha256})

    assert client.deliver()
    assert client.server.session.uploads[file.filename].status == "completed"


def test_a_run_that_died_after_its_bytes_is_completed(client: Client) -> None:
    client.server.plan("POST file complete", *[BUSY] * 5)
    with pytest.raises(UploadError):
        client.deliver()

    assert not client.deliver()
    assert client.server.count("PUT object") == 1


def test_a_run_that_died_while_the_server_checked_is_waited_for(client: Client) -> None:
    client.server.polls_while_processing = 2
    client.server.plan("GET file", *[BUSY] * 5)
    with pytest.raises(UploadError):
        client.deliver()

    assert not client.deliver()


def test_a_server_that_is_down_does_not_cost_what_is_staged(client: Client) -> None:
    client.deliver()
    client.server.plan("GET file", *[BUSY] * 5)

    with pytest.raises(UploadError, match="answered 503"):
        client.deliver()
    assert not client.deliver()


def test_a_file_that_another_process_has_just_begun_is_replaced(client: Client) -> None:
    session = client.open()
    file = client.file()
    client.api.add_file(session, file.filename, file.size, {"sha256": "0" * 64})

    assert Delivery(client.api, session, file, client.progress).run()


def test_a_file_that_is_published_is_refused(client: Client) -> None:
    client.server.published[WHEEL_NAME] = b"other"

    with pytest.raises(UploadError, match=f"{WHEEL_NAME} is published"):
        client.deliver()


def test_a_server_that_refuses_another_upload_is_said(client: Client) -> None:
    client.server.plan("POST files", problem(400, "the name is wrong"))

    with pytest.raises(UploadError, match="the name is wrong"):
        client.deliver()


# --- a network that breaks ------------------------------------------------------------------------

STEPS = ["POST root", "POST files", "PUT object", "POST file complete", "GET file", "POST publish"]


@pytest.mark.parametrize("step", STEPS)
def test_a_lost_answer_changes_nothing(client: Client, step: str) -> None:
    client.server.plan(step, LOST)

    client.deliver()
    client.release()

    assert client.server.published


@pytest.mark.parametrize("step", STEPS)
def test_a_server_that_is_busy_for_a_moment_is_asked_again(client: Client, step: str) -> None:
    client.server.plan(step, BUSY, BUSY)

    client.deliver()
    client.release()

    assert client.server.published
    assert sum(client.server.waits) >= 2


@pytest.mark.parametrize("part", [0.0, 0.5, 0.99])
def test_bytes_are_sent_again_after_a_break(client: Client, mechanism: str, part: float) -> None:
    client.server.plan("PUT object", Drop(part), Drop(part))
    client.server.plan("POST file bytes", Drop(part), Drop(part))

    client.deliver()

    assert len(client.progress.attempts) == 3
    assert client.progress.attempts[-1] == client.file().size


def test_posted_bytes_whose_answer_was_lost_are_there(client: Client) -> None:
    client.server.mechanisms = ["http-post-bytes"]
    client.server.plan("POST file bytes", LOST)

    client.deliver()

    assert client.server.count("POST file complete") == 1


def test_a_url_of_the_storage_that_has_expired_is_asked_for_again(client: Client) -> None:
    client.server.plan("PUT object", Reply(403, "Forbidden"))

    client.deliver()

    assert client.server.log.count("PUT object") == 2
    assert client.server.count("GET file") == 2


def test_a_storage_that_refuses_the_bytes_is_said(client: Client) -> None:
    client.server.plan("PUT object", Reply(400, "Bad Request"))

    with pytest.raises(UploadError, match="the storage answered 400"):
        client.deliver()


def test_a_refusal_is_said_also_if_its_upload_cannot_be_removed(client: Client) -> None:
    client.server.plan("PUT object", Reply(400, "Bad Request"))
    client.server.plan("DELETE file", problem(409, "it is being checked"))

    with pytest.raises(UploadError, match="the storage answered 400"):
        client.deliver()


def test_a_server_that_refuses_the_bytes_is_said(client: Client) -> None:
    client.server.mechanisms = ["http-post-bytes"]
    client.server.plan("POST file bytes", problem(413, "a file takes at most 10 bytes"))

    with pytest.raises(UploadError, match="at most 10 bytes"):
        client.deliver()


def test_a_network_that_is_gone_is_said(client: Client) -> None:
    client.server.plan("PUT object", *[Drop(0.5)] * 9)

    with pytest.raises(UploadError, match=r"bucket\.example\.net: the connection failed") as error:
        client.deliver()
    assert error.value.may_pass


# --- what the server decides ----------------------------------------------------------------------


@pytest.mark.parametrize("polls", [0, 3])
def test_a_refused_file_is_said_and_is_not_in_the_way(client: Client, polls: int) -> None:
    client.server.polls_while_processing = polls
    client.server.refusals[WHEEL_NAME] = "the wheel has no RECORD"

    with pytest.raises(UploadError, match="the file is refused: the wheel has no RECORD"):
        client.deliver()
    assert not client.server.session.uploads


def test_a_server_that_checks_for_long_is_asked_as_it_wants(client: Client) -> None:
    client.server.polls_while_processing = 4

    client.deliver()
    client.release()

    assert client.server.waits == [2.0] * 8
    assert client.server.published


@pytest.mark.parametrize("retry_after", ["0", "99999999999", "soon", ""])
def test_any_retry_after_is_a_pause_within_limits(client: Client, retry_after: str) -> None:
    client.server.polls_while_processing = 1
    answer = client.server.send
    client.api = replace(client.api, send=lambda r: _with_pause(answer(r), retry_after))

    client.deliver()

    assert 0.2 <= client.server.waits[0] <= 30


def _with_pause(reply: Reply, retry_after: str) -> Reply:
    return Reply(
        reply.status, reply.phrase, {**reply.headers, "retry-after": retry_after}, reply.body
    )


def test_a_server_that_checks_for_ever_is_left(client: Client) -> None:
    client.server.polls_while_processing = 1 << 30

    with pytest.raises(UploadError, match="checking for 30 minutes; run the same command") as error:
        client.deliver()
    assert error.value.may_pass
    assert sum(client.server.waits) <= PROCESSING_SECONDS + 30


def test_a_release_that_cannot_be_published_is_said(client: Client) -> None:
    client.server.refusals["1.0"] = "the release is closed"
    client.server.polls_while_processing = 1
    client.deliver()

    with pytest.raises(UploadError, match="not published: the release is closed"):
        client.release()


def test_a_refused_publish_is_said(client: Client) -> None:
    file = client.file()
    client.deliver()
    client.server.published[file.filename] = b"other"

    with pytest.raises(UploadError, match="the release is not published: not completed: "):
        client.release()


def test_a_publish_without_a_reason_is_said_as_such(client: Client) -> None:
    client.deliver()
    client.server.plan("POST publish", Reply(409))
    client.server.plan("GET session", Reply(404))

    session = client.api.open("widgets", "2.0")
    client.server.plan("GET session", Reply(404))
    with pytest.raises(UploadError, match="the release is not published: the server answered 409"):
        client.api.publish(session)


def test_a_status_that_is_refused_while_we_wait_is_said(client: Client) -> None:
    client.server.plan("GET file", problem(401, "the token is burned"))

    with pytest.raises(UploadError, match="the token is burned"):
        client.deliver()


# --- sessions, one by one -------------------------------------------------------------------------


def test_a_session_is_discarded(client: Client) -> None:
    session = client.open()

    client.api.cancel(session.url)
    client.server.sessions.clear()
    client.api.cancel(session.url)


def test_a_session_that_cannot_be_discarded_is_said(client: Client) -> None:
    session = client.open()
    client.server.plan("DELETE session", problem(409, "it is being published"))

    with pytest.raises(UploadError, match="it is being published"):
        client.api.cancel(session.url)


def test_an_upload_that_cannot_be_removed_is_said(client: Client) -> None:
    client.deliver(client.file(wheel(text="Metadata-Version: 2.1\nName: widgets\nVersion: 1.0\n")))
    client.server.plan("DELETE file", problem(409, "it is being checked"))

    with pytest.raises(UploadError, match="it is being checked"):
        client.deliver()


def test_an_upload_that_is_gone_need_not_be_removed(client: Client) -> None:
    client.api.delete_file(f"{client.open().url}/files/x/y")


def test_a_session_that_is_gone_is_said(client: Client) -> None:
    session = client.open()
    client.server.sessions.clear()

    with pytest.raises(UploadError, match="no longer exists"):
        client.api.find(session.url)


def test_a_session_that_may_not_be_seen_is_said(client: Client) -> None:
    session = client.open()
    client.server.plan("GET session", problem(403, "not yours"))

    with pytest.raises(UploadError, match="the session: not yours"):
        client.api.find(session.url)


# --- lives ----------------------------------------------------------------------------------------

SOON = timedelta(minutes=30)


def test_what_ends_soon_is_extended(client: Client) -> None:
    client.open()
    client.server.session.lives = SOON

    client.api.keep_open(client.open())

    assert client.server.session.lives == SOON + timedelta(days=1)


def test_what_lives_for_days_is_left_alone(client: Client) -> None:
    client.deliver()
    client.api.keep_open(client.open())

    assert "POST extend" not in client.server.log
    assert "POST file extend" not in client.server.log


def test_what_cannot_be_extended_is_left_alone(client: Client) -> None:
    client.server.has_extend = False
    client.open()
    client.server.session.lives = SOON

    assert client.api.keep_open(client.open()).extend_url is None


def test_an_upload_that_ends_soon_is_extended(client: Client) -> None:
    session = client.open()
    file = client.file()
    client.api.add_file(session, file.filename, file.size, {"sha256": file.sha256})
    upload = client.server.session.uploads[file.filename]
    upload.lives = SOON

    client.api.keep_upload_open(client.api.find_file(client.open().files[file.filename].url))

    assert upload.lives == SOON + timedelta(days=1)


@pytest.mark.parametrize("what", ["POST extend", "POST file extend"])
def test_a_refused_extension_is_said(client: Client, what: str) -> None:
    session = client.open()
    file = client.file()
    client.api.add_file(session, file.filename, file.size, {"sha256": file.sha256})
    client.server.session.lives = client.server.session.uploads[file.filename].lives = SOON
    client.server.plan(what, problem(403, "no more"))

    upload = client.api.find_file(client.open().files[file.filename].url)

    with ExitStack() as stack:
        stack.enter_context(pytest.raises(UploadError, match="is not extended: no more"))
        client.api.keep_open(client.open())
        client.api.keep_upload_open(upload)


# --- attestations ---------------------------------------------------------------------------------


def attested(client: Client) -> None:
    path = client.folder / "widgets-1.0-py3-none-any.whl.publish.attestation"
    path.write_text('{"version": 1}')
    client.server.mechanisms = ["http-post-bytes"]


@pytest.mark.parametrize("mechanism", ["http-post-bytes", "vnd-pytp-s3-put"])
def test_attestations_are_sent_where_the_server_takes_them(client: Client, mechanism: str) -> None:
    attested(client)
    client.server.mechanisms = [mechanism]
    client.server.takes_attestations = True

    client.deliver()

    (upload,) = client.server.session.uploads.values()
    assert upload.attestations == b'[{"version": 1}]'


def test_attestations_are_not_sent_where_nobody_takes_them(client: Client) -> None:
    attested(client)

    client.deliver()

    assert "POST file attestations" not in client.server.log


def test_refused_attestations_are_said(client: Client) -> None:
    attested(client)
    client.server.takes_attestations = True
    client.server.plan("POST file attestations", problem(400, "the bundle is for another file"))

    with pytest.raises(UploadError, match="attestations are refused: the bundle is for another"):
        client.deliver()


def test_a_file_that_another_process_completes_meanwhile_is_not_sent_again(client: Client) -> None:
    answer = client.server.send

    def send(request: Request) -> Reply:
        reply = answer(request)
        if request.method == "PUT":
            (upload,) = client.server.session.uploads.values()
            upload.status = "completed"
            return Reply(503)
        return reply

    client.api = replace(client.api, send=send)

    client.deliver()

    assert client.server.count("PUT object") == 1
