"""Publishing a session: reserve, publish_session, release, and add_file against them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.protocols import AlreadyPublishedError, ReservedError, Store
from pytp_broker.storage.sessions import PUBLISH_TIME, Session, SessionStatus
from tests.support.samples import NOW, file, session, staged

SDIST, WHEEL = "widgets-1.0.tar.gz", "widgets-1.0-py3-none-any.whl"
BOTH = session(staged(SDIST), staged(WHEEL))
RIVAL = file(SDIST, sha256="2" * 64, uploaded_at=NOW)
AFTER = NOW + PUBLISH_TIME


def records(mine: Session) -> list[PublishedFile]:
    return [each.file for each in mine.files.values() if each.file is not None]


def visible(store: Store) -> Sequence[str]:
    """Return the names that readers see, who all see the same."""
    listed = [each.filename for each in store.list_files("acme", "widgets")]
    found = [
        name
        for name in (WHEEL, SDIST)
        if store.find_entry("acme", "widgets", name).file is not None
    ]
    surveyed = sorted(p.filename for p in store.survey("acme") if isinstance(p, PublishedFile))
    shown = store.find_files("acme", "widgets")
    assert (
        sorted(found) == listed == surveyed == [f.filename for f in (shown and shown.files) or ()]
    )
    return listed


def begin(store: Store, mine: Session = BOTH) -> Session:
    """Store a session and begin to publish it."""
    store.add_session(mine)
    processing = mine.processing(NOW)
    assert store.save_session(processing, mine)
    return processing


def test_the_receipts_that_were_reserved_are_published(store: Store) -> None:
    """The session itself does not know them: they are made when its publish begins."""
    processing = begin(store)
    certified = [replace(each, receipt_sha256="2" * 64) for each in records(BOTH)]

    store.reserve(processing, certified)
    store.publish_session(processing.published(NOW))

    assert {each.receipt_sha256 for each in store.list_files("acme", "widgets")} == {"2" * 64}


def test_published_files_become_visible_in_one_write(store: Store) -> None:
    processing = begin(store)
    assert visible(store) == []

    assert store.reserve(processing, records(BOTH)) == []
    assert visible(store) == []
    assert store.publish_session(processing.published(NOW))

    assert visible(store) == sorted([SDIST, WHEEL])
    assert list(store.list_files("acme", "widgets")) == sorted(
        records(BOTH), key=lambda each: each.filename
    )
    assert list(store.list_projects("acme")) == ["widgets"]
    assert store.find_session(BOTH.token) == processing.published(NOW)


def test_a_publish_may_be_repeated(store: Store) -> None:
    processing = begin(store)
    store.reserve(processing, records(BOTH))
    store.publish_session(processing.published(NOW))

    assert store.publish_session(processing.published(NOW))

    assert visible(store) == sorted([SDIST, WHEEL])


def test_a_publish_that_is_repeated_later_finds_the_first(store: Store) -> None:
    processing = begin(store)
    store.reserve(processing, records(BOTH))
    store.publish_session(processing.published(NOW))

    assert store.publish_session(processing.published(AFTER))

    assert visible(store) == sorted([SDIST, WHEEL])
    assert store.find_session(BOTH.token) == processing.published(NOW)


def test_names_that_were_reserved_after_the_publish_was_rolled_back_are_free(store: Store) -> None:
    processing = begin(store)
    failed = processing.failed("interrupted")
    store.save_session(failed, processing)
    store.release(processing)
    store.reserve(processing, records(BOTH))

    assert not store.publish_session(processing.published(NOW))

    store.add_file(RIVAL)
    assert visible(store) == [SDIST]


def test_a_reservation_may_be_repeated(store: Store) -> None:
    processing = begin(store)
    store.reserve(processing, records(BOTH))

    assert store.reserve(processing, records(BOTH)) == []

    store.publish_session(processing.published(NOW))
    assert visible(store) == sorted([SDIST, WHEEL])


def test_another_revision_is_not_published(store: Store) -> None:
    processing = begin(store)
    store.reserve(processing, records(BOTH))
    store.save_session(processing.failed("a file is damaged"), processing)

    assert not store.publish_session(processing.published(NOW))

    assert visible(store) == []


def test_a_published_name_is_taken_and_nothing_is_reserved(store: Store) -> None:
    store.add_file(RIVAL)
    processing = begin(store)

    assert store.reserve(processing, records(BOTH)) == [SDIST]

    store.add_file(file(WHEEL))
    assert visible(store) == sorted([SDIST, WHEEL])
    assert store.find_entry("acme", "widgets", SDIST).file == RIVAL


def test_an_upload_of_a_reserved_name_is_refused_until_the_publish_ends(store: Store) -> None:
    processing = begin(store)
    store.reserve(processing, records(BOTH))

    with pytest.raises(ReservedError):
        store.add_file(RIVAL)

    store.publish_session(processing.published(NOW))
    with pytest.raises(AlreadyPublishedError):
        store.add_file(RIVAL)
    assert list(store.list_files("acme", "widgets"))[1].sha256 == file().sha256


def test_a_released_name_is_free(store: Store) -> None:
    processing = begin(store)
    store.reserve(processing, records(BOTH))
    store.save_session(processing.failed("a file is damaged"), processing)

    store.release(processing)
    store.add_file(RIVAL)

    assert visible(store) == [SDIST]
    assert store.find_entry("acme", "widgets", SDIST).file == RIVAL


def test_a_reservation_that_was_not_released_is_void(store: Store) -> None:
    processing = begin(store)
    store.reserve(processing, records(BOTH))
    store.save_session(processing.failed("a file is damaged"), processing)

    store.add_file(RIVAL)

    assert visible(store) == [SDIST]


def test_an_upload_rolls_an_interrupted_publish_back(store: Store) -> None:
    processing = begin(store)
    store.reserve(processing, records(BOTH))

    store.add_file(file(SDIST, sha256="2" * 64, uploaded_at=AFTER))

    assert not store.publish_session(processing.published(NOW))
    assert visible(store) == [SDIST]
    found = store.find_session(BOTH.token)
    assert found is not None
    assert found.status is SessionStatus.ERROR
    assert found.notices == (
        "The last publish was interrupted, and nothing was published: publish again.",
    )


def test_a_session_is_published_after_its_publish_was_interrupted(store: Store) -> None:
    processing = begin(store)
    store.reserve(processing, records(BOTH))
    failed = processing.failed("interrupted")
    store.save_session(failed, processing)

    again = failed.processing(AFTER)
    store.save_session(again, failed)
    assert store.reserve(again, records(BOTH)) == []
    assert store.publish_session(again.published(AFTER))

    assert visible(store) == sorted([SDIST, WHEEL])


def test_two_sessions_do_not_publish_the_same_name(store: Store) -> None:
    first = begin(store)
    other = session(staged(SDIST), number=2, key="1.0.1")
    second = begin(store, other)
    store.reserve(first, records(BOTH))

    assert store.reserve(second, records(other)) == [SDIST]

    assert store.publish_session(first.published(NOW))
    assert visible(store) == sorted([SDIST, WHEEL])


def test_a_published_session_makes_room_for_another(store: Store) -> None:
    processing = begin(store)
    store.reserve(processing, records(BOTH))
    store.publish_session(processing.published(NOW))

    second = session(number=2, created_at=NOW + timedelta(minutes=1))
    assert store.add_session(second) == second


def test_a_session_without_its_row_publishes_nothing(store: Store) -> None:
    processing = BOTH.processing(NOW)
    store.reserve(processing, records(BOTH))

    assert not store.publish_session(processing.published(NOW))

    assert visible(store) == []
    store.add_file(RIVAL)
    assert visible(store) == [SDIST]


def test_a_thousand_files_are_published_at_once(racing_store: Store) -> None:
    names = [f"widgets-1.0-{number}-py3-none-any.whl" for number in range(1000)]
    mine = session(*map(staged, names))
    processing = begin(racing_store, mine)

    assert racing_store.reserve(processing, records(mine)) == []
    assert racing_store.list_files("acme", "widgets") == []
    assert racing_store.publish_session(processing.published(NOW))

    assert len(racing_store.list_files("acme", "widgets")) == 1000


def test_a_reservation_of_a_session_that_is_gone_is_void(store: Store) -> None:
    store.reserve(BOTH.processing(NOW), records(BOTH))
    assert visible(store) == []

    store.add_file(RIVAL)

    assert visible(store) == [SDIST]
