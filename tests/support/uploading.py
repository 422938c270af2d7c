"""A client of Upload API 2.0 on a shelf: it sends what a test says, and follows the links."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import pytest

from pytp_broker.http.upload_api import MEDIA_TYPE
from pytp_broker.storage.sessions import Session
from pytp_broker.tokens import UploadToken
from tests.support.deployment import HOST, Answer, Deployment
from tests.support.distributions import Distribution
from tests.support.shelf import Shelf

ROOT: Final = "/acme/upload/"
POST_BYTES: Final = "http-post-bytes"
PUT: Final = "vnd-pytp-s3-put"
META: Final[Mapping[str, Any]] = {"meta": {"api-version": "2.0"}}

Document = Mapping[str, Any]


class UploadClient:
    """The requests of a client to any deployment."""

    def __init__(self, deployment: Deployment, authorization: str) -> None:
        self._deployment = deployment
        self._given = authorization

    @property
    def authorization(self) -> str:
        return self._given

    def send(
        self,
        method: str,
        url: str,
        members: Document | None = None,
        *,
        body: bytes | None = None,
        **headers: str,
    ) -> Answer:
        """Send a request to a link or a path; ``members`` are sent with ``meta``, as JSON."""
        if body is None:
            body = b"" if members is None else json.dumps({**META, **members}).encode()
        sent = {"authorization": self.authorization, "content-type": MEDIA_TYPE}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self._deployment.call(method, url.removeprefix(f"https://{HOST}"), body, sent)

    def create(self, version: str = "1.0", name: str = "widgets", path: str = ROOT) -> Answer:
        return self.send("POST", path, {"name": name, "version": version})

    def begin(self, version: str = "1.0", name: str = "widgets") -> Document:
        """Return a new session."""
        answer = self.create(version, name)
        assert answer.status == 201, answer.body
        return dict(answer.json)

    def see(self, session: Document) -> Document:
        """Return a session as it is now."""
        answer = self.send("GET", session["links"]["session"])
        assert answer.status == 200, answer.body
        return dict(answer.json)

    def announce(
        self, session: Document, file: Distribution, mechanism: str = POST_BYTES, **changes: Any
    ) -> Answer:
        members = {
            "filename": file.filename,
            "size": len(file.content),
            "hashes": {"sha256": file.sha256},
            "mechanism": mechanism,
        }
        return self.send("POST", session["links"]["upload"], {**members, **changes})

    def add(self, session: Document, file: Distribution, mechanism: str = POST_BYTES) -> Document:
        """Return a file upload session whose bytes are still to come."""
        answer = self.announce(session, file, mechanism)
        assert answer.status == 202, answer.body
        return dict(answer.json)

    def deliver(self, upload: Document, content: bytes) -> Answer:
        url = upload["mechanism"]["file_url"]
        return self.send("POST", url, body=content, content_type="application/octet-stream")

    def complete(self, upload: Document) -> Answer:
        return self.send("POST", upload["links"]["complete"], {})

    def stage(self, session: Document, *files: Distribution) -> list[Document]:
        """Upload and complete files; return their file upload sessions."""
        uploads: list[Document] = []
        for file in files:
            upload = self.add(session, file)
            assert self.deliver(upload, file.content).status == 204
            completed = self.complete(upload)
            assert completed.status == 201, completed.body
            uploads.append(dict(completed.json))
        return uploads

    def see_file(self, upload: Document) -> Document:
        answer = self.send("GET", upload["links"]["file-upload-session"])
        assert answer.status == 200, answer.body
        return dict(answer.json)

    def delete_file(self, upload: Document) -> Answer:
        return self.send("DELETE", upload["links"]["file-upload-session"])

    def publish(self, session: Document) -> Answer:
        return self.send("POST", session["links"]["publish"], {})

    def cancel(self, session: Document) -> Answer:
        return self.send("DELETE", session["links"]["session"])


class Uploader(UploadClient):
    """A client of a shelf, with the shelf's token, another one, or another header."""

    def __init__(
        self, shelf: Shelf, token: UploadToken | None = None, authorization: str | None = None
    ) -> None:
        super().__init__(shelf, authorization or "")
        self.shelf = shelf
        self.token = token
        self._is_given = authorization is not None

    @property
    def authorization(self) -> str:
        return super().authorization if self._is_given else self.shelf.basic(self.token)

    def before_next_save(self, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
        """Let something happen between the next request's read of a session and its write."""
        store = self.shelf.store
        save = store.save_session

        def save_later(session: Session, present: Session) -> bool:
            monkeypatch.setattr(store, "save_session", save)
            act()
            return save(session, present)

        monkeypatch.setattr(store, "save_session", save_later)


def problem_of(answer: Answer) -> Document:
    """Return an error after checking that it has all members of ours and of PEP 694."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    document = answer.json
    assert document["status"] == answer.status
    assert {"type", "title", "status", "detail", "instance", "message"} <= document.keys()
    assert document["meta"] == {"api-version": "2.0"}
    assert document["errors"]
    for error in document["errors"]:
        assert error.keys() == {"source", "message", "code", "description"}
        assert error["message"] == error["description"]
    return dict(document)
