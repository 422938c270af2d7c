"""The read function: what installers ask for (PEP 503, PEP 691, PEP 658), and receipts."""

from typing import Final

from pytp_broker.audit.requests import Other
from pytp_broker.endpoints.index_files import answer_content, answer_metadata, wanted_file
from pytp_broker.endpoints.index_pages import check_repeatable, page, project_in, redirect
from pytp_broker.endpoints.previews import stage_file, stage_project, stage_projects
from pytp_broker.endpoints.project_pages import answer_project
from pytp_broker.endpoints.provenance import provenance
from pytp_broker.endpoints.receipts import receipt
from pytp_broker.endpoints.routing import READING, Context, Route, Routes
from pytp_broker.grants import Permission
from pytp_broker.http import paths
from pytp_broker.http.caching import file_caching
from pytp_broker.http.messages import Response
from pytp_broker.http.negotiation import JSON, choose_type
from pytp_broker.index import pages
from pytp_broker.index.reading import find_file
from pytp_broker.services import Index


def projects(context: Context[Index, Other]) -> Response:
    """Return the list of all projects with a file, or a redirect from its other address."""
    registry, base_path = context.destination.registry.name, context.destination.base_path
    if not _ends_in_slash(context):
        return redirect(context, paths.PROJECTS.url(base_path))
    names = context.services.store.list_projects(registry)
    content_type = choose_type(context.request.headers.get("accept", ""))
    if content_type == JSON:
        return _page(context, content_type, pages.projects_json(names))
    return _page(context, content_type, pages.projects_html(names, base_path))


def project(context: Context[Index, Other]) -> Response:
    """Return a project's page, or a redirect from another spelling of its address."""
    base_path, name = context.destination.base_path, project_in(context)
    if name != context.variables["project"] or not _ends_in_slash(context):
        check_repeatable(name)
        return redirect(context, paths.PROJECT.url(base_path, project=name))
    return answer_project(context, name)


def _ends_in_slash(context: Context[Index, Other]) -> bool:
    return context.destination.path.endswith("/")


def _page(context: Context[Index, Other], content_type: str, body: bytes) -> Response:
    return page(context, content_type, body, varies_by=("Accept",))


def file(context: Context[Index, Other]) -> Response:
    """Return a file's bytes or its metadata, or a redirect to the bytes.

    Raises NotFound, which includes metadata that is not advertised, and RangeNotSatisfiable for a
    range outside the file.
    """
    registry, sha256 = context.destination.registry, context.variables["sha256"]
    filename, is_metadata = wanted_file(context.variables["filename"])
    found = find_file(registry.name, sha256, filename, context.services)
    caching = file_caching(is_public=registry.is_public)
    if is_metadata:
        return answer_metadata(context.request, found, context.services, caching)
    return answer_content(context.request, found, context.services, caching)


ROUTES: Final[Routes[Index]] = Routes(
    Route(paths.PROJECTS, READING, projects, needs=Permission.READ),
    Route(paths.PROJECT, READING, project, needs=Permission.READ),
    Route(paths.FILE, READING, file, needs=Permission.READ),
    Route(paths.RECEIPT, READING, receipt, needs=Permission.READ),
    Route(paths.PROVENANCE, READING, provenance, needs=Permission.READ),
    Route(paths.STAGE_PROJECTS, READING, stage_projects),
    Route(paths.STAGE_PROJECT, READING, stage_project),
    Route(paths.STAGE_FILE, READING, stage_file),
)
