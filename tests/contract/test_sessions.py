"""Publishing sessions: add_session, find_session, save_session, list_sessions."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from pytp_broker.aws.dynamodb import session_rows
from pytp_broker.storage import sessions
from pytp_broker.storage.protocols import Store, TooManySessionsError
from pytp_broker.storage.sessions import (
    MAX_SESSIONS,
    Session,
    SessionStatus,
    SessionTooLargeError,
    UploadStatus,
)
from pytp_broker.storage.sqlite import session_tables
from tests.support.samples import NOW, session, staged

LATER = NOW + timedelta(days=8)


def canceled(present: Session) -> Session:
    return present.changed(status=SessionStatus.CANCELED, ended_at=NOW)


def test_a_session_is_found_with_all_that_is_known_of_it(store: Store) -> None:
    files = (
        staged(),
        staged(
            "widgets-1.0-py3-none-any.whl",
            status=UploadStatus.PROCESSING,
            processing_since=NOW,
            file=None,
        ),
    )
    mine = session(*files, processing_since=NOW, ended_at=NOW, is_legacy=True)

    assert store.add_session(mine) == mine

    assert store.find_session(mine.token) == mine


def test_a_session_that_is_not_there_is_not_found(store: Store) -> None:
    assert store.find_session(session().token) is None


def test_a_version_has_one_live_session(store: Store) -> None:
    store.add_session(session())

    assert store.add_session(session(number=2)) == session()

    assert list(store.list_sessions(NOW)) == [session()]


@pytest.mark.parametrize(
    "place",
    [{"registry": "other"}, {"project": "gadgets"}, {"key": "2"}],
    ids=lambda p: next(iter(p)),
)
def test_another_version_has_a_session_of_its_own(store: Store, place: dict[str, str]) -> None:
    other = session(number=2, **place)
    store.add_session(session())

    assert store.add_session(other) == other

    assert store.find_session(session().token) == session()


def test_a_session_that_is_added_again_is_in_force(store: Store) -> None:
    store.add_session(session())

    assert store.add_session(session()) == session()


def test_a_canceled_session_makes_room_for_another(store: Store) -> None:
    store.add_session(session())
    store.save_session(canceled(session()), session())

    assert store.add_session(session(number=2)) == session(number=2)

    found = store.find_session(session().token)
    assert found == canceled(session())


def test_an_expired_session_makes_room_for_another(store: Store) -> None:
    store.add_session(session())
    second = session(number=2, created_at=LATER, expires_at=LATER + timedelta(days=7))

    assert store.add_session(second) == second


def test_an_extended_session_stays_in_force(store: Store) -> None:
    store.add_session(session())
    extended = session().changed(expires_at=LATER + timedelta(days=7))
    store.save_session(extended, session())
    second = session(number=2, created_at=LATER, expires_at=LATER + timedelta(days=7))

    assert store.add_session(second) == extended


def test_a_change_is_saved_in_place_of_the_present_revision(store: Store) -> None:
    store.add_session(session())
    changed = session().changed(files={"x": staged("x")})

    assert store.save_session(changed, session())

    assert store.find_session(session().token) == changed


def test_a_change_of_another_revision_is_not_saved(store: Store) -> None:
    store.add_session(session())
    first, second = session().changed(notices=("a",)), session().changed(notices=("b",))
    store.save_session(first, session())

    assert not store.save_session(second, session())

    assert store.find_session(session().token) == first


def test_a_retried_save_recognises_its_first_attempt(store: Store) -> None:
    store.add_session(session())
    changed = session().changed(notices=("a",))
    store.save_session(changed, session())

    assert store.save_session(changed, session())


def test_a_session_that_is_not_there_is_not_saved(store: Store) -> None:
    assert not store.save_session(session().changed(), session())

    assert store.find_session(session().token) is None


def test_a_project_has_a_bounded_number_of_live_sessions(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (session_tables, session_rows):
        monkeypatch.setattr(module, "MAX_SESSIONS", 2)
    first, second = session(), session(number=2, key="2")
    store.add_session(first)
    store.add_session(second)

    with pytest.raises(TooManySessionsError):
        store.add_session(session(number=3, key="3"))

    assert list(store.list_sessions(NOW)) == [first, second]
    assert store.add_session(session(number=4)) == first
    elsewhere = session(number=4, project="gadgets")
    assert store.add_session(elsewhere) == elsewhere
    store.save_session(canceled(first), first)
    further = session(number=5, key="3")
    assert store.add_session(further) == further


def test_a_hundred_sessions_of_a_project_are_created_at_once(racing_store: Store) -> None:
    wanted = [session(number=number, key=str(number)) for number in range(MAX_SESSIONS)]

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(racing_store.add_session, wanted)) == wanted

    with pytest.raises(TooManySessionsError):
        racing_store.add_session(session(number=MAX_SESSIONS, key="one too many"))
    assert len(racing_store.list_sessions(NOW)) == MAX_SESSIONS


def test_sessions_that_are_not_over_are_listed_by_time(store: Store) -> None:
    first = session(created_at=NOW - timedelta(hours=1), key="1")
    second = session(number=2, key="2")
    expired = session(number=3, key="3", expires_at=NOW)
    for each in (second, first, expired, session(number=4, key="4")):
        store.add_session(each)
    store.save_session(canceled(session(number=4, key="4")), session(number=4, key="4"))

    assert list(store.list_sessions(NOW)) == [first, second]


def test_a_session_that_is_too_large_is_refused_and_nothing_is_changed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MAX_DOCUMENT_BYTES", 600)
    store.add_session(session())
    many = {name: staged(name) for name in map(str, range(100))}

    with pytest.raises(SessionTooLargeError):
        store.save_session(session().changed(files=many), session())

    assert store.find_session(session().token) == session()


def test_a_full_session_of_a_thousand_files_is_kept(store: Store) -> None:
    files = [staged(f"widgets-1.{n}-cp313-cp313-manylinux_2_28_x86_64.whl") for n in range(1000)]
    mine = session(*(replace(f, hashes={"sha256": f"{n:064x}"}) for n, f in enumerate(files)))

    store.add_session(mine)

    assert store.find_session(mine.token) == mine
