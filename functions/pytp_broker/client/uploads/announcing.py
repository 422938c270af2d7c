"""Announce one file to a publishing session, also one that an earlier run has begun to bring."""

from dataclasses import dataclass
from typing import Final

from pytp_broker.client.uploads import answers, pages
from pytp_broker.client.uploads.answers import FileUpload, Session
from pytp_broker.client.uploads.api import UploadApi, send_once
from pytp_broker.client.uploads.local_files import LocalFile
from pytp_broker.client.uploads.refusals import UploadError
from pytp_broker.client.uploads.wire import Request

_CONFLICT: Final = 409


@dataclass(frozen=True, slots=True)
class Announced:
    """An upload that the registry has agreed to, and when it said so, in seconds."""

    upload: FileUpload
    since: float


@dataclass(frozen=True, slots=True)
class Announcement:
    """The announcement of one file: its name, size and digest. No byte of it is sent."""

    api: UploadApi
    session: Session
    file: LocalFile

    def make(self) -> Announced | None:
        """Announce the file; None if the session has it already. Raises UploadError.

        What another run has begun is finished if its bytes are there, and replaced otherwise.
        """
        present = self.session.files.get(self.file.filename)
        if present is not None and self._is_there(present.url):
            return None
        since = self.api.clock.now()
        return Announced(self._begin(), since)

    def _is_there(self, url: str) -> bool:
        """Say whether an earlier upload is this very file; remove it if it is not."""
        try:
            upload = self.api.find_file(url)
            self._settle(upload)
            if self._staged_digest() == self.file.sha256:
                return True
        except UploadError as error:
            if error.may_pass:
                raise
        self.api.delete_file(url)
        return False

    def _settle(self, upload: FileUpload) -> None:
        """Wait for the end of an earlier upload; raise UploadError unless the file is complete."""
        if upload.status == answers.PENDING:
            self.api.complete(upload)
        else:
            self.api.judged(upload.url)

    def _staged_digest(self) -> str | None:
        """Return the digest that the preview has of this file; None if there is no preview."""
        if self.session.stage_url is None:
            return None
        url = f"{self.session.stage_url.rstrip('/')}/{self.file.project}/"
        # The URL itself is the right to read; no token is needed.
        request = Request("GET", url, {"Accept": pages.ACCEPT}, max_answer_bytes=pages.MAX_BYTES)
        return pages.digests_in(send_once(self.api.send, request)).get(self.file.filename)

    def _begin(self) -> FileUpload:
        """Begin the upload; one that another process has begun in the meantime is replaced."""
        hashes = {"sha256": self.file.sha256}
        filename, size = self.file.filename, self.file.size
        try:
            return self.api.add_file(self.session, filename, size, hashes)
        except UploadError as error:
            if error.status != _CONFLICT:
                raise
            present = self.api.find(self.session.url).files.get(filename)
            if present is None:
                raise
        self.api.delete_file(present.url)
        return self.api.add_file(self.session, filename, size, hashes)
