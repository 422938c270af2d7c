"""A staged release on a shelf, as uploads to a publishing session leave it."""

from dataclasses import replace

from pytp_broker.content import Held
from pytp_broker.index.distributions import parse_filename
from pytp_broker.index.inspection import Candidate, inspect
from pytp_broker.index.storing import describe
from pytp_broker.storage.file_store import keys_of
from pytp_broker.storage.sessions import Session, StagedFile, UploadStatus
from tests.support import samples
from tests.support.distributions import Distribution
from tests.support.shelf import Shelf

TOKEN = samples.session().token
STAGE = f"/acme/stage/{TOKEN}"


def staged(shelf: Shelf, *distributions: Distribution) -> Session:
    """Stage files in a session of `widgets` 1.0, completed, and return the session."""
    files = [completed(shelf, each, f"{number:032x}") for number, each in enumerate(distributions)]
    return shelf.store.add_session(samples.session(*files))


def completed(shelf: Shelf, distribution: Distribution, upload_id: str) -> StagedFile:
    """Return a file upload session that is completed, and store its bytes."""
    content = Held(distribution.content)
    candidate = Candidate(parse_filename(distribution.filename), content, distribution.sha256)
    facts = inspect(candidate)
    file = describe(facts, registry="acme", uploaded_at=shelf.now, published_by={})
    file = replace(file, upload_id=upload_id)
    content_key, metadata_key = keys_of(file)
    shelf.files.contents[content_key] = distribution.content
    shelf.files.contents[metadata_key] = facts.metadata_file
    return samples.staged(
        distribution.filename, upload_id=upload_id, status=UploadStatus.COMPLETED, file=file
    )
