"""Lambda entry point of the verify function; all of this runs once, while the function starts."""

import os

from pytp_broker.aws.edge import Edge
from pytp_broker.index.sessions.verifying import verify_upload
from pytp_broker.settings import IndexSettings
from pytp_broker.verifier import UploadPlace

settings = IndexSettings.from_environment(os.environ)
edge = Edge("verify")
index = edge.index(settings)
handler = edge.task(lambda event: verify_upload(UploadPlace.from_document(event), index))
