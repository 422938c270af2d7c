"""Operations of Upload API 2.0, by a client that goes on where a failure has stopped it."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

from pytp_broker.content import Held
from pytp_broker.http.upload_api import MEDIA_TYPE
from pytp_broker.index.sessions.checking import check_upload
from pytp_broker.index.sessions.staged_bytes import content_key_of
from pytp_broker.storage.session_tokens import mint_session_token
from pytp_broker.storage.sessions import (
    PUBLISH_TIME,
    Session,
    SessionStatus,
    StagedFile,
    UploadStatus,
)
from pytp_broker.tokens import UploadToken
from tests.faults.operations import Attempt, Operation
from tests.faults.stage import Clients, Stage, wheel
from tests.support import distributions
from tests.support.attesting import VERIFIED, attest
from tests.support.deployment import Answer, basic
from tests.support.distributions import Distribution

WHEEL, SDIST = wheel(), distributions.sdist()
_META: Final[Mapping[str, Any]] = {"meta": {"api-version": "2.0"}}
# How often a client that waits for the end of a publish asks again.
_POLLS: Final = 3


class Uploader:
    """A client of Upload API 2.0. Each method may be called again until it succeeds."""

    def __init__(self, stage: Stage, clients: Clients, token: UploadToken | None = None) -> None:
        self._stage = stage
        self._clients = clients
        self._authorization = basic("__token__", (token or stage.upload_token()).reveal())

    def begin(self) -> Answer:
        """Begin a session, or find the one that an earlier call has begun."""
        answer = self._send("POST", "/acme/upload/", {"name": "widgets", "version": "1.0"})
        if answer.status == 409 and "Location" in answer.headers:
            answer = self._send("GET", answer.headers["Location"])
        return replace(answer, status=201) if answer.status == 200 else answer

    def stage(self, session: Mapping[str, Any], file: Distribution) -> Answer:
        """Upload a file, or what is still missing of it."""
        answer = self._announced(session, file)
        if answer.status >= 400 or answer.json["status"] == UploadStatus.COMPLETED.value:
            return answer
        upload = answer.json
        sent = self._send_bytes(upload, file)
        return sent if sent.status >= 400 else self.complete(upload)

    def deliver(self, session: Mapping[str, Any], file: Distribution) -> Mapping[str, Any]:
        """Return the upload of a file whose bytes are there, and that is not completed."""
        upload: Mapping[str, Any] = self._announced(session, file).json
        assert self._send_bytes(upload, file).status == 204
        return upload

    def _send_bytes(self, upload: Mapping[str, Any], file: Distribution) -> Answer:
        url = upload["mechanism"]["file_url"]
        return self._send("POST", url, file.content, "application/octet-stream")

    def complete(self, upload: Mapping[str, Any]) -> Answer:
        return self._send("POST", upload["links"]["complete"], {})

    def _announced(self, session: Mapping[str, Any], file: Distribution) -> Answer:
        seen = self._send("GET", session["links"]["session"])
        if seen.status >= 400:
            return seen
        present = seen.json["files"].get(file.filename)
        if present is not None:
            answer = self._send("GET", present["link"])
            return replace(answer, status=201) if answer.status == 200 else answer
        members = {
            "filename": file.filename,
            "size": len(file.content),
            "hashes": {"sha256": file.sha256},
            "mechanism": "http-post-bytes",
        }
        return self._send("POST", session["links"]["upload"], members)

    def attest(self, upload: Mapping[str, Any], file: Distribution) -> Answer:
        """Send the attestations of a file; sending them again changes nothing."""
        url = upload["mechanism"]["attestations_url"]
        return self._send("POST", url, attest(file).encode(), "application/json")

    def publish(self, session: Mapping[str, Any]) -> Answer:
        """Publish a session; wait while the publish of an earlier call may still go on."""
        for _ in range(_POLLS):
            answer = self.ask_to_publish(session)
            if answer.status != 409 or SessionStatus.PROCESSING.value not in answer.text:
                return answer
            self._stage.advance(seconds=PUBLISH_TIME.total_seconds())
        raise AssertionError("the session stays in the state `processing`")

    def ask_to_publish(self, session: Mapping[str, Any]) -> Answer:
        """Publish a session, without patience."""
        return self._send("POST", session["links"]["publish"], {})

    def cancel(self, session: Mapping[str, Any]) -> Answer:
        return self._send("DELETE", session["links"]["session"])

    def delete(self, session: Mapping[str, Any], file: Distribution) -> Answer:
        """Delete a file, or find that an earlier call has deleted it."""
        seen = self.see(session)
        if seen.status >= 400 or file.filename not in seen.json["files"]:
            return replace(seen, status=204) if seen.status == 200 else seen
        return self._send("DELETE", seen.json["files"][file.filename]["link"])

    def see(self, session: Mapping[str, Any]) -> Answer:
        return self._send("GET", session["links"]["session"])

    def _send(
        self,
        method: str,
        url: str,
        body: bytes | Mapping[str, Any] = b"",
        content_type: str = MEDIA_TYPE,
    ) -> Answer:
        raw = body if isinstance(body, bytes) else json.dumps({**_META, **body}).encode()
        headers = {"authorization": self._authorization, "content-type": content_type}
        return self._clients.call(method, urlsplit(url).path, raw, headers)


def staged(stage: Stage, *files: Distribution) -> dict[str, Any]:
    """Return a session with completed files, which are stored without requests: that is quicker."""
    session: dict[str, Any] = Uploader(stage, stage.honest).begin().json
    store = stage.engine.store
    present = store.find_session(session["session-token"])
    assert present is not None
    completed = [_completed(stage, present, file) for file in files]
    changed = present.changed(files={each.filename: each for each in completed})
    assert store.save_session(changed, present)
    return session


def _completed(stage: Stage, session: Session, file: Distribution) -> StagedFile:
    upload = StagedFile(
        upload_id=file.sha256[:32],
        filename=file.filename,
        size=len(file.content),
        hashes={"sha256": file.sha256},
        mechanism="http-post-bytes",
        status=UploadStatus.PENDING,
        created_at=stage.now,
        expires_at=session.expires_at,
    )
    stage.engine.files.save(content_key_of(session, upload), Held(file.content), file.sha256)
    record = check_upload(session, upload, {"issuer": "https://ci.example.com"}, stage.honest.index)
    return replace(upload, status=UploadStatus.COMPLETED, file=record)


def is_published(stage: Stage) -> bool:
    """Say whether both files are visible; check that otherwise none is."""
    seen = {(file.filename, file.sha256) for file in stage.visible_files()}
    visible = {(each.filename, each.sha256) in seen for each in (WHEEL, SDIST)}
    assert len(visible) == 1, "half a release is visible"
    return visible == {True}


def begin_a_session(stage: Stage) -> Attempt:
    """Begin a publishing session: however often it is tried, the version has one."""
    client = Uploader(stage, stage.faulty)

    def is_the_one(answer: Answer) -> None:
        store = stage.engine.store
        begun = store.find_session(answer.json["session-token"])
        assert begun is not None
        # A session that was stored, and that nothing points at, is nobody's.
        assert store.add_session(replace(begun, token=mint_session_token())) == begun

    return Attempt(client.begin, 201, check=is_the_one)


def stage_a_file(stage: Stage) -> Attempt:
    """Upload a file to a session, from its announcement to its completion."""
    client, session = Uploader(stage, stage.faulty), staged(stage, SDIST)

    def may_be_published(_answer: Answer) -> None:
        assert not stage.is_visible(WHEEL)
        assert Uploader(stage, stage.honest).publish(session).status == 201
        assert is_published(stage)

    return Attempt(lambda: client.stage(session, WHEEL), 201, check=may_be_published)


def attest_a_staged_file(stage: Stage) -> Attempt:
    """Send the attestations of a file before its completion: they are published with it."""
    honest = Uploader(stage, stage.honest)
    session = honest.begin().json
    upload = honest.deliver(session, WHEEL)
    client = Uploader(stage, stage.faulty)

    def are_published(_answer: Answer) -> None:
        assert honest.complete(upload).status == 202
        stage.honest.verify()
        assert honest.publish(session).status == 201
        (file,) = stage.visible_files()
        assert file.attestation_state == VERIFIED

    return Attempt(lambda: client.attest(upload, WHEEL), 204, check=are_published)


def publish_a_session(stage: Stage) -> Attempt:
    """Publish two files: they become visible together, however often it is tried."""
    client, session = Uploader(stage, stage.faulty), staged(stage, WHEEL, SDIST)
    is_published(stage)

    def is_there_for_good(answer: Answer) -> None:
        assert answer.json["status"] == SessionStatus.PUBLISHED.value
        assert is_published(stage)
        assert "reserved_by" not in repr(stage.engine.dump()), "the publish is not settled"
        assert stage.honest.upload(stage.upload_token(), wheel(extra="evil")).code == "file-exists"

    return Attempt(lambda: client.publish(session), 201, check=is_there_for_good)


def publish_a_session_once(stage: Stage) -> Attempt:
    """Publish with a single-use token, which is good for this session and no other."""
    token, session = stage.upload_token(single=True), staged(stage, WHEEL, SDIST)
    client = Uploader(stage, stage.faulty, token)

    def is_used_up(_answer: Answer) -> None:
        assert is_published(stage)
        assert stage.honest.upload(token, wheel(version="2.0")).status == 401
        assert Uploader(stage, stage.honest, token).publish(session).status == 201

    return Attempt(lambda: client.publish(session), 201, check=is_used_up)


def delete_a_staged_file(stage: Stage) -> Attempt:
    """Delete a file of a session: it is not published, and may come again."""
    client, session = Uploader(stage, stage.faulty), staged(stage, WHEEL, SDIST)

    def is_gone(_answer: Answer) -> None:
        honest = Uploader(stage, stage.honest)
        assert honest.see(session).json["files"].keys() == {SDIST.filename}
        assert honest.stage(session, WHEEL).status == 201

    return Attempt(lambda: client.delete(session, WHEEL), 204, check=is_gone)


def publish_a_taken_name(stage: Stage) -> Attempt:
    """Publish a session of which one name is taken: refused, and no other file is visible."""
    client, session = Uploader(stage, stage.faulty), staged(stage, WHEEL, SDIST)
    theirs = wheel(extra="theirs")
    assert stage.honest.upload(stage.upload_token(), theirs).status == 200

    def leaves_the_names_free(_answer: Answer) -> None:
        assert [each.sha256 for each in stage.visible_files()] == [theirs.sha256]
        assert stage.honest.upload(stage.upload_token(), SDIST).status == 200

    return Attempt(lambda: client.publish(session), 409, check=leaves_the_names_free)


def cancel_a_session(stage: Stage) -> Attempt:
    """Cancel a session: nothing of it is visible, and the version may have another."""
    client, session = Uploader(stage, stage.faulty), staged(stage, WHEEL)

    def is_over(_answer: Answer) -> None:
        honest = Uploader(stage, stage.honest)
        assert honest.see(session).json["status"] == SessionStatus.CANCELED.value
        assert not stage.is_visible(WHEEL)
        assert honest.begin().json["session-token"] != session["session-token"]

    return Attempt(lambda: client.cancel(session), 204, check=is_over)


SESSION_OPERATIONS: tuple[Operation, ...] = (
    begin_a_session,
    stage_a_file,
    attest_a_staged_file,
    publish_a_session,
    publish_a_session_once,
    delete_a_staged_file,
    publish_a_taken_name,
    cancel_a_session,
)
# The operations that write in ways of their own, for the trials that take longest.
WRITING_SESSION_OPERATIONS: tuple[Operation, ...] = (begin_a_session, publish_a_session)
