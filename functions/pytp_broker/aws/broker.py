"""Lambda entry point of the broker function; all of this runs once, while the function starts."""

import os

from pytp_broker.aws.edge import Edge
from pytp_broker.endpoints.broker import ROUTES
from pytp_broker.oidc.fetch import HttpFetch
from pytp_broker.services import build_broker
from pytp_broker.settings import BrokerSettings, environment_proxy

settings = BrokerSettings.from_environment(os.environ)
edge = Edge("broker")
fetch = HttpFetch(only_public=True, environment_proxy=environment_proxy(os.environ))
handler = edge.handler(
    ROUTES,
    build_broker(
        edge.services(settings),
        reach=fetch.reach,
        disclosure_keys_url=settings.disclosure_keys_url,
        fetch_disclosure_keys=fetch,
    ),
)
