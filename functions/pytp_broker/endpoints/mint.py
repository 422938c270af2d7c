"""``POST /_/oidc/mint-token``: exchange an identity token for an upload token (PEP 807)."""

from typing import Final

from pytp_broker.audit.requests import Exchange
from pytp_broker.budgets import network_of
from pytp_broker.destinations import Destination
from pytp_broker.errors import PayloadTooLarge, Problem
from pytp_broker.exchange import exchange
from pytp_broker.http.messages import Request, Response, json_response
from pytp_broker.services import Broker

MAX_BODY_BYTES: Final = 64 * 1024


def mint(request: Request, destination: Destination, broker: Broker, event: Exchange) -> Response:
    """Return a new upload token, unless its source has been refused too often."""
    source = (destination.name, network_of(request.source_ip))
    limit = destination.refusals_per_minute
    broker.budget.check(source, limit)
    try:
        return _mint(request, destination, broker, event)
    except Problem as problem:
        if problem.is_callers:
            broker.budget.charge(source, limit)
        raise


def _mint(request: Request, destination: Destination, broker: Broker, event: Exchange) -> Response:
    if len(request.body) > MAX_BODY_BYTES:
        raise PayloadTooLarge("an exchange takes at most 64 KiB")
    minted = exchange(request.body, destination, broker, event)
    return json_response(
        {
            "success": True,
            "token": minted.token.reveal(),
            "expires": int(minted.record.expires_at.timestamp()),
        }
    )
