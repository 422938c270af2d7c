"""``GET /simple/…`` and ``GET /files/…``: what installers read (PEP 503, PEP 691, PEP 658)."""

from typing import Final

from pytp_broker.endpoints.routing import READING, Read, Routes
from pytp_broker.errors import NotFound
from pytp_broker.http.messages import Request, Response
from pytp_broker.index.reading import send_file, show_project, show_projects
from pytp_broker.registries import Destination
from pytp_broker.services import Index

SIMPLE_PATH: Final = "/simple/"
FILES_PATH: Final = "/files/"


def projects(request: Request, destination: Destination, index: Index) -> Response:
    """Return the list of projects: ``/simple/``."""
    is_canonical = destination.path == SIMPLE_PATH
    return show_projects(request, destination, index, is_canonical=is_canonical)


def project(request: Request, destination: Destination, index: Index) -> Response:
    """Return a project's page: ``/simple/NAME/``."""
    name, *rest = destination.path.removeprefix(SIMPLE_PATH).split("/")
    if rest not in ([], [""]):
        raise NotFound("there is nothing at this address")
    return show_project(request, destination, index, name, is_canonical=bool(rest))


def file(request: Request, destination: Destination, index: Index) -> Response:
    """Return a file's bytes or metadata: ``/files/SHA256/NAME``."""
    segments = destination.path.removeprefix(FILES_PATH).split("/")
    if len(segments) != 2:  # noqa: PLR2004 - the hash and the name
        raise NotFound("there is nothing at this address")
    return send_file(request, destination, index, *segments)


ROUTES: Final[Routes[Index]] = {
    SIMPLE_PATH: Read(READING, projects),
    SIMPLE_PATH.rstrip("/"): Read(READING, projects),
    SIMPLE_PATH + "*": Read(READING, project),
    FILES_PATH + "*": Read(READING, file),
}
