"""Documents of publishing sessions that an earlier version has stored."""

from pytp_broker.storage.sessions import Session
from tests.support.samples import session, staged


def test_a_session_from_before_staged_legacy_uploads_is_one_of_the_upload_api() -> None:
    document = session(staged()).document()
    del document["is_legacy"]

    assert Session.from_document(document) == session(staged(), is_legacy=False)
