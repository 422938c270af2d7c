"""The read function: what installers ask for (PEP 503, PEP 691, PEP 658)."""

from typing import Final

from pytp_broker.audit.requests import Other
from pytp_broker.endpoints.routing import READING, Context, Route, Routes
from pytp_broker.http import paths
from pytp_broker.http.messages import Response
from pytp_broker.index.reading import send_file, show_project, show_projects
from pytp_broker.services import Index


def projects(context: Context[Index, Other]) -> Response:
    """Return the list of projects."""
    is_canonical = _ends_in_slash(context)
    return show_projects(
        context.request, context.destination, context.services, is_canonical=is_canonical
    )


def project(context: Context[Index, Other]) -> Response:
    """Return a project's page."""
    return show_project(
        context.request,
        context.destination,
        context.services,
        context.variables["project"],
        is_canonical=_ends_in_slash(context),
    )


def _ends_in_slash(context: Context[Index, Other]) -> bool:
    return context.destination.path.endswith("/")


def file(context: Context[Index, Other]) -> Response:
    """Return a file's bytes or its metadata."""
    return send_file(context.request, context.destination, context.services, **context.variables)


ROUTES: Final[Routes[Index]] = (
    Route(paths.PROJECTS, READING, projects),
    Route(paths.PROJECT, READING, project),
    Route(paths.FILE, READING, file),
)
