"""``GET /_/oidc/audience``: the audience that an identity token must have (PEP 807)."""

from pytp_broker.destinations import Destination
from pytp_broker.errors import AudienceNotEnabled
from pytp_broker.http.messages import Request, Response, json_response
from pytp_broker.services import Broker


def audience(_request: Request, destination: Destination, broker: Broker) -> Response:
    """Return the destination's audience; raise AudienceNotEnabled where exchanges are off."""
    configuration = broker.configurations.current()
    if not configuration.enabled or not any(r.enabled for r in destination.registries):
        raise AudienceNotEnabled("trusted publishing is switched off here")
    return json_response({"audience": destination.audience})
