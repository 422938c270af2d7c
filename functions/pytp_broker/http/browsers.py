"""Answers to browsers: headers by which a browser runs nothing and asks no other host."""

from collections.abc import Mapping
from typing import Final

from pytp_broker.http.messages import Response

# A page has a style sheet of ours, and images that are part of the page; everything else is
# refused, whatever a description holds.
_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
HTML_TYPE: Final = "text/html; charset=utf-8"
# A browser must not guess from the content that an answer is something else than we say.
NO_SNIFFING: Final[Mapping[str, str]] = {"X-Content-Type-Options": "nosniff"}
PAGE_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": _POLICY,
    **NO_SNIFFING,
    # Another host must not learn the name of a private project from a link that somebody follows.
    "Referrer-Policy": "no-referrer",
}


def html_response(body: bytes, status: int = 200, headers: Mapping[str, str] = {}) -> Response:
    """Return a page with these further headers."""
    described = {"Content-Type": HTML_TYPE, "Content-Length": str(len(body))}
    return Response(status, body, {**PAGE_HEADERS, **described, **headers})
