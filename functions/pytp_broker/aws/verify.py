"""Lambda entry point of the verify function; all of this runs once, while the function starts."""

import os

from pytp_broker.aws.edge import Edge
from pytp_broker.index.verifying import verify
from pytp_broker.settings import VerifySettings
from pytp_broker.verifier import read_place

settings = VerifySettings.from_environment(os.environ)
edge = Edge("verify")
index = edge.index(settings, attester=edge.attester(settings.attest_function))
handler = edge.task(lambda event: verify(read_place(event), index))
