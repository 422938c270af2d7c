"""The broker function: discovery, audience, mint, burn, disclosure, health. Anyone may call it."""

from typing import Final

from pytp_broker.endpoints.audience import audience
from pytp_broker.endpoints.burn import burn
from pytp_broker.endpoints.disclosure import DISCLOSE_PATH, disclose
from pytp_broker.endpoints.discovery import beside_upload, well_known
from pytp_broker.endpoints.health import HEALTH_PATH, health
from pytp_broker.endpoints.mint import mint
from pytp_broker.endpoints.routing import READING, Act, Probe, Read, Routes
from pytp_broker.registries import AUDIENCE_PATH, MINT_PATH
from pytp_broker.services import Broker

ROUTES: Final[Routes[Broker]] = {
    "/.well-known/pytp": Read(("GET",), well_known),
    "/_/oidc/discover": Read(("GET",), beside_upload),
    AUDIENCE_PATH: Read(("GET",), audience),
    MINT_PATH: Act("exchange", ("POST",), mint),
    # maturin and old versions of the publish action use only this path.
    "/_/oidc/github/mint-token": Act("exchange", ("POST",), mint),
    "/_/oidc/burn-token": Act("burn", ("POST",), burn),
    DISCLOSE_PATH: Act("disclosure", ("POST",), disclose),
    HEALTH_PATH: Probe(READING, health),
}
