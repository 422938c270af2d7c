"""Take the bytes of an upload at a signed address, as the bucket does on AWS.

The address says which bytes may come, and nothing else gives a right to send them: no token is
needed. The bytes go to the disk while they are hashed, and they are there when the client gets 200.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from urllib.parse import parse_qsl

from pytp_broker.errors import (
    AlreadyStored,
    Forbidden,
    MalformedRequest,
    MethodNotAllowed,
    Problem,
)
from pytp_broker.http.messages import Response
from pytp_broker.local.answers import Receive
from pytp_broker.local.bodies import BodyLimits, receive_body
from pytp_broker.local.gateway_events import HttpRequest
from pytp_broker.redaction import printable
from pytp_broker.storage.file_folder import AlreadyStoredError, FolderFiles
from pytp_broker.storage.receiving import Receiver, WrongBytesError
from pytp_broker.storage.signed_puts import ONLY_NEW, PREFIX, RefusedPutError, SignedPut

_METHOD: Final = "PUT"


@dataclass(frozen=True, slots=True)
class Objects:
    """The staged objects of a folder; ``now`` is the clock by which an address expires."""

    files: FolderFiles
    now: Callable[[], datetime]

    def takes(self, request: HttpRequest) -> bool:
        """Say whether a request may bring bytes, as far as its address says."""
        try:
            self._read(request)
        except Problem:
            return False
        return True

    def read(self, request: HttpRequest) -> SignedPut:
        """Return which bytes a request may bring; raise a Problem before any of them is read."""
        put = self._read(request)
        _check_headers(request.fields, put)
        if self.files.find(put.key) is not None:
            raise _already_stored()
        return put

    def _read(self, request: HttpRequest) -> SignedPut:
        if request.method != _METHOD:
            raise MethodNotAllowed(printable(request.method, 20), (_METHOD,))
        key, query = request.path.removeprefix(PREFIX), dict(parse_qsl(request.query))
        try:
            return self.files.put_signer.read(key, query, self.now())
        except RefusedPutError as refused:
            raise Forbidden(str(refused)) from None

    async def store(self, put: SignedPut, receive: Receive, limits: BodyLimits) -> Response:
        """Return the answer once the bytes are durable.

        Raises a Problem, DisconnectedError, or OSError if the disk is full.
        """
        try:
            with Receiver(put, self.files.incoming) as receiver:
                await receive_body(receive, replace(limits, max_bytes=put.size), receiver.write)
                await asyncio.to_thread(self.files.take, receiver)
        except WrongBytesError as wrong:
            raise MalformedRequest(str(wrong)) from None
        except AlreadyStoredError:
            raise _already_stored() from None
        return Response(200, headers={"Content-Length": "0", "Cache-Control": "no-store"})


def is_object(path: str) -> bool:
    """Say whether a path is that of an object."""
    return path.startswith(PREFIX)


def _check_headers(headers: Mapping[str, str], put: SignedPut) -> None:
    for name, value in ONLY_NEW.items():
        if headers.get(name.lower()) != value:
            raise Forbidden(
                f"the header `{name}: {value}` is signed and missing: send exactly the headers "
                "that the upload session gave"
            )
    if headers.get("content-length") != str(put.size):
        raise MalformedRequest(
            f"the address is for {put.size} bytes, which `Content-Length` must say"
        )


def _already_stored() -> Problem:
    return AlreadyStored("the bytes are stored already: complete the upload session")
