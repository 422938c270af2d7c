"""``POST /_/oidc/burn-token``: end an upload token early.

Anyone who holds the token may end it. The answer, and the work before it, are the same whether or
not such a token exists.
"""

import secrets

from pytp_broker.audit.record import hash_prefix
from pytp_broker.audit.requests import Burn
from pytp_broker.destinations import Destination
from pytp_broker.endpoints.mint import MAX_BODY_BYTES
from pytp_broker.errors import InvalidPayload
from pytp_broker.http.messages import Request, Response, json_response
from pytp_broker.http.strict_json import parse_json_object
from pytp_broker.services import Broker
from pytp_broker.tokens import LOOKUP_ID_BYTES, MalformedTokenError, UploadToken


def burn(request: Request, destination: Destination, broker: Broker, event: Burn) -> Response:
    """Burn the token if it is one; at a registry's own endpoint only a token of that registry."""
    sent = _read_token(request.body)
    if sent is not None:
        event.token_hash = hash_prefix(sent.hash)
    token = sent or _decoy()
    registry = None if destination.is_shared_root else destination.registry.name
    event.burned = broker.store.burn_token(token.lookup_id, token.hash, registry, broker.now())
    return json_response({"message": "Accepted", "errors": []}, status=202)


def _read_token(body: bytes) -> UploadToken | None:
    try:
        text = parse_json_object(body[: MAX_BODY_BYTES + 1]).get("token")
        return UploadToken(text) if isinstance(text, str) else None
    except (InvalidPayload, MalformedTokenError):
        return None


def _decoy() -> UploadToken:
    return UploadToken.mint(secrets.token_hex(LOOKUP_ID_BYTES))
