"""The public keys of receipts, for everybody who verifies one."""

import json
from typing import Final

from pytp_broker.audit.requests import Other
from pytp_broker.endpoints.routing import Context
from pytp_broker.errors import NotFound
from pytp_broker.http import paths
from pytp_broker.http.messages import Response
from pytp_broker.provenance.receipt_keys import KeyDocument
from pytp_broker.services import Broker

_TYPE: Final = "application/jwk-set+json"  # RFC 7517 §8.5.2
# A revocation must be seen soon, by everybody behind a cache too.
MAX_AGE_SECONDS: Final = 60


def receipt_keys(context: Context[Broker, Other]) -> Response:
    """Return every key of the deployment, old ones and revoked ones too.

    At the root of a registry's own host the document names the registry. So a receipt of another
    registry is refused there.
    """
    destination, services = context.destination, context.services
    if destination.base_path:
        raise NotFound(f"this endpoint is at the root of the host: ask {paths.RECEIPT_KEYS}")
    keys = {key.key_id: key for key in services.receipt_keys.current()}
    registry = None if destination.is_shared_root else destination.registry.name
    document = KeyDocument(services.shared_host, keys, registry).document()
    headers = {"Content-Type": _TYPE, "Cache-Control": f"public, max-age={MAX_AGE_SECONDS}"}
    return Response(200, json.dumps(document, separators=(",", ":")).encode(), headers)
