"""A file of a publishing session that waits for its verification."""

from dataclasses import replace
from typing import Any

from pytp_broker.index.sessions.verifying import place_of, verify_upload
from pytp_broker.storage.file_store import staged_key
from pytp_broker.storage.sessions import SessionStatus, StagedFile, UploadStatus
from tests.support import samples
from tests.support.distributions import Distribution, wheel
from tests.support.shelf import Shelf

WHEEL = wheel()
UPLOAD_ID = "5" * 32
KEY = staged_key("acme", UPLOAD_ID, WHEEL.filename)
PUBLISHED_BY = {"repository": "octo-org/widgets"}


class Bench(Shelf):
    """A shelf with one session, in which one file waits for its verification."""

    def __init__(self, distribution: Distribution = WHEEL) -> None:
        super().__init__()
        self.staged = replace(
            samples.staged(distribution.filename),
            upload_id=UPLOAD_ID,
            size=len(distribution.content),
            hashes={"sha256": distribution.sha256},
            status=UploadStatus.PROCESSING,
            processing_since=self.now,
            published_by=PUBLISHED_BY,
            attempts=0,
            notices=(),
            file=None,
        )
        self.session = self.store.add_session(samples.session(self.staged))
        self.place = place_of(self.session, self.staged)
        key = staged_key("acme", UPLOAD_ID, distribution.filename)
        self.files.contents[key] = distribution.content
        self.records.clear()

    @property
    def upload(self) -> StagedFile:
        """Return the upload as it is stored now."""
        return self.store.sessions[self.session.token].files[self.staged.filename]

    @property
    def status(self) -> str:
        """Return the status of the upload as it is stored now."""
        return self.upload.status.value

    def verify_now(self) -> None:
        verify_upload(self.place, self.index)

    def change_session(self, **changes: Any) -> None:
        present = self.store.sessions[self.session.token]
        self.store.sessions[self.session.token] = present.changed(**changes)

    def change_upload(self, **changes: Any) -> None:
        changed = replace(self.upload, **changes)
        self.change_session(files={changed.filename: changed})

    def cancel(self) -> None:
        """Cancel the session, as its request does: the bytes are dropped."""
        self.change_session(status=SessionStatus.CANCELED)
        self.files.contents.clear()
