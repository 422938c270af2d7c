"""A large upload is verified after the request that completed it."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from pytp_broker.content import Content, Held
from pytp_broker.errors import StoreUnavailable
from pytp_broker.index.sessions.verifying import (
    MAX_ATTEMPTS,
    OVERDUE,
    UNBEGUN,
    ask_again,
    verify_upload,
)
from pytp_broker.names import METADATA_SUFFIX
from pytp_broker.storage.file_store import Stored, keys_of
from pytp_broker.storage.sessions import Session, UploadStatus
from pytp_broker.verifier import Place
from tests.support.distributions import Distribution, sdist
from tests.support.fakes import MemoryFiles
from tests.support.processing import KEY, PUBLISHED_BY, UPLOAD_ID, WHEEL, Bench


class KilledError(BaseException):
    """The process is killed: no code of it goes on."""


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize("distribution", [WHEEL, sdist()], ids=["wheel", "sdist"])
def test_a_good_file_is_completed(distribution: Distribution) -> None:
    bench = Bench(distribution)

    bench.verify_now()

    upload = bench.upload
    assert upload.status is UploadStatus.COMPLETED
    assert upload.file is not None
    assert (upload.file.sha256, upload.file.upload_id) == (distribution.sha256, UPLOAD_ID)
    assert upload.file.published_by == PUBLISHED_BY
    assert upload.processing_since is None


def test_its_metadata_file_is_stored_beside_it(bench: Bench) -> None:
    bench.verify_now()

    file = bench.upload.file
    assert file is not None
    metadata = bench.files.contents[keys_of(file)[1]]
    assert hashlib.sha256(metadata).hexdigest() == file.metadata_sha256


def test_a_verification_leaves_a_record(bench: Bench) -> None:
    bench.verify_now()

    assert bench.record.event == "verification"
    assert bench.record.outcome == "accepted"
    assert bench.record.facts == {"registry": "acme", "filename": WHEEL.filename}


def other_bytes(bench: Bench) -> None:
    bench.files.contents[KEY] = WHEEL.content[:-1] + b"x"


def fewer_bytes(bench: Bench) -> None:
    bench.files.contents[KEY] = WHEEL.content[:-1]


def no_bytes(bench: Bench) -> None:
    del bench.files.contents[KEY]


def no_archive(bench: Bench) -> None:
    octets = b"x" * len(WHEEL.content)
    bench.files.contents[KEY] = octets
    bench.change_upload(hashes={"sha256": hashlib.sha256(octets).hexdigest()})


def another_md5(bench: Bench) -> None:
    bench.change_upload(hashes={"sha256": WHEEL.sha256, "md5": "0" * 32})


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (other_bytes, "the sha256 that was announced"),
        (fewer_bytes, "arrived"),
        (no_bytes, "no bytes"),
        (no_archive, "is not a zip archive"),
        (another_md5, "the md5 that was announced"),
    ],
)
def test_a_bad_file_fails_with_a_notice(
    bench: Bench, spoil: Callable[[Bench], None], words: str
) -> None:
    spoil(bench)

    bench.verify_now()

    assert bench.status == "error"
    (notice,) = bench.upload.notices
    assert words in notice
    assert bench.record.reason == "invalid-upload"


class VanishingFiles(MemoryFiles):
    """Bytes are there when they are looked for, and gone when they are opened."""

    def find(self, key: str) -> Stored | None:
        stored = super().find(key)
        self.contents.pop(key, None)
        return stored


def test_bytes_that_vanish_fail_with_a_notice(bench: Bench) -> None:
    files = VanishingFiles()
    files.contents = dict(bench.files.contents)
    bench.index = replace(bench.index, files=files)

    bench.verify_now()

    assert bench.status == "error"


def unknown_session(bench: Bench) -> None:
    bench.place = replace(bench.place, token="stage_unknown")


def another_upload_of_the_name(bench: Bench) -> None:
    bench.change_upload(upload_id="6" * 32)


def another_file(bench: Bench) -> None:
    bench.place = replace(bench.place, filename="widgets-2.0.tar.gz")


def completed_before(bench: Bench) -> None:
    bench.change_upload(status=UploadStatus.COMPLETED)


def canceled_session(bench: Bench) -> None:
    bench.cancel()


def expired_session(bench: Bench) -> None:
    bench.now += timedelta(days=7)


def attempts_used_up(bench: Bench) -> None:
    bench.change_upload(attempts=MAX_ATTEMPTS)


@pytest.mark.parametrize(
    "change",
    [
        unknown_session,
        another_upload_of_the_name,
        another_file,
        completed_before,
        canceled_session,
        expired_session,
        attempts_used_up,
    ],
)
def test_a_verification_that_nobody_waits_for_does_nothing(
    bench: Bench, change: Callable[[Bench], None]
) -> None:
    change(bench)
    before = dict(bench.store.sessions)

    bench.verify_now()

    assert bench.store.sessions == before
    assert not bench.records
    assert "open" not in bench.files.calls


class MeetingFiles(MemoryFiles):
    """Somebody else acts while the metadata file is stored: after the check, before its result."""

    def __init__(self, bench: Bench, act: Callable[[], None]) -> None:
        super().__init__()
        self.contents = bench.files.contents
        self._act = act

    def save(self, key: str, content: Content, sha256: str) -> None:
        self._act()
        super().save(key, content, sha256)


def cancel_the_session(bench: Bench) -> None:
    bench.cancel()


def delete_the_file(bench: Bench) -> None:
    bench.change_upload(status=UploadStatus.CANCELED)
    bench.files.contents.clear()


def replace_the_file(bench: Bench) -> None:
    bench.change_upload(upload_id="6" * 32, status=UploadStatus.PENDING)
    bench.files.contents.clear()


def forget_the_session(bench: Bench) -> None:
    bench.store.sessions.clear()
    bench.files.contents.clear()


@pytest.mark.parametrize(
    "act", [cancel_the_session, delete_the_file, replace_the_file, forget_the_session]
)
def test_a_file_that_is_canceled_meanwhile_leaves_nothing(
    bench: Bench, act: Callable[[Bench], None]
) -> None:
    bench.index = replace(bench.index, files=MeetingFiles(bench, lambda: act(bench)))

    bench.verify_now()

    assert not bench.files.contents
    assert not bench.records


def test_two_runs_on_one_file_end_as_one_does(bench: Bench) -> None:
    other = replace(bench.index)
    files = MeetingFiles(bench, lambda: verify_upload(bench.place, other))
    bench.index = replace(bench.index, files=files)

    bench.verify_now()

    assert bench.status == "completed"
    assert KEY + METADATA_SUFFIX in bench.files.contents
    assert len(bench.records) == 1


def calls_of_a_verification() -> list[str]:
    bench = Bench()
    bench.store.calls.clear()
    bench.files.calls.clear()
    bench.verify_now()
    return [*bench.store.calls, *bench.files.calls]


@pytest.mark.parametrize("method", sorted(set(calls_of_a_verification())))
def test_a_store_that_does_not_answer_costs_no_attempt(bench: Bench, method: str) -> None:
    failing = bench.files if method in {"find", "open", "save"} else bench.store
    failing.fail_next(method)

    with pytest.raises(StoreUnavailable):
        bench.verify_now()

    assert bench.status == "processing"
    assert bench.upload.attempts == 0
    bench.verify_now()
    assert bench.status == "completed"


class Mortal:
    """Carries the calls of a service, until one kills the process before or after it is applied."""

    def __init__(self, service: Any, killing: "Killing") -> None:
        self._service, self._killing = service, killing

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._service, name)
        return lambda *arguments, **named: self._killing.carry(lambda: call(*arguments, **named))


class Killing:
    """Kills at one call; ``is_late`` applies the call first."""

    def __init__(self, number: int, *, is_late: bool) -> None:
        self._left, self._is_late = number, is_late

    def carry(self, call: Callable[[], Any]) -> Any:
        self._left -= 1
        if self._left == -1 and not self._is_late:
            raise KilledError
        result = call()
        if self._left == -1:
            raise KilledError
        return result


def killed_runs(*, is_late: bool) -> Iterator[Bench]:
    """Yield a bench for each call at which a run was killed."""
    for number in count():
        bench = Bench()
        killing = Killing(number, is_late=is_late)
        store, files = Mortal(bench.store, killing), Mortal(bench.files, killing)
        try:
            verify_upload(bench.place, replace(bench.index, store=store, files=files))
        except KilledError:
            yield bench
        else:
            assert number > 4
            return


@pytest.mark.parametrize("is_late", [False, True])
def test_a_run_that_is_killed_at_any_step_can_begin_again(is_late: bool) -> None:
    for bench in killed_runs(is_late=is_late):
        assert bench.upload.attempts <= 1

        bench.verify_now()

        assert bench.status == "completed"
        assert len(bench.files.contents) == 2


def kill_a_run(bench: Bench) -> None:
    """Begin a verification whose check kills the process."""

    def fatal(_content: Content) -> Content:
        raise KilledError

    with pytest.raises(KilledError):
        verify_upload(bench.place, bench.index, fatal)


def test_a_file_that_kills_every_run_fails_in_the_end(bench: Bench) -> None:
    for _ in range(MAX_ATTEMPTS):
        kill_a_run(bench)
    bench.verify_now()
    assert bench.status == "processing"

    bench.now += OVERDUE
    ask_again(bench.store.sessions[bench.session.token], bench.upload, bench.index)

    assert bench.status == "error"
    assert "could not be checked in 3 attempts" in bench.upload.notices[0]
    assert not bench.verifier.requests


def test_a_file_that_breaks_every_check_fails_at_the_last_attempt(bench: Bench) -> None:
    def broken(_content: Content) -> Content:
        raise ZeroDivisionError

    for _ in range(MAX_ATTEMPTS):
        assert bench.status == "processing"
        with pytest.raises(ZeroDivisionError):
            verify_upload(bench.place, bench.index, broken)

    assert bench.status == "error"


def ask(bench: Bench, after: timedelta) -> list[Place]:
    """Ask for the status after some time; return what is requested then."""
    bench.now += after
    session: Session = bench.store.sessions[bench.session.token]
    ask_again(session, bench.upload, bench.index)
    return bench.verifier.requests


def test_a_request_that_was_lost_is_made_again_after_a_minute(bench: Bench) -> None:
    assert not ask(bench, UNBEGUN - timedelta(seconds=1))
    assert ask(bench, timedelta(seconds=1)) == [bench.place]


def test_a_run_that_was_lost_is_made_again_after_a_quarter_of_an_hour(bench: Bench) -> None:
    kill_a_run(bench)

    assert not ask(bench, OVERDUE - timedelta(seconds=1))
    assert ask(bench, timedelta(seconds=1)) == [bench.place]


def test_of_many_requests_one_asks_again(bench: Bench) -> None:
    session, upload = bench.session, bench.upload
    bench.now += UNBEGUN

    for _ in range(5):
        ask_again(session, upload, bench.index)

    assert bench.verifier.requests == [bench.place]


def test_a_file_that_is_not_processing_is_not_asked_for(bench: Bench) -> None:
    bench.verify_now()

    assert not ask(bench, OVERDUE)


def test_a_reader_of_the_content_may_be_put_between(bench: Bench) -> None:
    read: list[int] = []

    def noted(content: Content) -> Content:
        read.append(content.size)
        return Held(content.read_at(0, content.size))

    verify_upload(bench.place, bench.index, noted)

    assert read == [len(WHEEL.content)]


def test_a_bad_file_that_is_canceled_meanwhile_leaves_no_record(bench: Bench) -> None:
    other_bytes(bench)

    def canceled(content: Content) -> Content:
        bench.cancel()
        return content

    verify_upload(bench.place, bench.index, canceled)

    assert not bench.records
