"""PEP 807 discovery: where the endpoints of an upload URL are."""

from pytp_broker.destinations import Destination
from pytp_broker.errors import NotAcceptable, NotFound
from pytp_broker.http import paths
from pytp_broker.http.messages import Request, Response, json_response
from pytp_broker.http.negotiation import accepts
from pytp_broker.services import Broker
from pytp_broker.tokens import DEFAULT_FEATURES, FEATURES

CONTENT_TYPE = "application/vnd.pypi.pytp.v1+json"
_ACCEPTED = frozenset({CONTENT_TYPE, "application/json", "application/*", "*/*"})


def well_known(request: Request, destination: Destination, broker: Broker) -> Response:
    """Answer ``/.well-known/pytp?discover=PATH`` for the path of an upload URL."""
    if destination.base_path:
        raise NotFound("ask at the root of the host: /.well-known/pytp?discover=…")
    upload_path = request.query.get("discover", "")
    found = broker.locate(request.host, upload_path)
    if found.is_shared_root or paths.LEGACY.match(found.path) is None:
        raise NotFound("`discover` must be the path of an upload URL here, such as /acme/legacy/")
    return _document(request, found)


def beside_upload(request: Request, destination: Destination, _broker: Broker) -> Response:
    """Answer ``/{registry}/_/oidc/discover`` with the same document."""
    if destination.is_shared_root:
        raise NotFound("there is no registry at this address")
    return _document(request, destination)


def _document(request: Request, destination: Destination) -> Response:
    if not accepts(request.headers.get("accept", "*/*") or "*/*", _ACCEPTED):
        raise NotAcceptable(f"this endpoint answers {CONTENT_TYPE}")
    base_url = f"{request.scheme}://{destination.host}{destination.base_path}"
    document = {
        "audience-endpoint": paths.AUDIENCE.url(base_url),
        "token-mint-endpoint": paths.MINT.url(base_url),
        "features": list(FEATURES),
        "default-features": list(DEFAULT_FEATURES),
    }
    return json_response(document, content_type=CONTENT_TYPE)
