"""Lambda entry point of the upload function; all of this runs once, while the function starts."""

import os

from pytp_broker.aws.edge import Edge
from pytp_broker.endpoints.upload import ROUTES
from pytp_broker.settings import IndexSettings

settings = IndexSettings.from_environment(os.environ)
edge = Edge("upload")
handler = edge.handler(ROUTES, edge.index(settings))
