"""Write the pages for people: fill the templates with what the index has.

Templates escape all that they are given. The one exception is the HTML of a description, which
``describe`` has sanitised.
"""

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pytp_broker.file_sizes import write_size
from pytp_broker.index.web.snippets import Install, stanza
from pytp_broker.index.web.style import style_url
from pytp_broker.index.web.website import Part, ShownProject, Site
from pytp_broker.redaction import printable

_TEMPLATES: Final = Path(__file__).with_name("templates")


def projects_page(site: Site, names: Part[str], query: str) -> bytes:
    """Return the list of projects, or of those whose name has the query in it."""
    return _fill("projects.html", site=site, names=names, query=query)


def project_page(site: Site, shown: ShownProject) -> bytes:
    """Return the page of a project, which shows one of its releases."""
    return _fill("project.html", site=site, shown=shown, install=_install(site, shown))


def _install(site: Site, shown: ShownProject) -> Install | None:
    if shown.details is None:
        return None
    version = shown.details.release.spelling
    return Install(site.registry, shown.project, version, site.index_url)


def _fill(template: str, **values: Any) -> bytes:  # noqa: ANN401 - as Jinja2 takes them
    return _environment().get_template(template).render(**values).encode()


def prepare() -> None:
    """Compile the templates, so that the first page need not wait for that."""
    for name in _environment().list_templates():
        _environment().get_template(name)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "size": write_size,
        "date": _date,
        "moment": _moment,
        "printable": printable,
        "safe_html": Markup,
    }
    environment.globals |= {"stanza": stanza, "style_url": style_url()}
    return environment


def _date(at: datetime) -> str:
    utc = at.astimezone(UTC)
    return f"{utc.day} {utc:%b %Y}"


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds")
