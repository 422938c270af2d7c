"""Bring one file after the other to the registry, and return what the registry answers.

Each file is a release session of its own, published at once: a client such as twine reports each
file as uploaded, and an error after that would come too late for it.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any, Final

from pytp_broker.client.proxy.forms import Form
from pytp_broker.client.publishing.opening import Opened
from pytp_broker.client.transport import UnreachableError
from pytp_broker.client.uploads import answers
from pytp_broker.client.uploads.answers import Session
from pytp_broker.client.uploads.api import UploadApi
from pytp_broker.client.uploads.bodies import Body, BytesPart, FilePart
from pytp_broker.client.uploads.local_files import (
    ATTESTATION_SUFFIX,
    FileError,
    LocalFile,
    read_local,
)
from pytp_broker.client.uploads.refusals import UploadError
from pytp_broker.client.uploads.sending import Delivery
from pytp_broker.client.uploads.wire import Reply, Request, Send
from pytp_broker.names import normalize

OK: Final = 200
REFUSED: Final = 400
_NOT_FOUND: Final = 404
_CONFLICT: Final = 409
UNREACHABLE: Final = 502
_PAGE: Final = "application/vnd.pypi.simple.v1+json"
_MAX_PAGE_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Relay:
    """Brings files to a registry that is open; many threads may use it.

    ``tell_of`` is called with a session of somebody else that is in the way.
    """

    at: Opened
    send: Send
    tell_of: Callable[[Session], object]
    _locks: dict[tuple[str, str], Lock] = field(default_factory=dict)

    def bring(self, form: Form) -> Reply:
        """Bring the file of a form to the registry; return its answer, or one of ours."""
        try:
            file = read_local(form.file)
            if form.fields.get("sha256_digest", file.sha256).lower() != file.sha256:
                return problem(REFUSED, "the file is not the one whose sha256 the form gives")
        except FileError:
            # The registry says what is wrong with a name that we cannot read.
            return self._pass_on(form)
        if self.at.api is None:
            return self._pass_on(form)
        self._write_attestations(form)
        with self._one_at_a_time(file):
            return self._publish(self.at.api, file)

    def page(self, path: str, accept: str) -> Reply:
        """Return a page of the index, asked for with our token."""
        if self.at.destination.index_url is None:
            return problem(_NOT_FOUND, "nobody knows where the index of this registry is")
        url = f"{self.at.destination.index_url}{path}"
        headers = {"Accept": accept or _PAGE}
        token = self.at.legacy.authorize()
        return self._answer(Request("GET", url, headers, None, token, _MAX_PAGE_BYTES))

    def _pass_on(self, form: Form) -> Reply:
        """Send the form as it came, with our token."""
        file = FilePart(form.file, form.size)
        body = Body([BytesPart(form.head), file, BytesPart(form.tail)])
        headers = {"Content-Type": form.content_type}
        url, token = self.at.legacy.url, self.at.legacy.authorize()
        return self._answer(Request("POST", url, headers, body, token))

    def _answer(self, request: Request) -> Reply:
        origin = self.at.destination.origin
        try:
            reply = self.send(request)
        except UnreachableError as error:
            return problem(UNREACHABLE, f"{origin}: {error}")
        if 300 <= reply.status < 400:  # noqa: PLR2004 - the class of the status
            # Some clients take a redirection for a success, or follow it with a GET.
            return problem(UNREACHABLE, f"{origin} redirects, and a token is sent nowhere else")
        return reply

    def _write_attestations(self, form: Form) -> None:
        if text := form.fields.get("attestations"):
            form.file.with_name(form.file.name + ATTESTATION_SUFFIX).write_text(text)

    @contextmanager
    def _one_at_a_time(self, file: LocalFile) -> Iterator[None]:
        """Let files of one release follow each other: a release has one session at a time."""
        with self._locks.setdefault((normalize(file.project), str(file.version)), Lock()):
            yield

    def _publish(self, api: UploadApi, file: LocalFile) -> Reply:
        refusals = _Refusals(self.send)
        listening = replace(api, send=refusals.take)
        try:
            _ = file.attestations  # they are read here, so that bad ones begin nothing
            if self._is_published(file):
                return Reply(OK, "OK")
            session = listening.open(file.project, str(file.version))
            return self._publish_in(session, listening, file)
        except UploadError as error:
            return refusals.answer_to(error)
        except FileError as error:
            return problem(REFUSED, f"{file.filename} {error}")

    def _is_published(self, file: LocalFile) -> bool:
        """Say whether the registry has this very file, so that a repetition succeeds."""
        return self.at.index.digests(normalize(file.project)).get(file.filename) == file.sha256

    def _publish_in(self, session: Session, api: UploadApi, file: LocalFile) -> Reply:
        others = [
            name
            for name, staged in session.files.items()
            if name != file.filename and staged.status != answers.CANCELED
        ]
        if others:
            self.tell_of(session)
            return problem(
                _CONFLICT,
                f"somebody prepares {file.project} {file.version} in a session with other files "
                f"({', '.join(others[:20])}): publish or discard it first, by a command "
                "that pytp-broker has printed",
            )
        try:
            Delivery(api, session, file, _Silence()).run()
            api.publish(session)
        except UploadError as error:
            if not error.may_pass:
                # What is refused must not wait in a session for a week.
                with suppress(UploadError):
                    replace(api, send=self.send).cancel(session.url)
            raise
        return Reply(OK, "OK")


class _Silence:
    """Progress that nobody is told: the client has its own."""

    def count(self, size: int) -> None:
        """Say nothing."""

    def begin(self) -> None:
        """Say nothing."""


class _Refusals:
    """Keeps the refusals of one upload, to give the client the registry's own words."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._last: dict[int, Reply] = {}

    def take(self, request: Request) -> Reply:
        """Send a request, and keep its answer if it is a refusal of the registry."""
        reply = self._send(request)
        if not reply.is_success and request.authorization.reveal():
            self._last[reply.status] = reply
        return reply

    def answer_to(self, error: UploadError) -> Reply:
        """Return what the registry has answered, or a sentence of ours where it did not."""
        if (kept := self._last.get(error.status)) is not None and error.status >= REFUSED:
            return kept
        return problem(UNREACHABLE if error.may_pass else REFUSED, str(error))


def problem(status: int, detail: str) -> Reply:
    """Return a refusal of our own, in the form that all clients read."""
    document: dict[str, Any] = {
        "title": "The upload was refused",
        "status": status,
        "detail": detail,
        "message": detail,
        "errors": [{"code": "proxy", "description": detail}],
    }
    headers = {"content-type": "application/problem+json"}
    return Reply(status, detail, headers, json.dumps(document).encode())
