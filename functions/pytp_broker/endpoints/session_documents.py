"""What Upload API 2.0 answers about a session: its document, with absolute links."""

from collections.abc import Mapping
from typing import Any

from pytp_broker.http import paths
from pytp_broker.http.upload_api import META, write_time
from pytp_broker.index.sessions.announcements import MECHANISMS, POST_BYTES
from pytp_broker.index.sessions.transitions import live_files
from pytp_broker.storage.file_store import Target
from pytp_broker.storage.sessions import Session, StagedFile


def session_url(session: Session, base: str) -> str:
    """Return the address at which a session is asked about."""
    return paths.SESSION.url(base, session=session.token)


def session_document(session: Session, base: str) -> dict[str, Any]:
    """Return a publishing session as PEP 694 writes it."""
    token = session.token
    return {
        "meta": dict(META),
        "links": {
            "session": session_url(session, base),
            "upload": paths.STAGED_FILES.url(base, session=token),
            "publish": paths.PUBLISH.url(base, session=token),
            "extend": paths.EXTEND.url(base, session=token),
            "stage": paths.STAGE_PROJECTS.url(base, session=token),
        },
        "mechanisms": list(MECHANISMS),
        "session-token": token,
        "expires-at": write_time(session.expires_at),
        "status": session.status.value,
        "files": {file.filename: _file_entry(session, file, base) for file in live_files(session)},
        **_notices(session.notices),
    }


def _file_entry(session: Session, file: StagedFile, base: str) -> dict[str, Any]:
    link = upload_url(session, file, base)
    return {"status": file.status.value, "link": link, **_notices(file.notices)}


def upload_url(session: Session, file: StagedFile, base: str) -> str:
    """Return the address at which a file upload session is asked about."""
    return paths.STAGED_FILE.url(base, **place_of(session, file))


def place_of(session: Session, file: StagedFile) -> Mapping[str, str]:
    """Return the variables of the addresses of a file upload session."""
    return {"session": session.token, "filename": file.filename, "upload": file.upload_id}


def upload_document(
    session: Session, file: StagedFile, base: str, target: Target | None
) -> dict[str, Any]:
    """Return a file upload session as PEP 694 writes it.

    ``target`` is where the client puts the bytes, while it may put them straight into the store.
    """
    place = place_of(session, file)
    return {
        "meta": dict(META),
        "links": {
            "file-upload-session": paths.STAGED_FILE.url(base, **place),
            "complete": paths.COMPLETE.url(base, **place),
            "extend": paths.EXTEND_FILE.url(base, **place),
        },
        "status": file.status.value,
        "expires-at": write_time(file.expires_at),
        "mechanism": {
            "identifier": file.mechanism,
            **_way(file, paths.STAGED_BYTES.url(base, **place), target),
            "attestations_url": paths.STAGED_ATTESTATIONS.url(base, **place),
        },
        **_notices(file.notices),
    }


def _way(file: StagedFile, bytes_url: str, target: Target | None) -> dict[str, Any]:
    """Return how the bytes of a file are sent."""
    if file.mechanism == POST_BYTES:
        return {"file_url": bytes_url}
    if target is None:
        return {}
    return {"url": target.url, "method": "PUT", "headers": dict(target.headers)}


def _notices(notices: tuple[str, ...]) -> dict[str, list[str]]:
    return {"notices": list(notices)} if notices else {}
