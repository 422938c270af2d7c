"""Lambda entry point of the web function; all of this runs once, while the function starts."""

import os

from pytp_broker.aws.edge import Edge
from pytp_broker.endpoints.web import ROUTES
from pytp_broker.index.web import pages
from pytp_broker.index.web.website import build_website
from pytp_broker.settings import IndexSettings

settings = IndexSettings.from_environment(os.environ)
pages.prepare()
edge = Edge("web")
handler = edge.handler(ROUTES, build_website(edge.index(settings)))
