"""Ask AWS what is deployed, for ``pytp-broker doctor``: every call only describes.

A call that AWS refuses is an answer, too. It says which right is missing, and the checks go on.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final

from botocore.config import Config

from pytp_broker.aws.api.errors import CallError
from pytp_broker.aws.boto import Clients, command_clients
from pytp_broker.aws.deployments import Address, NotOpenedError

# A check has seconds, and there are dozens.
_CONFIG: Final = Config(
    read_timeout=8, retries={"mode": "standard", "total_max_attempts": 2}, max_pool_connections=40
)
# The rights whose names differ from the names of the calls.
_RIGHTS: Final = {
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:ListObjectsV2": "s3:ListBucket",
}
_DENIED: Final = re.compile(
    "AccessDenied|AccessDeniedException|AuthorizationError|UnauthorizedOp.*"
)


@dataclass(frozen=True, slots=True)
class Described:
    """What AWS has answered: or its error ``code``, and the ``right`` that is missing."""

    document: Mapping[str, Any] = field(default_factory=dict)
    code: str = ""
    right: str = ""


class Inspection:
    """Asks the services of one account and region; threads may share it."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._made: dict[str, Any] = {}
        self._lock = Lock()

    def describe(self, service: str, operation: str, **parameters: Any) -> Described:  # noqa: ANN401
        """Return the answer to one call, or why there is none."""
        return self._told(service, operation, parameters, is_paged=False)

    def describe_all(self, service: str, operation: str, **parameters: Any) -> Described:  # noqa: ANN401
        """Return the answers to a call that comes in pages, as one."""
        return self._told(service, operation, parameters, is_paged=True)

    def _told(
        self, service: str, operation: str, parameters: Mapping[str, Any], *, is_paged: bool
    ) -> Described:
        try:
            client = self._client(service)
            if is_paged:
                return Described(client.all_pages(operation, **parameters))
            return Described(getattr(client, operation)(**parameters))
        except CallError as error:
            is_denied = _DENIED.fullmatch(error.code) is not None
            right = right_of(service, operation) if is_denied else ""
            return Described(code=error.code, right=right)
        except ValueError:  # any call may raise it for a text that is not a URL
            return Described(code="InvalidEndpoint")

    def _client(self, service: str) -> Any:  # noqa: ANN401 - of any service
        with self._lock:
            if service not in self._made:
                maker = {"s3": self._clients.s3}.get(service)
                self._made[service] = maker() if maker else self._clients.other(service)
            return self._made[service]


def right_of(service: str, operation: str) -> str:
    """Return the name that IAM has for a call."""
    if service == "apigatewayv2":
        return "apigateway:GET"
    name = "".join(part.capitalize() for part in operation.split("_")).replace("Ttl", "TTL")
    right = f"{service}:{name}"
    return _RIGHTS.get(right, right)


def open_inspection(address: Address) -> Inspection:
    """Return what asks about the broker at an address; raise NotOpenedError."""
    try:
        clients = command_clients(address.region, address.endpoint_url)
    except CallError as error:  # such as a profile that is not there
        raise NotOpenedError([f"cannot reach the deployment: {error}"]) from None
    return Inspection(Clients(clients.session, clients.config.merge(_CONFIG), address.endpoint_url))
