"""Read a release that is staged: installers may try it before it is published (PEP 694).

The session's token is the right to read, and it ends with the session. So a token that is unknown,
of another registry, or of a session that has ended gets one and the same refusal.
"""

from typing import Final

from pytp_broker.errors import NotFound
from pytp_broker.index.listings import FileState, ListedFile, ProjectListing
from pytp_broker.services import Index
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.session_tokens import is_session_token
from pytp_broker.storage.sessions import Session

_ENDED: Final = "there is no staged release here: it may be published, canceled or expired"


def find_preview(registry: str, token: str, index: Index) -> ProjectListing:
    """Return the listing of a staged release: the files that are completed; raise NotFound."""
    session = _find_session(registry, token, index)
    status = index.store.find_status(registry, session.project)
    if not status.offers_files:
        raise NotFound(_ENDED)
    listed = tuple(ListedFile(file, FileState()) for file in completed_files(session))
    return ProjectListing(session.project, listed, status)


def find_previewed_file(
    registry: str, token: str, sha256: str, filename: str, index: Index
) -> PublishedFile:
    """Return the completed file of this name and hash; raise NotFound."""
    for listed in find_preview(registry, token, index).files:
        if (listed.file.filename, listed.file.sha256) == (filename, sha256):
            return listed.file
    raise NotFound("there is no such file in this staged release")


def completed_files(session: Session) -> list[PublishedFile]:
    """Return the records of the completed files of a session, ordered by name."""
    files = (session.files[name].file for name in sorted(session.files))
    return [file for file in files if file is not None]


def _find_session(registry: str, token: str, index: Index) -> Session:
    # What cannot be a token is not worth a read, and may be too long for one.
    session = index.store.find_session(token) if is_session_token(token) else None
    if session is None or session.registry != registry or not session.is_live(index.now()):
        raise NotFound(_ENDED)
    return session
