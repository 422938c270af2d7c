"""A DynamoDB that answers at once: it reads rows that it was given, and says yes to every write.

It answers over TLS. A benchmark runs it in a process of its own, so that it measures its client
alone: ``python -m tests.support.instant_store ROWS CERTIFICATE`` prints its port. The rows are a
JSON list of items in DynamoDB's own form, and the certificate is a PEM file with its key. A test
runs it in a thread, and sees which requests it got.
"""

import json
import socket
import ssl
import sys
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any, Final

import trustme

from tests.support.module_process import module_process

_RECEIVED: Final = 64 * 1024


class Rows:
    """Items by their keys."""

    def __init__(self, items: list[dict[str, Any]]) -> None:
        self._partitions: dict[str, dict[str, Any]] = defaultdict(dict)
        for item in items:
            self.put(item)

    def put(self, item: dict[str, Any]) -> None:
        """Keep an item."""
        self._partitions[item["pk"]["S"]][item["sk"]["S"]] = item

    def answer(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to a request; every write succeeds and changes nothing."""
        if operation == "Query":
            return self._query(request["ExpressionAttributeValues"])
        if operation == "GetItem":
            item = self._find(request["Key"])
            return {} if item is None else {"Item": item}
        if operation == "BatchGetItem":
            ((table, asked),) = request["RequestItems"].items()
            found = [item for item in map(self._find, asked["Keys"]) if item is not None]
            return {"Responses": {table: found}, "UnprocessedKeys": {}}
        return {}

    def _query(self, values: Mapping[str, Any]) -> dict[str, Any]:
        prefix = values.get(":prefix", {"S": ""})["S"]
        rows = self._partitions[values[":pk"]["S"]].items()
        items = [item for sk, item in rows if sk.startswith(prefix)]
        return {"Items": items, "Count": len(items), "ScannedCount": len(items)}

    def _find(self, key: Mapping[str, Any]) -> dict[str, Any] | None:
        return self._partitions[key["pk"]["S"]].get(key["sk"]["S"])


class KeptRows(Rows):
    """Items that are written, too, and the names of the operations that were asked for."""

    def __init__(self, items: list[dict[str, Any]]) -> None:
        super().__init__(items)
        self.asked: list[str] = []

    def answer(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to a request."""
        self.asked.append(operation)
        if operation == "PutItem":
            self.put(request["Item"])
        return super().answer(operation, request)


class InstantStore:
    """A server on a free port; a thread for each connection."""

    def __init__(self, rows: Rows, certificate: str) -> None:
        self._rows = rows
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(certificate)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.connections = 0

    def serve(self) -> None:
        """Answer until the process is ended."""
        while True:
            accepted, _ = self._listening.accept()
            self.connections += 1
            # Otherwise an answer waits 40 ms for the client's acknowledgement.
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Thread(
                target=_answer_all, args=(self._context, accepted, self._rows), daemon=True
            ).start()


def make_certificate(folder: Path) -> str:
    """Make a certificate for this machine, and beside it `ca.pem`; return its file."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    return str(folder / "server.pem")


def environment_of(port: int, folder: Path) -> dict[str, str]:
    """Return the environment with which a function finds the store."""
    return {
        "AWS_ENDPOINT_URL": f"https://127.0.0.1:{port}",
        "AWS_CA_BUNDLE": str(folder / "ca.pem"),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextmanager
def run_instant_store(folder: Path, items: list[dict[str, Any]]) -> Iterator[dict[str, str]]:
    """Run a store with these items in a process; yield the environment of its functions."""
    certificate = make_certificate(folder)
    (folder / "rows.json").write_text(json.dumps(items))
    with module_process(__name__, folder / "rows.json", certificate) as (_, port):
        yield environment_of(port, folder)


def _answer_all(context: ssl.SSLContext, accepted: socket.socket, rows: Rows) -> None:
    try:
        with context.wrap_socket(accepted, server_side=True) as connection:
            for operation, request in _requests(connection):
                body = json.dumps(rows.answer(operation, request)).encode()
                connection.sendall(_head(body) + body)
    except OSError:
        accepted.close()


def _requests(connection: ssl.SSLSocket) -> Iterator[tuple[str, Any]]:
    received = b""
    while True:
        while b"\r\n\r\n" not in received:
            more = connection.recv(_RECEIVED)
            if not more:
                return
            received += more
        head, _, received = received.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        headers = {name.lower(): value for name, value in fields.items()}
        length = int(headers["content-length"])
        while len(received) < length:
            received += connection.recv(_RECEIVED)
        body, received = received[:length], received[length:]
        yield headers["x-amz-target"].partition(".")[2], json.loads(body)


def _head(body: bytes) -> bytes:
    lines = (
        "HTTP/1.1 200 OK",
        "Server: Server",
        "Date: Sun, 29 Nov 2026 12:00:00 GMT",
        "Content-Type: application/x-amz-json-1.0",
        f"Content-Length: {len(body)}",
        "Connection: keep-alive",
        "x-amzn-RequestId: 7NQ3AQ2T6B8E4UQ9A8U3L1M2N5VV4KQNSO5AEMVJF66Q9ASUAAJG",
        f"x-amz-crc32: {zlib.crc32(body)}",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def main() -> None:
    """Serve what the arguments name, and print the port."""
    store = InstantStore(Rows(json.loads(Path(sys.argv[1]).read_text())), sys.argv[2])
    sys.stdout.write(f"{store.port}\n")
    sys.stdout.flush()
    store.serve()


if __name__ == "__main__":
    main()
