"""Lambda entry point of the attest function; all of this runs once, while the function starts."""

import os
import tempfile
from pathlib import Path

from pytp_broker.aws.deployed_attester import DeployedAttester
from pytp_broker.aws.edge import Edge
from pytp_broker.aws.s3_trust_roots import S3TrustRoots
from pytp_broker.provenance.attester import AttestationQuestion
from pytp_broker.services import utc_now
from pytp_broker.settings import IndexSettings

settings = IndexSettings.from_environment(os.environ)
edge = Edge("attest")
roots = S3TrustRoots(edge.clients.s3(), settings.bucket)
attester = DeployedAttester(roots, Path(tempfile.mkdtemp(prefix="trust-root-")), utc_now)
handler = edge.unaudited_task(
    lambda event: attester.verify(AttestationQuestion.from_document(event)).document()
)
