"""Answer with the provenance of a file (PEP 740), on the wire of PyPI's integrity API."""

from typing import Final

from pytp_broker.audit.requests import Other
from pytp_broker.endpoints.index_pages import project_in, represent
from pytp_broker.endpoints.routing import Context
from pytp_broker.errors import NotAcceptable
from pytp_broker.http.browsers import NO_SNIFFING
from pytp_broker.http.caching import page_caching
from pytp_broker.http.messages import Response
from pytp_broker.http.negotiation import PLAIN_JSON, choose_json
from pytp_broker.index.attesting import check_served, read_attestations, write_provenance
from pytp_broker.index.reading import find_file_of_release
from pytp_broker.services import Index

INTEGRITY: Final = "application/vnd.pypi.integrity.v1+json"


def provenance(context: Context[Index, Other]) -> Response:
    """Return the provenance object of a file; raise Withheld, which says what is known.

    Another verification may change what is known, so a cache asks each time.
    """
    registry, variables, index = context.destination.registry, context.variables, context.services
    content_type = _choose_type(context.request.headers.get("accept", ""))
    version, filename = variables["version"], variables["filename"]
    file = find_file_of_release(registry.name, project_in(context), version, filename, index)
    check_served(file)
    document = write_provenance(file, read_attestations(file, index))
    varies_by = ("Accept", "Accept-Encoding")
    caching = page_caching(is_public=registry.is_public, varies_by=varies_by)
    return represent(context.request, content_type, document, {**NO_SNIFFING, **caching})


def _choose_type(accept: str) -> str:
    """Return the type of the integrity API, or JSON for a client that likes that better."""
    chosen = choose_json(accept, INTEGRITY)
    if chosen is None:
        raise NotAcceptable(f"provenance is {INTEGRITY} or {PLAIN_JSON}: accept one of these")
    return chosen
