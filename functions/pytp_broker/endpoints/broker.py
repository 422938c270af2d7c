"""The broker function: discovery, audience, mint, burn, disclosure, health. Anyone may call it."""

from typing import Final

from pytp_broker.audit.requests import Burn, Disclosure, Exchange
from pytp_broker.endpoints.audience import audience
from pytp_broker.endpoints.burn import burn
from pytp_broker.endpoints.disclosure import disclose
from pytp_broker.endpoints.discovery import beside_upload, well_known
from pytp_broker.endpoints.health import health
from pytp_broker.endpoints.mint import mint
from pytp_broker.endpoints.routing import READING, Act, Probe, Read, Routes
from pytp_broker.http import paths
from pytp_broker.services import Broker

ROUTES: Final[Routes[Broker]] = {
    str(paths.WELL_KNOWN): Read(("GET",), well_known),
    str(paths.DISCOVER): Read(("GET",), beside_upload),
    str(paths.AUDIENCE): Read(("GET",), audience),
    str(paths.MINT): Act(Exchange, ("POST",), mint),
    str(paths.GITHUB_MINT): Act(Exchange, ("POST",), mint),
    str(paths.BURN): Act(Burn, ("POST",), burn),
    str(paths.DISCLOSE): Act(Disclosure, ("POST",), disclose),
    str(paths.HEALTH): Probe(READING, health),
}
