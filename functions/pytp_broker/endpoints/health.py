"""``GET /_/health``: whether the store answers. Nothing else is said, and nothing is recorded."""

from typing import Final

from pytp_broker.errors import StoreUnavailable
from pytp_broker.http.messages import Request, Response
from pytp_broker.services import Broker

_BODY: Final = b"ok\n"


def health(request: Request, broker: Broker) -> Response:
    """Return 200 when the store answers; raise StoreUnavailable when it does not."""
    if not broker.health.is_good(broker.store.load_configuration):
        raise StoreUnavailable("the store does not answer")
    headers = {
        "Content-Type": "text/plain",
        "Cache-Control": "no-store",
        "Content-Length": str(len(_BODY)),  # of GET's answer, also where HEAD leaves it out
    }
    return Response(200, b"" if request.method == "HEAD" else _BODY, headers)
