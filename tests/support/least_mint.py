"""A server that does the least for a durable mint: no broker in Python can be faster.

It reads a request over TLS, verifies the signature of the identity token, writes that it was used
and the hash of an upload token, and answers once both are on the disk, together with all others of
one turn of the loop. It checks no claim, compares nothing, refuses nothing and logs nothing.
"""

import asyncio
import base64
import hashlib
import json
import secrets
import sqlite3
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from tests.support.module_process import module_process
from tests.support.peers import PeerIssuer

_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_TABLES: Final = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE used (token_id TEXT PRIMARY KEY, expires INTEGER) WITHOUT ROWID;
    CREATE TABLE tokens (hash BLOB PRIMARY KEY, expires INTEGER) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class LeastMint:
    """The running server."""

    issuer: PeerIssuer
    url: str
    ca_file: str
    pid: int
    mint: str = "/"


@contextmanager
def least_mint(folder: Path, issuer: PeerIssuer, tls: Path) -> Iterator[LeastMint]:
    """Run the server in a process of its own; ``tls`` has its certificate, key and authority."""
    folder.mkdir()
    (key,) = issuer.keys.values()
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "issuer.pem").write_bytes(pem)
    with module_process(__name__, folder, tls) as (pid, port):
        yield LeastMint(issuer, f"https://127.0.0.1:{port}", str(tls / "ca.pem"), pid)


class _Mint:
    """Makes tokens, and makes them durable together."""

    def __init__(self, folder: Path) -> None:
        key = load_pem_public_key((folder / "issuer.pem").read_bytes())
        assert isinstance(key, RSAPublicKey)
        self._key = key
        self._rows = sqlite3.connect(folder / "mint.db", isolation_level=None)
        self._rows.executescript(_TABLES)
        self._waiting: list[tuple[asyncio.Transport, bytes]] = []

    def answer(self, body: bytes, client: asyncio.Transport) -> None:
        """Answer a request after the next commit."""
        claims = self._verify(json.loads(body)["token"].encode())
        token, expires = secrets.token_urlsafe(32), int(time.time()) + 900
        self._begin()
        self._rows.execute("INSERT INTO used VALUES (?, ?)", (claims["jti"], claims["exp"]))
        hashed = hashlib.sha256(token.encode()).digest()
        self._rows.execute("INSERT INTO tokens VALUES (?, ?)", (hashed, expires))
        answer = json.dumps({"success": True, "token": token, "expires": expires}).encode()
        self._waiting.append((client, _HEAD % len(answer) + answer))

    def _verify(self, token: bytes) -> dict[str, Any]:
        signed, _, signature = token.rpartition(b".")
        self._key.verify(_decode(signature), signed, PKCS1v15(), SHA256())
        claims: dict[str, Any] = json.loads(_decode(signed.partition(b".")[2]))
        return claims

    def _begin(self) -> None:
        if not self._waiting:
            self._rows.execute("BEGIN IMMEDIATE")
            asyncio.get_running_loop().call_soon(self._commit)

    def _commit(self) -> None:
        self._rows.execute("COMMIT")
        waiting, self._waiting = self._waiting, []
        for client, answer in waiting:
            client.write(answer)


def _decode(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))


class _Connection(asyncio.Protocol):
    def __init__(self, mint: _Mint) -> None:
        self._mint = mint
        self._received = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, _, body = self._received.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if length and len(body) == int(length):
            self._received = b""
            self._mint.answer(body, self._transport)


async def _serve(folder: Path, tls: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls / "server.pem", tls / "server.key")
    mint = _Mint(folder)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(mint), "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), Path(sys.argv[2])))
