"""The broker function: discovery, exchange, burning, disclosure and health. Anyone may call it."""

import secrets
from collections.abc import Callable
from typing import Final, TypeVar

from pytp_broker import leaks
from pytp_broker.audit.findings import Leak
from pytp_broker.audit.record import hash_prefix
from pytp_broker.audit.requests import Burn, Disclosure, Exchange, JobEvent, Other, ReadExchange
from pytp_broker.budgets import network_of
from pytp_broker.destinations import Destination, locate
from pytp_broker.endpoints.receipt_keys import receipt_keys
from pytp_broker.endpoints.routing import READING, Context, Route, Routes
from pytp_broker.errors import (
    AudienceNotEnabled,
    InvalidPayload,
    NotAcceptable,
    NotFound,
    PayloadTooLarge,
    Problem,
    StoreUnavailable,
)
from pytp_broker.exchange import MintRequest, exchange, exchange_to_read
from pytp_broker.grants import Permission
from pytp_broker.http import paths
from pytp_broker.http.messages import Request, Response, json_response
from pytp_broker.http.negotiation import accepts
from pytp_broker.minting import Minted
from pytp_broker.oidc.unverified import read_unverified
from pytp_broker.services import Broker
from pytp_broker.strict_json import parse_json_object
from pytp_broker.tokens import (
    DEFAULT_FEATURES,
    FEATURES,
    LOOKUP_ID_BYTES,
    SINGLE_USE,
    MalformedTokenError,
    UploadToken,
)

MAX_BODY_BYTES: Final = 64 * 1024

_DISCOVERY_TYPE: Final = "application/vnd.pypi.pytp.v1+json"
_DISCOVERY_TYPES: Final = frozenset({_DISCOVERY_TYPE, "application/json", "application/*", "*/*"})
_HEALTHY: Final = b"ok\n"

E = TypeVar("E", bound=JobEvent)


def well_known(context: Context[Broker, Other]) -> Response:
    """Answer ``/.well-known/pytp?discover=PATH`` for the path of an upload URL (PEP 807)."""
    if context.destination.base_path:
        url = f"{paths.WELL_KNOWN}?discover=…"
        raise NotFound(f"this endpoint is at the root of the host: ask {url}")
    request = context.request
    upload_path = request.query.get("discover", "")
    shared_host = context.services.shared_host
    found = locate(context.configuration, request.host, upload_path, shared_host)
    if found.is_shared_root or paths.LEGACY.match(found.path.rstrip("/")) is None:
        example = paths.LEGACY.url("/acme")
        raise NotFound(f"`discover` must be the path of an upload URL here, such as {example}")
    return _discovery_document(request, found)


def beside_upload(context: Context[Broker, Other]) -> Response:
    """Answer ``/{registry}/_/oidc/discover`` with the same document."""
    if context.destination.is_shared_root:
        raise NotFound("there is no registry at this address")
    return _discovery_document(context.request, context.destination)


def _discovery_document(request: Request, destination: Destination) -> Response:
    if not accepts(request.headers.get("accept", "*/*") or "*/*", _DISCOVERY_TYPES):
        raise NotAcceptable(f"this endpoint answers {_DISCOVERY_TYPE}")
    base_url = f"{request.scheme}://{destination.host}{destination.base_path}"
    document = {
        "audience-endpoint": paths.AUDIENCE.url(base_url),
        "token-mint-endpoint": paths.MINT.url(base_url),
        "features": list(FEATURES),
        "default-features": list(DEFAULT_FEATURES),
        # Not a member of PEP 807: where Upload API 2.0 begins (PEP 694).
        "upload-api": paths.UPLOAD_ROOT.url(base_url),
    }
    return json_response(document, content_type=_DISCOVERY_TYPE)


def audience(context: Context[Broker, Other]) -> Response:
    """Return the audience that an identity token must have here (PEP 807).

    Raises AudienceNotEnabled where exchanges are switched off.
    """
    is_enabled = any(registry.enabled for registry in context.destination.registries)
    if not context.configuration.enabled or not is_enabled:
        raise AudienceNotEnabled("trusted publishing is switched off here")
    return json_response({"audience": context.destination.audience})


def mint(context: Context[Broker, Exchange]) -> Response:
    """Exchange an identity token for an upload token, unless its source is refused too often."""
    return _within_budget(context, _mint)


def mint_to_read(context: Context[Broker, ReadExchange]) -> Response:
    """Exchange an identity token for a read token, unless its source is refused too often."""
    return _within_budget(context, _mint_to_read)


def _within_budget(
    context: Context[Broker, E], answer: Callable[[Context[Broker, E]], Response]
) -> Response:
    destination, budget = context.destination, context.services.budget
    source = (destination.name, network_of(context.request.source_ip))
    budget.check(source, destination.refusals_per_minute)
    try:
        return answer(context)
    except Problem as problem:
        if problem.is_callers:
            budget.charge(source, destination.refusals_per_minute)
        raise


def _mint(context: Context[Broker, Exchange]) -> Response:
    asked = read_mint_request(context.request.body)
    minted = exchange(
        asked, context.destination, context.configuration, context.services, context.event
    )
    return _token_response(minted)


def _mint_to_read(context: Context[Broker, ReadExchange]) -> Response:
    if context.destination.is_shared_root:
        raise NotFound("a read token is for one registry: exchange at that registry's own address")
    asked = read_mint_request(context.request.body, Permission.READ)
    if SINGLE_USE in asked.features:
        raise InvalidPayload(f"a read token is for many requests: leave out `{SINGLE_USE}`")
    minted = exchange_to_read(
        asked, context.destination, context.configuration, context.services, context.event
    )
    return _token_response(minted)


