"""Open a destination: what is there and what authorises us; burn the token at the end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from pytp_broker.client import transport
from pytp_broker.client.ambient import Environment
from pytp_broker.client.job_tokens import NOT_BURNED
from pytp_broker.client.lent_tokens import tokens_to_lend
from pytp_broker.client.publishing.credentials import Credentials, find_credentials
from pytp_broker.client.publishing.destination import Destination, find_destination
from pytp_broker.client.publishing.plan import Index
from pytp_broker.client.uploads.api import SYSTEM, UploadApi
from pytp_broker.client.uploads.legacy import LegacyApi
from pytp_broker.client.uploads.wire import Wire
from pytp_broker.redaction import Hidden

Tell = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Address:
    """Where the user wants to publish, and the token if the user gives one."""

    url: str
    index_url: str | None
    token: Hidden | None


@dataclass(frozen=True, slots=True)
class Opened:
    """A destination with what works there; ``api`` is None where there is only the legacy API."""

    destination: Destination
    index: Index
    api: UploadApi | None
    legacy: LegacyApi


@contextmanager
def opened(address: Address, environment: Environment, tell: Tell) -> Iterator[Opened]:
    """Open a destination; raise PublishError.

    At the end the token is burned whatever happened, and ``tell`` is called if that fails.
    """
    found = find_destination(address.url, address.index_url, transport.send, SYSTEM)
    credentials = find_credentials(
        address.url, address.token, environment, lambda: tokens_to_lend(environment), SYSTEM
    )
    try:
        yield _open(found, credentials)
    finally:
        if not credentials.end():
            tell(NOT_BURNED)


def _open(found: Destination, credentials: Credentials) -> Opened:
    send, authorize = Wire().send, credentials.authorize
    api: Final = found.api_url and UploadApi(found.api_url, found.origin, send, authorize, SYSTEM)
    return Opened(
        found,
        Index(found, send, authorize, SYSTEM),
        api or None,
        LegacyApi(found.upload_url, found.origin, send, authorize, SYSTEM),
    )
