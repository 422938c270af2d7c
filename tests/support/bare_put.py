"""A server that takes a PUT over TLS and writes it to the disk, and does nothing else.

It says what this machine can do: nothing that also checks what arrives can be faster.
"""

import http.client
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trustme

BLOCK_BYTES: Final = 1 << 20
_SERVER: Final = """
import http.server, ssl, sys
folder, certificate = sys.argv[1:]
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_PUT(self):
        left = int(self.headers["Content-Length"])
        with open(f"{folder}/put.bin", "wb") as file:
            while left:
                block = self.rfile.read1(min(left, 1 << 20))
                left -= len(block)
                file.write(block)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


@dataclass(frozen=True, slots=True)
class BareServer:
    """The running server."""

    port: int
    context: ssl.SSLContext

    def seconds_for(self, path: Path) -> float:
        """Return how long it takes to send a file, its connection included."""
        began = time.perf_counter()
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, context=self.context, blocksize=BLOCK_BYTES
        )
        with path.open("rb") as file:
            length = str(path.stat().st_size)
            connection.request("PUT", f"/{path.name}", file, {"Content-Length": length})
            assert connection.getresponse().read() == b""
        connection.close()
        return time.perf_counter() - began


@contextmanager
def bare_server(folder: Path) -> Iterator[BareServer]:
    """Run the server in a process of its own, with files in a folder."""
    authority = trustme.CA()
    certificate = folder / "bare.pem"
    leaf = authority.issue_cert("127.0.0.1")
    leaf.private_key_and_cert_chain_pem.write_to_path(certificate)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    command = [sys.executable, "-c", _SERVER, str(folder), str(certificate)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield BareServer(int(process.stdout.readline()), context)
        finally:
            process.kill()
