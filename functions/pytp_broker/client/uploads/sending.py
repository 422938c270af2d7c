"""Bring one file into a publishing session: announce it, send it, and complete it."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from pytp_broker.client.uploads.announcing import Announced, Announcement
from pytp_broker.client.uploads.answers import FileUpload, PostUrl, PutUrl, Session
from pytp_broker.client.uploads.api import PAUSES, UploadApi, patiently, send_once
from pytp_broker.client.uploads.bodies import Body, FilePart
from pytp_broker.client.uploads.local_files import LocalFile
from pytp_broker.client.uploads.refusals import TRANSIENT, UploadError, refused
from pytp_broker.client.uploads.wire import Reply, Request

_FORBIDDEN: Final = 403
_CONFLICT: Final = 409
_PRECONDITION_FAILED: Final = 412
_LENGTH: Final = "content-length"
# A storage answers 403 to a URL that has expired; we ask for a new one.
_MAY_PASS: Final = TRANSIENT | {_FORBIDDEN, _CONFLICT}
# A signed address is good for 15 minutes; one that is older than this is asked for again.
_FRESH_SECONDS: Final = 300.0


class Progress(Protocol):
    """Is told how one file goes on."""

    def count(self, size: int) -> None:
        """Say that bytes were sent."""

    def begin(self) -> None:
        """Say that the file is sent from its beginning, perhaps again."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """The delivery of one file into a session; ``run`` says whether anything was sent."""

    api: UploadApi
    session: Session
    file: LocalFile
    progress: Progress

    def run(self) -> bool:
        """Bring the file into the session unless it has it already; raise UploadError."""
        announced = Announcement(self.api, self.session, self.file).make()
        if announced is None:
            return False
        self.send(announced)
        return True

    def send(self, announced: Announced) -> None:
        """Send the bytes of a file that is announced, and complete it; raise UploadError."""
        upload = announced.upload
        try:
            self._send(self._fresh(announced))
            self._send_attestations(upload)
            self.api.complete(upload)
        except UploadError as error:
            if not error.may_pass:
                # A refused upload would be in the way of the next run, and of the release.
                with suppress(UploadError):
                    self.api.delete_file(upload.url)
            raise

    def _fresh(self, announced: Announced) -> FileUpload:
        """Return an upload with an address that lives: the file may have waited for others."""
        if self.api.clock.now() - announced.since < _FRESH_SECONDS:
            return announced.upload
        return self.api.find_file(announced.upload.url)

    def _send(self, upload: FileUpload) -> None:
        """Send the bytes, from the beginning again after a failure that may pass."""
        try:
            self._send_once(upload)
        except UploadError as error:
            if not error.may_pass:
                raise
            self.api.clock.wait(PAUSES[0])
            patiently(lambda: self._send_once(self.api.find_file(upload.url)), self.api.clock.wait)

    def _send_once(self, upload: FileUpload) -> None:
        self.progress.begin()
        self.api.keep_upload_open(upload)
        if isinstance(upload.target, PutUrl):
            self._put(upload.target)
        elif upload.target is not None:
            self._post(upload.target)

    def _put(self, target: PutUrl) -> None:
        headers = self._without_length(target.headers)
        reply = send_once(self.api.send, Request("PUT", target.url, headers, self._body()))
        # 412: the bytes are there, and the answer to the first attempt was lost.
        if not reply.is_success and reply.status != _PRECONDITION_FAILED:
            raise _storage_refused(reply)

    def _without_length(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Return headers without `Content-Length`, which the body says; raise UploadError."""
        lengths = [value for name, value in headers.items() if name.lower() == _LENGTH]
        if any(length != str(self.file.size) for length in lengths):
            raise UploadError(
                "the server wants a header `Content-Length` that is not the length of the file"
            )
        return {name: value for name, value in headers.items() if name.lower() != _LENGTH}

    def _post(self, target: PostUrl) -> None:
        headers = {"Content-Type": "application/octet-stream"}
        reply = self.api.ask_once(Request("POST", target.url, headers, self._body()))
        # 409: the bytes are there, as above; `complete` says whether they are the right ones.
        if not reply.is_success and reply.status != _CONFLICT:
            raise refused("the bytes are refused", reply)

    def _body(self) -> Body:
        return Body([FilePart(self.file.path, self.file.size)], self.progress.count)

    def _send_attestations(self, upload: FileUpload) -> None:
        """Send the attestations beside the file if there are some and the server takes them."""
        attestations = self.file.attestations
        url = None if upload.target is None else upload.target.attestations_url
        if url is None or not attestations:
            return
        headers = {"Content-Type": "application/json"}
        reply = self.api.ask_once(Request("POST", url, headers, attestations))
        if not reply.is_success:
            raise refused("the attestations are refused", reply)


def _storage_refused(reply: Reply) -> UploadError:
    return UploadError(
        f"the storage answered {reply.status} to the bytes of the file",
        may_pass=reply.status in _MAY_PASS,
        status=reply.status,
    )
