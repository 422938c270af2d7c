"""``POST /_/secrets/disclose-token``: secret scanning has found tokens; burn them.

Then nobody else who has read them can use them. Unless the request is signed, we burn nothing and
say nothing about any token.
"""

from pytp_broker.audit.findings import Leak
from pytp_broker.audit.record import hash_prefix
from pytp_broker.audit.requests import Disclosure
from pytp_broker.destinations import Destination
from pytp_broker.errors import NotFound, PayloadTooLarge, StoreUnavailable
from pytp_broker.http.messages import Request, Response, json_response
from pytp_broker.leaks import MAX_BODY_BYTES, Match, read_matches, verify_signature
from pytp_broker.services import Broker


def disclose(
    request: Request, destination: Destination, broker: Broker, event: Disclosure
) -> Response:
    """Burn every token in a signed list, of any registry; audit the list and each token.

    The answer is the feedback of the partner program: by its hash, whether each is a credential.
    """
    if destination.base_path:
        raise NotFound("secret scanning reports to the root of a host")
    matches = _read_signed(request, broker)
    event.matches = len(matches)
    for match in matches:
        _burn(match, broker)
    return json_response([match.feedback() for match in matches])


def _read_signed(request: Request, broker: Broker) -> list[Match]:
    if len(request.body) > MAX_BODY_BYTES:
        raise PayloadTooLarge("a disclosure takes at most 1 MiB")
    verify_signature(request.body, request.headers, broker.disclosure_keys, broker.now())
    return read_matches(request.body)


def _burn(match: Match, broker: Broker) -> None:
    leak = Leak(type=match.kind, url=match.url, source=match.source)
    token = match.token
    try:
        if token is not None:
            leak.token_hash = hash_prefix(token.hash)
            leak.burned = broker.store.burn_token(token.lookup_id, token.hash, None, broker.now())
    except StoreUnavailable as problem:
        broker.audit(leak.refused(problem))
        raise  # secret scanning sends the list again; what is burned stays burned
    broker.audit(leak.accepted())