def _token_response(minted: Minted) -> Response:
    return json_response(
        {
            "success": True,
            "token": minted.token.reveal(),
            "expires": int(minted.record.expires_at.timestamp()),
        }
    )


def read_mint_request(body: bytes, permission: Permission = Permission.UPLOAD) -> MintRequest:
    """Return the request in the body of an exchange; raise InvalidPayload or PayloadTooLarge."""
    if len(body) > MAX_BODY_BYTES:
        raise PayloadTooLarge("the body of an exchange may have at most 64 KiB")
    payload = parse_json_object(body)
    token = payload.get("token")
    if not isinstance(token, str) or not token:
        raise InvalidPayload("the member `token` must be the identity token, a non-empty string")
    features = _read_features(payload.get("features"))
    return MintRequest(read_unverified(token), features, permission)


def _read_features(features: object) -> tuple[str, ...]:
    if features is None or features == []:
        return DEFAULT_FEATURES
    if not isinstance(features, list) or len(features) != 1 or features[0] not in FEATURES:
        choices = " or ".join(f'["{feature}"]' for feature in FEATURES)
        raise InvalidPayload(f"the member `features` must be an array of one string: {choices}")
    return (features[0],)


def burn(context: Context[Broker, Burn]) -> Response:
    """End a token early; at a registry's own endpoint only a token of that registry.

    Anyone who holds the token may end it. The answer, and the work before it, are the same whether
    or not such a token exists.
    """
    sent = _read_token(context.request.body)
    if sent is not None:
        context.event.token_hash = hash_prefix(sent.hash)
    destination = context.destination
    registry = None if destination.is_shared_root else destination.registry.name
    context.event.burned = _burn(sent or _decoy(), registry, context.services)
    return json_response({"message": "Accepted", "errors": []}, status=202)


def _read_token(body: bytes) -> UploadToken | None:
    try:
        text = parse_json_object(body[: MAX_BODY_BYTES + 1]).get("token")
        return UploadToken.parse(text) if isinstance(text, str) else None
    except (InvalidPayload, MalformedTokenError):
        return None


def _decoy() -> UploadToken:
    return UploadToken.mint(secrets.token_hex(LOOKUP_ID_BYTES))


def _burn(token: UploadToken, registry: str | None, broker: Broker) -> bool:
    return broker.store.burn_token(token.lookup_id, token.hash, registry, broker.now())


def disclose(context: Context[Broker, Disclosure]) -> Response:
    """Burn every token in a list from secret scanning, of any registry.

    So a stranger who has read one cannot use it. Unless the list is signed, we burn nothing and say
    nothing about any token. The list leaves an audit record, and so does each token. The answer is
    the feedback that the partner program asks for: the hash of each text, and whether it is a
    credential.
    """
    if context.destination.base_path:
        raise NotFound("send reports of secret scanning to the root of the host")
    matches = _read_signed(context.request, context.services)
    context.event.matches = len(matches)
    for match in matches:
        _burn_leaked(match, context.services)
    return json_response([match.feedback() for match in matches])


def _read_signed(request: Request, broker: Broker) -> list[leaks.Match]:
    if len(request.body) > leaks.MAX_BODY_BYTES:
        raise PayloadTooLarge("a report of leaked tokens may have at most 1 MiB")
    key_id = request.headers.get("github-public-key-identifier", "")
    signature = request.headers.get("github-public-key-signature", "")
    leaks.verify_signature(request.body, key_id, signature, broker.disclosure_keys, broker.now())
    return leaks.read_matches(request.body)


def _burn_leaked(match: leaks.Match, broker: Broker) -> None:
    leak = Leak(type=match.kind, url=match.url, source=match.source)
    try:
        if match.token is not None:
            leak.token_hash = hash_prefix(match.token.hash)
            leak.burned = _burn(match.token, None, broker)
    except StoreUnavailable as problem:
        broker.audit(leak.refused(problem))
        raise  # secret scanning sends the list again; what is burned stays burned
    broker.audit(leak.accepted())


def health(context: Context[Broker, Other]) -> Response:
    """Return 200 when the store answers; raise StoreUnavailable when it does not."""
    if context.destination.base_path:
        raise NotFound("there is nothing at this address")
    broker = context.services
    if not broker.health.is_good(broker.store.load_configuration):
        raise StoreUnavailable("the store does not answer")
    headers = {
        "Content-Type": "text/plain",
        "Cache-Control": "no-store",
        "Content-Length": str(len(_HEALTHY)),  # of GET's answer, even if HEAD has no body
    }
    return Response(200, b"" if context.request.method == "HEAD" else _HEALTHY, headers)


ROUTES: Final[Routes[Broker]] = Routes(
    Route(paths.WELL_KNOWN, ("GET",), well_known),
    Route(paths.RECEIPT_KEYS, ("GET",), receipt_keys),
    Route(paths.DISCOVER, ("GET",), beside_upload),
    Route(paths.AUDIENCE, ("GET",), audience),
    Route(paths.MINT, ("POST",), mint, event=Exchange),
    Route(paths.GITHUB_MINT, ("POST",), mint, event=Exchange),
    Route(paths.MINT_READ, ("POST",), mint_to_read, event=ReadExchange),
    Route(paths.BURN, ("POST",), burn, event=Burn),
    Route(paths.DISCLOSE, ("POST",), disclose, event=Disclosure),
    Route(paths.HEALTH, READING, health, is_probe=True),
)
