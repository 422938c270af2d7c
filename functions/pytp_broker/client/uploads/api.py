"""The requests of the Upload API 2.0 (PEP 694), each repeated where the answer may be lost.

Every request may be made twice: a session that exists is joined, and after a refusal the status
says whether the first attempt had already done what we ask for.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from pytp_broker.client.transport import UnreachableError
from pytp_broker.client.uploads import answers
from pytp_broker.client.uploads.answers import FileUpload, Session, check_link
from pytp_broker.client.uploads.refusals import UploadError, refused
from pytp_broker.client.uploads.wire import Reply, Request, Send
from pytp_broker.redaction import Hidden, printable

VERSION: Final = "2.0"
MEDIA_TYPE: Final = "application/vnd.pypi.upload.v2+json"
# Seconds before each further attempt: a server that restarts is back by then.
PAUSES: Final = (1.0, 2.0, 5.0, 10.0)
# How often to ask what becomes of a file or a release, and how long in all.
_LEAST_PAUSE: Final = 0.2
_MOST_PAUSE: Final = 30.0
PROCESSING_SECONDS: Final = 1800.0
# An upload that ends sooner is extended, by this much.
_NEAR_ITS_END: Final = timedelta(hours=1)
_EXTENSION_SECONDS: Final = 24 * 3600

_ENDLESS: Final = (
    f"the server has been checking for {PROCESSING_SECONDS / 60:.0f} minutes; run the same command "
    "again to go on"
)
_CREATED: Final = 201
_NOT_FOUND: Final = 404
_CONFLICT: Final = 409
_GONE: Final = 410

_Watched = TypeVar("_Watched", Session, FileUpload)
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Clock:
    """The time, and a way to let it pass."""

    now: Callable[[], float] = time.time
    wait: Callable[[float], object] = time.sleep


SYSTEM: Final = Clock()


@dataclass(frozen=True, slots=True)
class UploadApi:
    """A registry's Upload API, whose links must all be at ``origin``.

    ``authorize`` returns what authorises a request: a token that may be renewed in between.
    """

    root_url: str
    origin: str
    send: Send
    authorize: Callable[[], Hidden]
    clock: Clock = SYSTEM

    def open(self, project: str, version: str) -> Session:
        """Create a session for a release, or join the one that there is; raise UploadError."""
        reply = self._ask("POST", self.root_url, {"name": project, "version": version})
        location = reply.headers.get("location", "")
        if reply.status == _CONFLICT and location:
            url = check_link(location, self.origin, "the session that exists")
            return self._watch(url, answers.read_session)
        if reply.status != _CREATED:
            raise refused("the registry opens no session", reply)
        return answers.read_session(reply.document, self.origin)

    def find(self, url: str) -> Session:
        """Return a session as it is now; raise UploadError."""
        reply = self._ask("GET", url)
        if reply.status in {_NOT_FOUND, _GONE}:
            raise UploadError("the session no longer exists, or never did", status=reply.status)
        if not reply.is_success:
            raise refused("the session", reply)
        return answers.read_session(reply.document, self.origin)

    def publish(self, session: Session) -> Session:
        """Publish a session and wait until it is published; raise UploadError."""
        reply = self._ask("POST", session.publish_url, {})
        # The answer to an earlier attempt may be lost.
        if not reply.is_success and not self._is_published(session.url):
            raise refused("the release is not published", reply)
        ended = self._watch(session.url, answers.read_session)
        if ended.status != answers.PUBLISHED:
            notices = [*ended.notices, *(n for file in ended.files.values() for n in file.notices)]
            raise UploadError(f"the release is not published: {_said(notices)}")
        return ended

    def cancel(self, url: str) -> None:
        """Discard a session with all its files; raise UploadError."""
        reply = self._ask("DELETE", url)
        if not reply.is_success and reply.status not in {_NOT_FOUND, _GONE}:
            raise refused("the session is not discarded", reply)

    def keep_open(self, session: Session) -> Session:
        """Extend a session that ends soon, if the server can; raise UploadError."""
        if not self._ends_soon(session.expires_at) or session.extend_url is None:
            return session
        reply = self._ask("POST", session.extend_url, {"extend-for": _EXTENSION_SECONDS})
        if not reply.is_success:
            raise refused("the session ends soon and is not extended", reply)
        return answers.read_session(reply.document, self.origin)

    def add_file(
        self, session: Session, filename: str, size: int, hashes: Mapping[str, str]
    ) -> FileUpload:
        """Begin the upload of a file; raise UploadError, with the status 409 if there is one."""
        asked = {"filename": filename, "size": size, "hashes": dict(hashes)}
        reply = self._ask("POST", session.upload_url, asked | {"mechanism": session.mechanism})
        return self._read_upload("the registry does not take it", reply)

    def find_file(self, url: str) -> FileUpload:
        """Return the upload of a file as it is now; raise UploadError."""
        return self._read_upload("the upload", self._ask("GET", url))

    def delete_file(self, url: str) -> None:
        """Cancel the upload of a file, or remove the file from its session; raise UploadError."""
        reply = self._ask("DELETE", url)
        if not reply.is_success and reply.status not in {_NOT_FOUND, _GONE}:
            raise refused("the earlier upload is not removed", reply)

    def complete(self, upload: FileUpload) -> FileUpload:
        """Say that the bytes are there, and wait for the server's judgement; raise UploadError."""
        reply = self._ask("POST", upload.complete_url, {})
        if not reply.is_success:
            # The answer to an earlier attempt may be lost.
            present = self.find_file(upload.url)
            if present.status not in {answers.COMPLETED, answers.PROCESSING}:
                raise refused("the file is refused", reply)
        return self.judged(upload.url)

    def judged(self, url: str) -> FileUpload:
        """Wait until a file is completed; raise UploadError with what is wrong with it."""
        ended = self._watch(url, answers.read_upload)
        if ended.status != answers.COMPLETED:
            raise UploadError(f"the file is refused: {_said(ended.notices)}")
        return ended

    def keep_upload_open(self, upload: FileUpload) -> None:
        """Extend the upload of a file that ends soon, if the server can; raise UploadError."""
        if self._ends_soon(upload.expires_at) and upload.extend_url is not None:
            reply = self._ask("POST", upload.extend_url, {"extend-for": _EXTENSION_SECONDS})
            if not reply.is_success:
                raise refused("the upload ends soon and is not extended", reply)

    def ask_once(self, request: Request) -> Reply:
        """Send a request with the token, once; raise UploadError if there is no answer."""
        signed = Request(
            request.method,
            check_link(request.url, self.origin, "a request"),
            request.headers,
            request.body,
            self.authorize(),
        )
        return send_once(self.send, signed)

    def _ask(self, method: str, url: str, members: Mapping[str, Any] | None = None) -> Reply:
        """Return an answer, after further attempts if it is one that may pass."""
        headers = {"Accept": f"{MEDIA_TYPE}, application/problem+json"}
        body = None
        if members is not None:
            headers["Content-Type"] = MEDIA_TYPE
            body = json.dumps({"meta": {"api-version": VERSION}, **members}).encode()
        request = Request(method, url, headers, body)
        return patiently(lambda: self._answer(request), self.clock.wait)

    def _answer(self, request: Request) -> Reply:
        reply = self.ask_once(request)
        error = refused(self.origin, reply)
        if error.may_pass:
            raise error
        return reply

    def _read_upload(self, what: str, reply: Reply) -> FileUpload:
        if not reply.is_success:
            raise refused(what, reply)
        return answers.read_upload(reply.document, self.origin)

    def _is_published(self, url: str) -> bool:
        try:
            return self.find(url).status in {answers.PUBLISHED, answers.PROCESSING}
        except UploadError:
            return False

    def _watch(self, url: str, read: Callable[[Mapping[str, Any], str], _Watched]) -> _Watched:
        """Return a session or an upload when it is no longer processed; raise UploadError."""
        until = self.clock.now() + PROCESSING_SECONDS
        while True:
            reply = self._ask("GET", url)
            if not reply.is_success:
                raise refused("the server does not say what became of it", reply)
            found = read(reply.document, self.origin)
            if found.status != answers.PROCESSING:
                return found
            if self.clock.now() > until:
                raise UploadError(_ENDLESS, may_pass=True)
            self.clock.wait(_pause_in(reply))

    def _ends_soon(self, expires_at: datetime) -> bool:
        return expires_at - datetime.fromtimestamp(self.clock.now(), UTC) < _NEAR_ITS_END


def send_once(send: Send, request: Request) -> Reply:
    """Send a request; raise UploadError if there is no answer."""
    try:
        return send(request)
    except UnreachableError as error:
        host = printable(answers.origin_of(request.url))
        raise UploadError(f"{host}: {error}", may_pass=error.may_pass) from None


def patiently(ask: Callable[[], _Result], wait: Callable[[float], object]) -> _Result:
    """Return what ``ask`` returns, after some attempts if it raises errors that may pass."""
    for pause in PAUSES:
        try:
            return ask()
        except UploadError as error:
            if not error.may_pass:
                raise
            wait(pause)
    return ask()


def _pause_in(reply: Reply) -> float:
    """Return the seconds of `Retry-After`, within our own limits."""
    text = reply.headers.get("retry-after", "")
    seconds = float(text[:6]) if text.isascii() and text.isdigit() else 1.0
    return min(max(seconds, _LEAST_PAUSE), _MOST_PAUSE)


def _said(notices: Sequence[str]) -> str:
    return "; ".join(notices[:20]) or "the server does not say why"
