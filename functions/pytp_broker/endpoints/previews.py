"""A staged release at its own address, which the token in it makes readable (PEP 694).

Nobody needs another credential, and no cache keeps an answer: a preview ends with its session.
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

from pytp_broker.audit.requests import Other
from pytp_broker.endpoints.index_files import answer_content, answer_metadata, wanted_file
from pytp_broker.endpoints.index_pages import project_in, represent
from pytp_broker.endpoints.routing import Context
from pytp_broker.errors import NotFound
from pytp_broker.http import paths
from pytp_broker.http.browsers import PAGE_HEADERS
from pytp_broker.http.messages import Response
from pytp_broker.http.negotiation import JSON, choose_type
from pytp_broker.index import pages
from pytp_broker.index.listings import ProjectListing
from pytp_broker.index.previews import find_preview, find_previewed_file
from pytp_broker.services import Index

# The address holds the token, so no cache keeps an answer, and no link leads it to another host.
_PRIVATE: Final[Mapping[str, str]] = {**PAGE_HEADERS, "Cache-Control": "no-store"}

AnyContext: TypeAlias = Context[Index, Other]


def stage_projects(context: AnyContext) -> Response:
    """Return the list of the one project that is staged here, or a redirect to it."""
    listing = _find(context)
    if not context.destination.path.endswith("/"):
        return _redirect(paths.PROJECTS.url(_base(context)))
    content_type, names = _chosen_type(context), [listing.project]
    if content_type == JSON:
        return represent(context.request, content_type, pages.projects_json(names), _PRIVATE)
    body = pages.projects_html(names, _base(context))
    return represent(context.request, content_type, body, _PRIVATE)


def stage_project(context: AnyContext) -> Response:
    """Return the page of a staged release, or a redirect from another spelling of its address."""
    listing, name = _find(context), project_in(context)
    if name != listing.project:
        raise NotFound("this staged release is of another project")
    if name != context.variables["project"] or not context.destination.path.endswith("/"):
        return _redirect(paths.PROJECT.url(_base(context), project=name))
    content_type = _chosen_type(context)
    render = pages.project_json if content_type == JSON else pages.project_html
    return represent(context.request, content_type, render(listing, _base(context)), _PRIVATE)


def stage_file(context: AnyContext) -> Response:
    """Return the bytes or the metadata of a staged file, or a redirect to the bytes."""
    index, given = context.services, context.variables
    registry, token = context.destination.registry.name, given["session"]
    filename, is_metadata = wanted_file(given["filename"])
    file = find_previewed_file(registry, token, given["sha256"], filename, index)
    if is_metadata:
        return answer_metadata(context.request, file, index, _PRIVATE)
    return answer_content(context.request, file, index, _PRIVATE)


def _find(context: AnyContext) -> ProjectListing:
    registry, token = context.destination.registry.name, context.variables["session"]
    return find_preview(registry, token, context.services)


def _base(context: AnyContext) -> str:
    """Return the path that the pages of this staged release begin with."""
    token = context.variables["session"]
    return paths.STAGE.url(context.destination.base_path, session=token)


def _chosen_type(context: AnyContext) -> str:
    return choose_type(context.request.headers.get("accept", ""))


def _redirect(path: str) -> Response:
    return Response(301, headers={**_PRIVATE, "Location": path})
