"""Lambda entry point of the upload function; all of this runs once, while the function starts."""

import os
from typing import Final

from pytp_broker.aws.edge import Edge
from pytp_broker.aws.kms_signer import open_signer
from pytp_broker.aws.lambda_verifier import LambdaVerifier
from pytp_broker.endpoints.upload import ROUTES
from pytp_broker.services import utc_now
from pytp_broker.settings import UploadSettings
from pytp_broker.side_by_side import Threads
from pytp_broker.stamping import make_stamper

# An upload makes seven calls side by side, one of them on the thread that waits for the others.
THREADS: Final = 6

settings = UploadSettings.from_environment(os.environ)
edge = Edge("upload")
verifier = LambdaVerifier(edge.clients.lambdas, settings.verify_function)
stamper = make_stamper(utc_now, only_public=True)
signer = open_signer(edge.clients.kms())
attester = edge.attester(settings.attest_function)
index = edge.index(
    settings, verifier, stamper, signer, attester=attester, side_by_side=Threads(THREADS)
)
handler = edge.handler(ROUTES, index)
