"""Send answers to clients: large answers wait on disk, and slow readers lose their connection."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from http import HTTPStatus
from tempfile import SpooledTemporaryFile
from typing import Any, Final

from pytp_broker.content import Held, Lent, Opened, read_all, read_pieces
from pytp_broker.local.gateway_events import HttpRequest
from pytp_broker.local.reasons import read_reason

# An answer is sent in chunks, so that the client can catch up in between; a large answer waits on
# disk meanwhile. The chunk is a multiple of 4, because base64 makes 4 digits of three bytes.
CHUNK_BYTES: Final = 64 * 1024
# A stored file is read in another thread, which takes some time for each chunk.
_FILE_CHUNK_BYTES: Final = 256 * 1024
_MAX_BYTES_IN_MEMORY: Final = 256 * 1024
# A client must read at least 16 KiB a second of a long answer, measured over a minute.
_PACE_SECONDS: Final = 60
_PACE_BYTES: Final = 16 * 1024 * _PACE_SECONDS

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class SlowClientError(Exception):
    """The client reads its answer too slowly to keep its place."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer for a client. The function that sends it closes its content."""

    status: int
    reason: bytes
    headers: Mapping[str, str]
    content: Lent
    is_stored: bool = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the content. Other requests do not wait for the disk of a stored file."""
        if not self.is_stored:
            for piece in read_pieces(self.content, length=CHUNK_BYTES):
                yield bytes(piece)
            return
        for offset in range(0, self.content.size, _FILE_CHUNK_BYTES):
            length = _FILE_CHUNK_BYTES
            yield bytes(await asyncio.to_thread(self.content.read_at, offset, length))


def read_result(result: Mapping[str, Any], request: HttpRequest) -> Answer:
    """Return the answer in a function's result; raise OSError when the disk is full.

    A function of this machine may leave a file where it is; then the file is sent piece by piece.
    """
    is_lent = "content" in result
    content: Lent = result["content"] if is_lent else _spool(result)
    is_stored = is_lent and not isinstance(content.content, Held)
    headers = {name.lower(): value for name, value in result.get("headers", {}).items()}
    length = str(content.size)
    reason = read_reason(headers, content)
    # Answers to HEAD and 304 have no body and state its length (RFC 9110 §8.6), which only the
    # function knows.
    if request.method == "HEAD" and length == "0":
        headers.setdefault("content-length", length)
    elif result["statusCode"] != HTTPStatus.NOT_MODIFIED:
        headers["content-length"] = length
    return Answer(result["statusCode"], reason, headers, content, is_stored)


def _spool(result: Mapping[str, Any]) -> Lent:
    is_base64 = result.get("isBase64Encoded")
    body = result.get("body", "")
    with ExitStack() as failed:
        file = failed.enter_context(SpooledTemporaryFile[bytes](_MAX_BYTES_IN_MEMORY))
        # Decode piece by piece, because the file is there to avoid a second copy in memory.
        for start in range(0, len(body), CHUNK_BYTES):
            piece = body[start : start + CHUNK_BYTES]
            file.write(base64.b64decode(piece) if is_base64 else piece.encode())
        return Lent(Opened(file, file.tell()), failed.pop_all().close)


async def send_answer(answer: Answer, send: Send) -> None:
    """Send an answer no faster than the client reads it; return when it is sent.

    Raises SlowClientError when the client reads too slowly for a minute.
    """
    with closing(answer.content):
        await send(start_of(answer))
        if answer.content.size <= CHUNK_BYTES and not answer.is_stored:
            await _send_small(answer, send)
        else:
            await _send_large(answer, send)


def start_of(answer: Answer) -> Message:
    """Return the message that begins an answer."""
    headers = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in answer.headers.items()]
    start = {"type": "http.response.start", "status": answer.status, "headers": headers}
    return {**start, "reason": answer.reason}  # not in ASGI; our protocol reads it


async def _send_small(answer: Answer, send: Send) -> None:
    """Send an answer of one chunk; the protocol itself ends a client that does not read it."""
    if octets := read_all(answer.content):
        await send({"type": "http.response.body", "body": octets, "more_body": True})
    await send({"type": "http.response.body"})


async def _send_large(answer: Answer, send: Send) -> None:
    try:
        async with asyncio.timeout(_PACE_SECONDS) as limit:
            await _send_content(answer, send, limit)
    except TimeoutError:
        raise SlowClientError from None


async def _send_content(answer: Answer, send: Send, limit: asyncio.Timeout) -> None:
    sent = 0
    async for chunk in answer.chunks():
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        sent += len(chunk)
        if sent >= _PACE_BYTES:
            sent = 0
            limit.reschedule(asyncio.get_running_loop().time() + _PACE_SECONDS)
    # The protocol waits before it sends, not after. So sending this end waits for the last chunk.
    await send({"type": "http.response.body"})
