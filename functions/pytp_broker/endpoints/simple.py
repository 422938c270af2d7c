"""``GET /simple/…`` and ``GET /files/…``: what installers read (PEP 503, PEP 691, PEP 658)."""

from typing import Final

from pytp_broker.destinations import Destination
from pytp_broker.endpoints.routing import READING, Read, Routes
from pytp_broker.errors import NotFound
from pytp_broker.http import paths
from pytp_broker.http.messages import Request, Response
from pytp_broker.index.reading import send_file, show_project, show_projects
from pytp_broker.services import Index

_SIMPLE: Final = str(paths.PROJECTS)
_FILES: Final = "/files/"


def projects(request: Request, destination: Destination, index: Index) -> Response:
    """Return the list of projects: ``/simple/``."""
    is_canonical = destination.path == _SIMPLE
    return show_projects(request, destination, index, is_canonical=is_canonical)


def project(request: Request, destination: Destination, index: Index) -> Response:
    """Return a project's page: ``/simple/NAME/``."""
    name, *rest = destination.path.removeprefix(_SIMPLE).split("/")
    if rest not in ([], [""]):
        raise NotFound("there is nothing at this address")
    return show_project(request, destination, index, name, is_canonical=bool(rest))


def file(request: Request, destination: Destination, index: Index) -> Response:
    """Return a file's bytes or metadata: ``/files/SHA256/NAME``."""
    segments = destination.path.removeprefix(_FILES).split("/")
    if len(segments) != 2:  # noqa: PLR2004 - the hash and the name
        raise NotFound("there is nothing at this address")
    return send_file(request, destination, index, *segments)


ROUTES: Final[Routes[Index]] = {
    _SIMPLE: Read(READING, projects),
    _SIMPLE.rstrip("/"): Read(READING, projects),
    _SIMPLE + "*": Read(READING, project),
    _FILES + "*": Read(READING, file),
}
