"""Files that another index has published: what they are here, beside uploads."""

from datetime import UTC, datetime, timedelta

import pytest

from pytp_broker.content import Held
from pytp_broker.errors import FileDeleted
from pytp_broker.index.digests import SHA256
from pytp_broker.index.importing import Delivery, Transfer, check_name, commit, store_delivery
from pytp_broker.index.offers import Offer
from pytp_broker.names import normalize
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.project_status import ProjectStatus
from pytp_broker.storage.withdrawals import Tombstone
from tests.support.distributions import Distribution, sdist, wheel
from tests.support.fake_web import HTML, JSON
from tests.support.old_packages import zip_sdist
from tests.support.receipts import AUDIT, notary
from tests.support.shelf import Shelf

TRANSFER = Transfer("acme", "https://old.example.com/simple/", "user olive", AUDIT)
LONG_AGO = datetime(2015, 1, 1, tzinfo=UTC)
OLD_SDIST = sdist("my-widgets", filename="My.Widgets-1.0.tar.gz")


def moved(shelf: Shelf, file: Distribution, project: str, at: datetime = LONG_AGO) -> PublishedFile:
    """Import a file."""
    distribution = check_name(Offer(file.filename, "", {}), normalize(project))
    delivery = Delivery(Held(file.content), {SHA256: file.sha256}, at)
    stored = store_delivery(distribution, delivery, TRANSFER, notary(shelf.files))
    assert commit(stored, shelf.store)
    return stored


@pytest.mark.parametrize(
    "file",
    [
        OLD_SDIST,
        zip_sdist("my-widgets"),
        sdist("my-widgets", "1.0.post1", filename="my-widgets-1.0-1.tar.gz"),
    ],
    ids=["name", "zip", "dash"],
)
def test_an_old_file_is_listed_and_downloaded_like_any_other(
    shelf: Shelf, file: Distribution
) -> None:
    moved(shelf, file, "my-widgets")

    (listed,) = shelf.get("/acme/simple/my-widgets/", JSON).json["files"]
    page = shelf.get("/acme/simple/my-widgets/", HTML)

    assert (listed["filename"], listed["hashes"]) == (file.filename, {"sha256": file.sha256})
    assert listed["upload-time"] == "2015-01-01T00:00:00.000000Z"
    assert file.filename in page.text
    assert shelf.get(listed["url"]).body == file.content


def test_the_release_of_an_imported_file_is_as_old_as_the_file(shelf: Shelf) -> None:
    moved(shelf, wheel(), "widgets")

    assert "closed to new files on 2015-01-15" in shelf.publish(sdist()).detail
    assert shelf.publish(wheel(version="2.0")).status == 200


def test_a_young_imported_release_takes_uploads_of_its_spelling(shelf: Shelf) -> None:
    moved(shelf, wheel(), "widgets", at=shelf.now - timedelta(days=1))

    assert shelf.publish(sdist()).status == 200
    assert (
        "is spelled `1.0`"
        in shelf.publish(wheel(version="1.0.0", filename="widgets-1.0.0-py2-none-any.whl")).detail
    )


def test_a_release_whose_version_has_a_dash_takes_uploads_of_its_normal_form(shelf: Shelf) -> None:
    day = shelf.now - timedelta(days=1)
    old = sdist("my-widgets", "1.0.post1", filename="my-widgets-1.0-1.tar.gz")
    moved(shelf, old, "my-widgets", at=day)

    assert shelf.publish(wheel("my-widgets", "1.0.post1")).status == 200


def test_an_upload_of_an_imported_file_is_that_file(shelf: Shelf) -> None:
    stored = moved(shelf, wheel(), "widgets")

    assert shelf.publish(wheel()).status == 200
    assert shelf.store.files["acme", wheel().filename] == stored


def test_an_archived_project_still_takes_what_is_imported(shelf: Shelf) -> None:
    shelf.store.set_status("acme", "widgets", ProjectStatus("archived", "old"))

    moved(shelf, wheel(), "widgets")

    assert shelf.filenames == [wheel().filename]


def test_nobody_sees_a_file_before_the_last_write(shelf: Shelf) -> None:
    distribution = check_name(Offer(wheel().filename, "", {}), normalize("widgets"))
    delivery = Delivery(Held(wheel().content), {SHA256: wheel().sha256}, LONG_AGO)

    store_delivery(distribution, delivery, TRANSFER, notary(shelf.files))

    assert shelf.get("/acme/simple/widgets/").status == 404


def test_a_file_that_is_deleted_meanwhile_stays_deleted(shelf: Shelf) -> None:
    moved(shelf, wheel(), "widgets")
    distribution = check_name(Offer(wheel().filename, "", {}), normalize("widgets"))
    delivery = Delivery(Held(wheel().content), {SHA256: wheel().sha256}, shelf.now)
    again = store_delivery(distribution, delivery, TRANSFER, notary(shelf.files))
    tombstone = Tombstone("contains a password", "user olive", shelf.now)
    shelf.store.delete_file("acme", "widgets", wheel().filename, tombstone)

    with pytest.raises(FileDeleted, match=r"deleted .* \(contains a password\), and"):
        commit(again, shelf.store)
