"""Requests to the WSGI application behind a guard: a client's without its token, and our own."""

import hashlib
import io
from collections.abc import Callable, Iterable
from typing import Any, Final

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

# What a request to pypiserver never has: who asks is the guard's business.
_DROPPED: Final = frozenset(
    {"HTTP_AUTHORIZATION", "REMOTE_USER", "AUTH_TYPE", "HTTP_TRANSFER_ENCODING"}
)


def without_body(environ: Environ) -> Environ:
    """Return a request without what pypiserver does not need: the token, the user and the body."""
    kept = {name: value for name, value in environ.items() if name not in _DROPPED}
    return kept | {"CONTENT_LENGTH": "0", "CONTENT_TYPE": "", "wsgi.input": io.BytesIO()}


def internal_request(environ: Environ, method: str, path: str) -> Environ:
    """Return a request of our own: nothing of it but the server's address is the client's."""
    kept = {n: v for n, v in without_body(environ).items() if not n.startswith("HTTP_")}
    return kept | {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": ""}


def answer_of(inner: Application, environ: Environ) -> tuple[int, str]:
    """Return the status of pypiserver's answer, and the digest of its body."""
    seen: list[str] = []

    def start_response(status: str, _headers: object, _error: object = None) -> None:
        seen.append(status)

    digest = hashlib.sha256()
    body = inner(environ, start_response)
    for piece in body:
        digest.update(piece)
    if close := getattr(body, "close", None):
        close()
    return int(seen[-1].partition(" ")[0]), digest.hexdigest()
