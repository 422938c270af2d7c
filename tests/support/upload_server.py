"""A strict server of Upload API 2.0 and of the legacy form, without sockets."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, Final

from pytp_broker.client.transport import UnreachableError
from pytp_broker.client.uploads.bodies import Body
from pytp_broker.client.uploads.wire import Reply, Request

ORIGIN: Final = "https://packages.example.com"
ROOT: Final = f"{ORIGIN}/acme/upload/"
LEGACY: Final = f"{ORIGIN}/acme/legacy/"
BUCKET: Final = "https://bucket.example.net/"
AUTHORIZATION: Final = "Basic X190b2tlbl9fOnNlY3JldA=="
NOW: Final = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
MEDIA_TYPE: Final = "application/vnd.pypi.upload.v2+json"
# How long a signed address is good.
URL_SECONDS: Final = 900
PAGE: Final = "application/vnd.pypi.simple.v1+json"


@dataclass(frozen=True)
class Drop:
    """The connection breaks after this part of the body."""

    part: float


# The server does what it is asked for, and its answer is lost.
LOST: Final = object()
Outcome = Reply | Drop | object | None


@dataclass
class Upload:
    id: str
    filename: str
    size: int
    sha256: str
    mechanism: str
    status: str = "pending"
    content: bytes | None = None
    attestations: bytes = b""
    notices: list[str] = field(default_factory=list)
    polls: int = 0
    lives: timedelta = timedelta(days=7)


@dataclass
class Session:
    token: str
    name: str
    version: str
    status: str = "open"
    uploads: dict[str, Upload] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    polls: int = 0
    lives: timedelta = timedelta(days=7)


class UploadServer:
    """Answers what the client sends; ``plan`` says what else may happen."""

    def __init__(self) -> None:
        self.mechanisms = ["vnd-pytp-s3-put", "http-post-bytes"]
        self.sessions: dict[str, Session] = {}
        self.published: dict[str, bytes] = {}
        self.forms: list[dict[str, list[str]]] = []
        self.log: list[str] = []
        self.received = 0
        self.polls_while_processing = 0
        self.authorization: str | None = AUTHORIZATION
        self.authorized: list[str] = []
        self.refusals: dict[str, str] = {}
        self.has_stage = self.has_extend = True
        self.takes_attestations = False
        self.takes_one_at_a_time = False
        self.change: Callable[[dict[str, Any]], None] = lambda _: None
        self.now = NOW
        self.waits: list[float] = []
        self._planned: dict[str, list[Outcome]] = {}
        self._count = 0

    # --- what a test says ---------------------------------------------------------------------

    def plan(self, what: str, *outcomes: Outcome) -> None:
        """Let the next requests of this kind end so; None is an answer as it should be."""
        self._planned[what] = list(outcomes)

    def seconds(self) -> float:
        return self.now.timestamp()

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += timedelta(seconds=seconds)

    @property
    def session(self) -> Session:
        (session,) = self.sessions.values()
        return session

    def count(self, what: str) -> int:
        return self.log.count(what)

    # --- the wire -----------------------------------------------------------------------------

    def send(self, request: Request) -> Reply:
        what, act = self._route(request)
        self.log.append(what)
        outcome = self._planned[what].pop(0) if self._planned.get(what) else None
        if isinstance(outcome, Reply):
            self._read(request)
            return outcome
        if isinstance(outcome, Drop):
            self._read(request, outcome.part)
            raise UnreachableError("the connection failed (ConnectionError)")
        reply = act()
        if outcome is LOST:
            raise UnreachableError("the connection failed (ReadTimeout)")
        return reply

    def _route(self, request: Request) -> tuple[str, Callable[[], Reply]]:
        method, url = request.method, request.url
        if url.startswith(BUCKET):
            return "PUT object", lambda: self._put(request)
        path = url.removeprefix(ORIGIN)
        assert path != url, f"a request to a stranger: {url}"
        if "/stage/" in path or "/simple/" in path:
            return "GET page", lambda: self._page(path)
        self.authorized.append(request.authorization.reveal())
        assert self.authorization in {None, request.authorization.reveal()}
        if path == "/acme/legacy/":
            return "POST form", lambda: self._form(request)
        parts = path.removeprefix("/acme/upload/").split("/")
        kind = {1: "session", 2: parts[-1], 4: "file", 5: f"file {parts[-1]}"}[len(parts)]
        if path == "/acme/upload/":
            return f"{method} root", lambda: self._create(self._members(request))
        return f"{method} {kind}", lambda: self._session(method, kind, parts, request)

    def _members(self, request: Request) -> dict[str, Any]:
        assert request.headers["Content-Type"] == MEDIA_TYPE
        assert MEDIA_TYPE in request.headers["Accept"]
        assert isinstance(request.body, bytes)
        document: dict[str, Any] = json.loads(request.body)
        assert document["meta"] == {"api-version": "2.0"}
        return document

    def _read(self, request: Request, part: float = 1.0) -> bytes:
        body = request.body
        if not isinstance(body, Body):
            return body or b""
        wanted, content = int(len(body) * part), b""
        while len(content) < wanted:
            content += body.read(min(wanted - len(content), 4096))
        if part == 1.0:
            assert body.read() == b""
        self.received += len(content)
        return content

    def _session(self, method: str, kind: str, parts: list[str], request: Request) -> Reply:
        session = self.sessions.get(parts[0])
        if session is None:
            return problem(404, "there is no such session")
        if kind == "session":
            return self._delete(session) if method == "DELETE" else self._status(session)
        if kind == "publish":
            return self._publish(session, self._members(request))
        if kind == "extend":
            session.lives += timedelta(seconds=self._members(request)["extend-for"])
            return self._status(session)
        if kind == "files":
            return self._add(session, self._members(request))
        return self._file(method, kind, parts[3], session, request)

    def _file(self, method: str, kind: str, id_: str, session: Session, request: Request) -> Reply:
        upload = next((u for u in session.uploads.values() if u.id == id_), None)
        if upload is not None:
            return self._upload(method, kind, session, upload, request)
        return problem(404, "there is no such upload")

    def _upload(
        self, method: str, kind: str, session: Session, upload: Upload, request: Request
    ) -> Reply:
        if kind == "file bytes":
            assert request.headers == {"Content-Type": "application/octet-stream"}
            if upload.content is not None:
                return problem(409, "the bytes are there")
            upload.content = self._read(request)
            return Reply(204)
        if kind == "file attestations":
            upload.attestations = self._read(request)
            return Reply(204)
        if kind == "file complete":
            self._members(request)
            return self._complete(session, upload)
        if kind == "file extend":
            upload.lives += timedelta(seconds=self._members(request)["extend-for"])
        if method == "DELETE":
            assert upload.status != "processing"
            del session.uploads[upload.filename]
            return Reply(204)
        return self._describe(session, upload, 200)

    def _create(self, members: Mapping[str, Any]) -> Reply:
        for each in self.sessions.values():
            if (each.name, each.version) == (members["name"], members["version"]) and (
                each.status in {"open", "processing", "error"}
            ):
                location = {"location": f"{ROOT}{each.token}"}
                return Reply(409, "Conflict", location, problem(409, "it exists").body)
        self._count += 1
        session = Session(f"stage_{self._count}", members["name"], members["version"])
        self.sessions[session.token] = session
        return self._status(session, 201)

    def _status(self, session: Session, status: int = 200) -> Reply:
        if session.status == "processing" and status == 200:
            session.polls += 1
            if session.polls > self.polls_while_processing:
                self._settle(session)
        url = f"{ROOT}{session.token}"
        document: dict[str, Any] = {
            "meta": {"api-version": "2.0"},
            "links": {"session": url, "upload": f"{url}/files", "publish": f"{url}/publish"},
            "mechanisms": self.mechanisms,
            "expires-at": self._moment(session.lives),
            "status": session.status,
            "files": {name: self._entry(session, u) for name, u in session.uploads.items()},
            "notices": session.notices,
        }
        if self.has_stage:
            document["links"]["stage"] = f"{ORIGIN}/acme/stage/{session.token}/simple/"
        if self.has_extend:
            document["links"]["extend"] = f"{url}/extend"
        return self._answer(status, document)

    def _entry(self, session: Session, upload: Upload) -> dict[str, Any]:
        url = self._url(session, upload)
        return {"status": upload.status, "link": url, "notices": upload.notices}

    def _url(self, session: Session, upload: Upload) -> str:
        return f"{ROOT}{session.token}/files/{upload.filename}/{upload.id}"

    def _moment(self, lives: timedelta) -> str:
        return f"{NOW + lives:%Y-%m-%dT%H:%M:%SZ}"

    def _add(self, session: Session, members: Mapping[str, Any]) -> Reply:
        if session.status not in {"open", "error"}:
            return problem(409, f"the session is {session.status}")
        filename = members["filename"]
        if filename in session.uploads:
            return problem(409, f"the session has {filename}")
        if filename in self.published:
            return problem(409, f"{filename} is published")
        is_busy = any(each.status == "pending" for each in session.uploads.values())
        if self.takes_one_at_a_time and is_busy:
            return problem(409, "one file at a time")
        self._count += 1
        digest = members["hashes"]["sha256"]
        mechanism = members["mechanism"]
        assert mechanism in self.mechanisms
        upload = Upload(f"{self._count:032x}", filename, members["size"], digest, mechanism)
        session.uploads[filename] = upload
        return self._describe(session, upload, 202)

    def _describe(self, session: Session, upload: Upload, status: int) -> Reply:
        if upload.status == "processing" and status == 200:
            upload.polls += 1
            if upload.polls > self.polls_while_processing:
                self._judge(upload)
        url = self._url(session, upload)
        document: dict[str, Any] = {
            "meta": {"api-version": "2.0"},
            "links": {"file-upload-session": url, "complete": f"{url}/complete"},
            "status": upload.status,
            "expires-at": self._moment(upload.lives),
            "mechanism": self._mechanism(url, upload),
            "notices": upload.notices,
        }
        if self.has_extend:
            document["links"]["extend"] = f"{url}/extend"
        return self._answer(status, document)

    def _mechanism(self, url: str, upload: Upload) -> dict[str, Any]:
        more = {"attestations_url": f"{url}/attestations"} if self.takes_attestations else {}
        if upload.mechanism == "http-post-bytes":
            return {"identifier": "http-post-bytes", "file_url": f"{url}/bytes", **more}
        headers = {
            "Content-Length": str(upload.size),
            "x-amz-checksum-sha256": upload.sha256,
            "If-None-Match": "*",
        }
        target = f"{BUCKET}{upload.id}?until={self.seconds() + URL_SECONDS:.0f}"
        way = {"identifier": "vnd-pytp-s3-put", "method": "PUT", "url": target, "headers": headers}
        return {**way, **more}

    def _put(self, request: Request) -> Reply:
        assert not request.authorization.reveal()
        key, _, until = request.url.removeprefix(BUCKET).partition("?until=")
        if self.seconds() > float(until):
            return problem(403, "the address has expired")
        uploads = (u for s in self.sessions.values() for u in s.uploads.values())
        upload = next(u for u in uploads if u.id == key)
        assert request.headers == {
            "x-amz-checksum-sha256": upload.sha256,
            "If-None-Match": "*",
        }
        content = self._read(request)
        if upload.content is not None:
            return Reply(412, "Precondition Failed")
        assert hashlib.sha256(content).hexdigest() == upload.sha256
        upload.content = content
        return Reply(200)

    def _complete(self, session: Session, upload: Upload) -> Reply:
        if upload.status != "pending":
            return problem(409, f"the upload is {upload.status}")
        if upload.content is None:
            upload.status = "error"
            return problem(409, "the bytes are missing")
        if self.polls_while_processing:
            upload.status = "processing"
            return self._describe(session, upload, 202)
        self._judge(upload)
        if upload.status == "error":
            return problem(400, upload.notices[0])
        return self._describe(session, upload, 201)

    def _judge(self, upload: Upload) -> None:
        assert upload.content is not None
        wrong = self.refusals.get(upload.filename)
        is_same = hashlib.sha256(upload.content).hexdigest() == upload.sha256
        upload.status = "completed" if is_same and not wrong else "error"
        upload.notices = [wrong] if wrong else []

    def _publish(self, session: Session, _: Mapping[str, Any]) -> Reply:
        if session.status not in {"open", "error"}:
            return problem(409, f"the session is {session.status}")
        ended = {"completed", "canceled"}
        unfinished = [u.filename for u in session.uploads.values() if u.status not in ended]
        taken = sorted(session.uploads.keys() & self.published.keys())
        if unfinished or taken:
            return problem(409, f"not completed: {unfinished}; published: {taken}")
        if self.polls_while_processing:
            session.status = "processing"
            return self._status(session, 202)
        self._settle(session)
        return self._status(session, 201)

    def _settle(self, session: Session) -> None:
        wrong = self.refusals.get(session.version)
        session.status = "error" if wrong else "published"
        session.notices = [wrong] if wrong else []
        if not wrong:
            uploads = [u for u in session.uploads.values() if u.status == "completed"]
            self.published |= {u.filename: u.content or b"" for u in uploads}

    def _delete(self, session: Session) -> Reply:
        session.status = "canceled"
        return Reply(204)

    def _page(self, path: str) -> Reply:
        files = self.published
        if "/stage/" in path:
            session = self.sessions[path.split("/")[3]]
            uploads = session.uploads.values()
            files = {u.filename: u.content or b"" for u in uploads if u.status == "completed"}
        project = path.rstrip("/").rpartition("/")[2].replace("-", "_")
        listed = [
            {"filename": name, "hashes": {"sha256": hashlib.sha256(content).hexdigest()}}
            for name, content in files.items()
            if name.startswith(f"{project}-")
        ]
        return self._answer(200, {"files": listed}) if listed else Reply(404)

    def _form(self, request: Request) -> Reply:
        kind = request.headers["Content-Type"]
        body = self._read(request)
        head = f"Content-Type: {kind}\r\n\r\n".encode()
        parsed = BytesParser(policy=HTTP).parsebytes(head + body)
        fields: dict[str, list[str]] = {}
        filename, content = None, b""
        for part in parsed.iter_parts():
            name = part.get_param("name", header="content-disposition")
            octets = part.get_payload(decode=True)
            assert isinstance(name, str)
            assert isinstance(octets, bytes)
            if name == "content":
                filename, content = part.get_filename(), octets
            else:
                fields.setdefault(name, []).append(octets.decode())
        assert filename is not None
        assert fields["sha256_digest"] == [hashlib.sha256(content).hexdigest()]
        self.forms.append(fields)
        if self.refusals.get(filename):
            return problem(400, self.refusals[filename])
        if self.published.get(filename, content) != content:
            return problem(400, f"File already exists: {filename}")
        self.published[filename] = content
        return Reply(200)

    def _answer(self, status: int, document: dict[str, Any]) -> Reply:
        self.change(document)
        headers = {"content-type": MEDIA_TYPE, "retry-after": "2"}
        return Reply(status, "", headers, json.dumps(document).encode())


def problem(status: int, detail: str) -> Reply:
    """Return a refusal as RFC 9457 has it, with PEP 694's members."""
    document = {
        "title": "Refused",
        "detail": detail,
        "status": status,
        "errors": [{"source": "test", "message": detail, "description": detail, "code": "c"}],
    }
    return Reply(
        status,
        "Refused",
        {"content-type": "application/problem+json"},
        json.dumps(document).encode(),
    )
