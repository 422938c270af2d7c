"""Lambda entry point of the introspect function; all of this runs once, while it starts."""

import os

from pytp_broker.aws.edge import Edge
from pytp_broker.endpoints.introspect import ROUTES
from pytp_broker.settings import Settings

settings = Settings.from_environment(os.environ)
edge = Edge("introspect")
handler = edge.handler(ROUTES, edge.services(settings))
