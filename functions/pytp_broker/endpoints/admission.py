"""How large the body of an upload may be, before any of it is read.

A server on one machine takes bodies of gigabytes, so it reads none whose sender could not upload
anything.
"""

from typing import Final

from pytp_broker.access import Caller, verify_uploader
from pytp_broker.destinations import locate
from pytp_broker.endpoints.events import Event, read_event
from pytp_broker.errors import Problem
from pytp_broker.grants import Permission
from pytp_broker.http.credentials import read_token
from pytp_broker.services import Index

# What a form may have beside its file: the description, attestations, a thousand dependencies.
MAX_FIELDS_BYTES: Final = 8 * 1024 * 1024


def max_body_bytes(event: Event, index: Index) -> int:
    """Return how large the body of an upload may be; 0 if its sender may not upload now.

    Then the function refuses the request without its body, and says why. ``event`` has no body.
    """
    request = read_event(event)
    try:
        configuration = index.configurations.current()
        registry = locate(configuration, request.host, request.path, index.shared_host).registry
        caller = Caller(read_token(request.headers), Permission.UPLOAD, registry, configuration)
        verify_uploader(caller, index)
    except Problem:
        return 0
    return min(registry.max_file_size + MAX_FIELDS_BYTES, index.max_upload_bytes)
