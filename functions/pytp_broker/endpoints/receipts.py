"""Answer with the receipt of a file."""

from typing import Final

from pytp_broker.audit.requests import Other
from pytp_broker.endpoints.index_pages import project_in, quote_tag
from pytp_broker.endpoints.routing import Context
from pytp_broker.errors import NotAcceptable
from pytp_broker.http.browsers import NO_SNIFFING
from pytp_broker.http.caching import file_caching
from pytp_broker.http.messages import Response
from pytp_broker.http.negotiation import PLAIN_JSON, choose_json, has_current
from pytp_broker.index.reading import find_file_of_release, read_receipt
from pytp_broker.services import Index

ENVELOPE: Final = "application/vnd.dsse.envelope.v1+json"


def receipt(context: Context[Index, Other]) -> Response:
    """Return the receipt of a file; raise NotFound, also if the file has none.

    The receipt of a file never changes.
    """
    registry, variables = context.destination.registry, context.variables
    content_type = _choose_type(context.request.headers.get("accept", ""))
    version, filename = variables["version"], variables["filename"]
    file = find_file_of_release(
        registry.name, project_in(context), version, filename, context.services
    )
    octets = read_receipt(file, context.services)
    headers = {
        "Content-Type": content_type,
        "ETag": quote_tag(str(file.receipt_sha256)),
        **NO_SNIFFING,
        **file_caching(is_public=registry.is_public, varies_by=("Accept",)),
    }
    if has_current(context.request.headers, headers["ETag"]):
        return Response(304, headers=headers)
    headers["Content-Length"] = str(len(octets))
    return Response(200, b"" if context.request.method == "HEAD" else octets, headers)


def _choose_type(accept: str) -> str:
    """Return the type of an envelope, or JSON for a client that likes that better."""
    chosen = choose_json(accept, ENVELOPE)
    if chosen is None:
        raise NotAcceptable(f"a receipt is {ENVELOPE} or {PLAIN_JSON}: accept one of these")
    return chosen
