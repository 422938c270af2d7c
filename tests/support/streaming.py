"""Send a file through the local server and back, and print the most memory that it took.

It is run as a program, in a process of its own: `python -P -m tests.support.streaming SIZE`.
"""

import asyncio
import hashlib
import json
import socket
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from pytp_broker.content import Lent, read_pieces
from pytp_broker.local import server
from pytp_broker.local.objects import Objects
from pytp_broker.storage.file_folder import FolderFiles
from tests.support.gateways import Gateway
from tests.support.huge_archives import zeros
from tests.support.memory import peak_memory

KEY: Final = f"staged/acme/{'0' * 32}/widgets-1.0-py3-none-any.whl"
_PIECE: Final = 1 << 20
_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def _sha256(size: int) -> str:
    digest = hashlib.sha256()
    for piece in read_pieces(zeros(size), length=_PIECE):
        digest.update(piece)
    return digest.hexdigest()


async def _put(streams: _Streams, files: FolderFiles, size: int) -> str:
    reader, writer = streams
    target = files.upload_target(KEY, size, _sha256(size), datetime.now(UTC))
    lines = [f"PUT {target.url} HTTP/1.1", "Host: x"]
    lines += [f"{name}: {value}" for name, value in target.headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    for piece in read_pieces(zeros(size), length=_PIECE):
        writer.write(bytes(piece))
        await writer.drain()
    return (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0].decode()


async def _get(streams: _Streams, size: int) -> int:
    reader, writer = streams
    writer.write(b"GET /file HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    received = 0
    while received < size:
        received += len(await reader.read(_PIECE))
    return received


async def _send_both_ways(files: FolderFiles, size: int) -> tuple[str, int]:
    gateway = Gateway(lambda _: _answer(files), objects=Objects(files, lambda: datetime.now(UTC)))
    listener, ready = socket.create_server(("127.0.0.1", 0)), asyncio.Event()
    running = server._Server(server._configure(gateway.app, None), ready.set)
    serving = asyncio.create_task(running.serve([listener]))
    await ready.wait()
    streams = await asyncio.open_connection(*listener.getsockname())
    said, received = await _put(streams, files, size), await _get(streams, size)
    streams[1].close()
    running.should_exit = True
    await serving
    return said, received


def _answer(files: FolderFiles) -> Mapping[str, Any]:
    with ExitStack() as stack:
        content = stack.enter_context(files.open(KEY))
        return {"statusCode": 200, "content": Lent(content, stack.pop_all().close)}


def main() -> None:
    """Print what the server said, how many bytes came back, and the most memory in bytes."""
    with TemporaryDirectory() as folder:
        files = FolderFiles(Path(folder))
        with asyncio.Runner(loop_factory=server._Loop) as runner:
            said, received = runner.run(_send_both_ways(files, int(sys.argv[1])))
    print(json.dumps([said, received, peak_memory()]))


if __name__ == "__main__":
    main()
