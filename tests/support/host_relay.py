"""A relay on loopback that sends each request on with another host name.

The emulator finds an API by the header Host, and a real client has no name for that host.
"""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Final

import requests

Call = Callable[..., requests.Response]
_HOP_BY_HOP: Final = {"connection", "content-encoding", "content-length", "transfer-encoding"}


@contextmanager
def relayed(call: Call, certificate: Path) -> Iterator[str]:
    """Serve what ``call(method, path, headers=…, data=…)`` answers, over TLS; yield the URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(call))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"https://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _handler_for(call: Call) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _relay(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            given = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            answer = call(self.command, self.path, headers=given, data=body)
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_HEAD = do_POST = _relay  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    return Handler
