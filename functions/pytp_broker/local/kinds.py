"""Kinds of requests: which lane each takes, and what body it may have."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pytp_broker.errors import Unauthorized
from pytp_broker.http import paths
from pytp_broker.http.credentials import read_token
from pytp_broker.http.paths import below_prefix
from pytp_broker.local.bodies import BodyLimits
from pytp_broker.local.gateway_events import HttpRequest
from pytp_broker.local.lanes import Lane
from pytp_broker.local.objects import Objects, is_object
from pytp_broker.local.routes import Selected

# Only uploads are larger; the largest other body is a disclosure. Anybody may send one, so what we
# keep in memory needs a limit.
MAX_SMALL_BODY_BYTES: Final = 1024 * 1024
# How long a body may take to arrive, and how many bytes give it one second more. A client that
# sends half of a body keeps its place for that long. At 10 Mbit/s, 1 GiB takes 860 s of 16,444.
UPLOAD_SECONDS: Final = 60
UPLOAD_BYTES_PER_SECOND: Final = 64 * 1024
SMALL_BODY_SECONDS: Final = 10
SMALL_BODY_BYTES_PER_SECOND: Final = 16 * 1024
# How many requests are answered at a time, how many wait, and for how many seconds. uv and pip read
# pages and files over some fifty connections. Uploads are few at a time, since each takes disk and
# a thread; a build of 64 parts uploads all of them together, over one line. Waiting costs no more
# than the connection, so there is room for such a build beside others that wait.
_MAX_REQUESTS: Final = 128
_MAX_WAITING_REQUESTS: Final = 1024
_WAIT_SECONDS: Final = 15
_MAX_UPLOADS: Final = 16
_MAX_WAITING_UPLOADS: Final = 1024
_UPLOAD_WAIT_SECONDS: Final = 600
_UPLOADS: Final = "UploadFunction"
# Every job needs these before it can upload, so neither readers nor uploads may block them.
_TOKEN_FUNCTIONS: Final = ("BrokerFunction", "IntrospectFunction")


@dataclass(frozen=True, slots=True)
class Kind:
    """Requests of one kind."""

    lane: Lane
    limits: BodyLimits
    is_body_read: bool = True
    is_upload: bool = False
    is_object: bool = False


class Kinds:
    """All kinds of requests, and the lanes that they share."""

    def __init__(self, objects: Objects | None) -> None:
        """``objects`` takes bytes at signed addresses, if this server does."""
        self._objects = objects
        small = BodyLimits(MAX_SMALL_BODY_BYTES, SMALL_BODY_SECONDS, SMALL_BODY_BYTES_PER_SECOND)
        nothing = BodyLimits(0, UPLOAD_SECONDS, UPLOAD_BYTES_PER_SECOND)
        uploads = Lane(_MAX_UPLOADS, _MAX_WAITING_UPLOADS, _UPLOAD_WAIT_SECONDS)
        tokens = Lane(_MAX_REQUESTS, _MAX_WAITING_REQUESTS, _WAIT_SECONDS)
        others = Lane(_MAX_REQUESTS, _MAX_WAITING_REQUESTS, _WAIT_SECONDS)
        self.lanes: Final[Mapping[str, Lane]] = {
            "uploads": uploads,
            "tokens": tokens,
            "others": others,
        }
        self._upload = Kind(uploads, nothing, is_upload=True)
        self._stranger = Kind(others, nothing, is_body_read=False)
        self._object = Kind(uploads, nothing, is_object=True)
        self._strange_object = Kind(others, nothing, is_object=True)
        self._token_request = Kind(tokens, small)
        self._other = Kind(others, small)

    def of(self, request: HttpRequest, selected: Selected | None) -> Kind:
        """Return the kind of a request. Not every request to the upload function is an upload."""
        function = selected and selected.route.function
        if self._objects is not None and is_object(request.path):
            return self._object if self._objects.takes(request) else self._strange_object
        if function in _TOKEN_FUNCTIONS:
            return self._token_request
        if function == _UPLOADS and _is_upload(request.path):
            return self._upload if _has_token(request) else self._stranger
        return self._other


def _is_upload(path: str) -> bool:
    """Return whether a path is that of an upload, at a root or below a registry's prefix."""
    places = (path, below_prefix(path))
    return any(known.match(each) is not None for known in paths.UPLOADS for each in places)


def _has_token(request: HttpRequest) -> bool:
    """Return whether a request carries what looks like an upload token."""
    try:
        read_token(request.fields)
    except Unauthorized:
        return False
    return True
