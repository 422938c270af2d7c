"""The web function: pages for people, without a script and without anything from elsewhere.

An address without its last slash is not redirected: some gateways drop the slash, and would send
the browser in a circle.
"""

import re
from types import ModuleType
from typing import Any, Final

from pytp_broker.audit.requests import Other
from pytp_broker.endpoints import read
from pytp_broker.endpoints.index_pages import (
    check_repeatable,
    page,
    project_in,
    redirect,
    represent,
)
from pytp_broker.endpoints.routing import READING, Context, Route, Routes
from pytp_broker.errors import NotFound
from pytp_broker.grants import Permission
from pytp_broker.http import paths
from pytp_broker.http.browsers import HTML_TYPE, NO_SNIFFING
from pytp_broker.http.messages import Response
from pytp_broker.index.web.style import style, style_name
from pytp_broker.index.web.website import Part, Site, Website, find_project, find_projects
from pytp_broker.redaction import printable

_STYLE_CACHING: Final = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "Vary": "Accept-Encoding",
}
_PART: Final = re.compile(r"[0-9]{1,6}")
MAX_QUERY_CHARACTERS: Final = 200


def projects(context: Context[Website, Other]) -> Response:
    """Return the list of projects, or of those whose name has the text in ``q``."""
    site = _site(context)
    query = printable(context.request.query.get("q", "").strip(), MAX_QUERY_CHARACTERS)
    names = find_projects(site.registry, query, context.services)
    return _page(context, _pages().projects_page(site, Part.of(names, _part(context)), query))


def project(context: Context[Website, Other]) -> Response:
    """Return a project's page with its latest release."""
    site, name = _site(context), _project(context)
    if name != context.variables["project"]:
        return redirect(context, site.project(name))
    return _project_page(context, site, name, None)


def release(context: Context[Website, Other]) -> Response:
    """Return a project's page with one release."""
    site, name, version = _site(context), _project(context), context.variables["version"]
    if name != context.variables["project"]:
        return redirect(context, site.release(name, printable(version)))
    return _project_page(context, site, name, version)


def _project_page(
    context: Context[Website, Other], site: Site, name: str, version: str | None
) -> Response:
    part, services = _part(context), context.services
    shown = find_project((site.registry, name), version, part, context.configuration, services)
    return _page(context, _pages().project_page(site, shown))


def style_sheet(context: Context[Website, Other]) -> Response:
    """Return the style sheet of all pages; anybody may have it."""
    if context.variables["name"] != style_name():
        raise NotFound("there is no such style sheet: its name changes with its content")
    headers = {**_STYLE_CACHING, **NO_SNIFFING}
    return represent(context.request, "text/css; charset=utf-8", style(), headers)


def projects_for_installers(context: Context[Any, Other]) -> Response:
    """Return the list of projects that installers read, as the read function does.

    Some gateways do not take `/simple/` for the beginning of a route. They send the request here,
    because this function gets all that no route takes.
    """
    return read.projects(context)


def _pages() -> ModuleType:
    """Return the module that writes pages; raise NotFound where its libraries are missing."""
    try:
        from pytp_broker.index.web import pages
    except ModuleNotFoundError as missing:
        raise NotFound(
            f"pages for people need {missing.name}: the operator of this server installs it with "
            "pip install 'pytp-broker[web]'"
        ) from None
    return pages


def _site(context: Context[Website, Other]) -> Site:
    destination = context.destination
    origin = f"{context.request.scheme}://{destination.host}"
    registry = destination.registry
    return Site(registry.name, origin, destination.base_path, is_private=not registry.is_public)


def _project(context: Context[Website, Other]) -> str:
    """Return the normalised name of the project in the path; raise NotFound."""
    name = project_in(context)
    check_repeatable(name)
    return name


def _part(context: Context[Website, Other]) -> int:
    """Return the number of the part that ``page`` asks for; 1 if it is not a number."""
    text = context.request.query.get("page", "")
    return int(text) if _PART.fullmatch(text) else 1


def _page(context: Context[Website, Other], body: bytes) -> Response:
    return page(context, HTML_TYPE, body)


ROUTES: Final[Routes[Website]] = Routes(
    Route(paths.HOME, READING, projects, needs=Permission.READ),
    Route(paths.PROJECT_PAGE, READING, project, needs=Permission.READ),
    Route(paths.RELEASE_PAGE, READING, release, needs=Permission.READ),
    Route(paths.STYLE, READING, style_sheet),
    Route(paths.PROJECTS, READING, projects_for_installers, needs=Permission.READ),
)
