"""A registry with a time-stamping authority: every way to publish gets a timestamp, or says why."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from pytp_broker.oidc.documents import FetchError
from pytp_broker.provenance.checking import Accepted, Subject, accept_receipt
from pytp_broker.stamping import AuthorityStamper
from pytp_broker.storage.file_store import receipt_key
from tests.support.audit import check
from tests.support.deployment import HOST
from tests.support.distributions import Distribution, sdist, wheel
from tests.support.fakes import stored_bytes
from tests.support.shelf import Shelf
from tests.support.signing import NOW
from tests.support.time_authority import AUTHORITY, Line, TimeAuthority
from tests.support.uploading import Uploader

FILES = (wheel(), sdist())


class Desk:
    """An index whose operator has configured an authority."""

    def __init__(self) -> None:
        self.authority = TimeAuthority(lambda: NOW)
        self.line = Line(self.authority)
        self.shelf = Shelf()
        self.shelf.configuration = replace(self.shelf.configuration, timestamping=AUTHORITY)
        self.shelf.apply()
        self.shelf.index = replace(
            self.shelf.index, stamper=AuthorityStamper(self.line.reach, lambda: NOW)
        )

    def accept(self, distribution: Distribution) -> Accepted:
        """Return the receipt of a published file, after every check."""
        file = self.shelf.store.files["acme", distribution.filename]
        assert file.receipt_sha256 is not None
        key = receipt_key("acme", file.receipt_sha256, file.filename)
        octets = stored_bytes(self.shelf.files, key)
        keys, subject = self.shelf.signer.published(HOST), Subject(file.filename, file.sha256)
        return accept_receipt(octets, keys, subject, NOW, [self.authority.root])

    @property
    def missed(self) -> list[object]:
        """Return the files of the records that say that a receipt has no timestamp."""
        documents = [record.document() for record in self.shelf.records]
        for document in documents:
            check(document)
        return [each["filename"] for each in documents if each["event"] == "timestamp"]


def by_form(desk: Desk) -> None:
    for file in FILES:
        assert desk.shelf.publish(file).status == 200


def by_session(desk: Desk) -> None:
    client = Uploader(desk.shelf)
    session = client.begin()
    for file in FILES:
        client.stage(session, file)
    assert client.publish(session).status in {200, 201, 202}


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture(params=[by_form, by_session])
def publish(request: pytest.FixtureRequest) -> Callable[[Desk], None]:
    act: Callable[[Desk], None] = request.param
    return act


def test_every_published_file_has_a_timestamp(desk: Desk, publish: Callable[[Desk], None]) -> None:
    publish(desk)

    assert [desk.accept(file).timestamped_at for file in FILES] == [NOW, NOW]
    assert desk.missed == []


def test_files_are_published_without_a_timestamp_if_the_authority_fails(
    desk: Desk, publish: Callable[[Desk], None]
) -> None:
    desk.line.failure = FetchError("the issuer did not answer in time")

    publish(desk)

    assert [desk.accept(file).timestamped_at for file in FILES] == [None, None]
    assert desk.missed == [file.filename for file in FILES]
    assert len(desk.line.asked) == 1


def test_a_timestamp_of_something_else_is_not_kept(
    desk: Desk, publish: Callable[[Desk], None]
) -> None:
    desk.authority.says(imprint=b"x" * 32)

    publish(desk)

    assert [desk.accept(file).timestamped_at for file in FILES] == [None, None]


def test_a_receipt_that_is_not_made_is_not_timestamped(desk: Desk) -> None:
    desk.shelf.signer.fail_next("sign")

    assert desk.shelf.publish(wheel()).status == 503

    assert desk.line.asked == []
