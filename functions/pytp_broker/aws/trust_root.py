"""Lambda entry point of the trust root function; all of this runs once, while it starts."""

import os

from pytp_broker.aws.deployed_attester import refresh_deployed
from pytp_broker.aws.edge import Edge
from pytp_broker.aws.s3_trust_roots import S3TrustRoots
from pytp_broker.settings import IndexSettings

settings = IndexSettings.from_environment(os.environ)
edge = Edge("trust-root")
roots = S3TrustRoots(edge.clients.s3(), settings.bucket)
handler = edge.unaudited_task(lambda _event: refresh_deployed(roots))
