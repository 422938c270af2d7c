"""The upload function behind the local gateway, as `serve` runs it, with files in a folder."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from pytp_broker.content import Held
from pytp_broker.endpoints import upload
from pytp_broker.endpoints.events import handle
from pytp_broker.local.deployment import MAX_UPLOAD_BYTES
from pytp_broker.local.gateway_events import HttpRequest, build_event
from pytp_broker.local.routes import GatewayRoute, Selected
from pytp_broker.storage.file_folder import FolderFiles
from tests.support.deployment import HOST
from tests.support.distributions import CONTENT_TYPE, Distribution, fields, form
from tests.support.gateways import Exchange, Gateway
from tests.support.shelf import Shelf
from tests.support.signing import NOW

_PATH: Final = "/acme/legacy/"
_ROUTE: Final = GatewayRoute("$default", "UploadFunction")
# What a socket gives at a time.
_CHUNK_BYTES: Final = 64 * 1024


class Served:
    """What clients of `serve` upload to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shelf = Shelf()
        files = FolderFiles(folder)
        self.shelf.index = replace(
            self.shelf.index, files=files, max_upload_bytes=MAX_UPLOAD_BYTES, audit=lambda _: None
        )
        self.function = partial(handle, routes=upload.ROUTES, services=self.shelf.index)
        self.gateway = Gateway(
            self.function, _ROUTE.key, _ROUTE.function, folder=files.make_incoming()
        )
        self.headers = {
            "host": HOST,
            "content_type": CONTENT_TYPE,
            "authorization": self.shelf.basic(),
        }

    def form(self, distribution: Distribution) -> bytes:
        """Return the form that twine sends, with its three digests."""
        content = distribution.content
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        blake2b = hashlib.blake2b(content, digest_size=32).hexdigest()
        return form(distribution, fields(distribution, md5_digest=md5, blake2_256_digest=blake2b))

    def forget(self) -> None:
        """Let the next upload be the first one."""
        self.shelf.store.files.clear()

    def event(self, body: bytes) -> dict[str, Any]:
        """Return the event of an upload."""
        headers = [(name.replace("_", "-"), value) for name, value in self.headers.items()]
        request = HttpRequest("POST", _PATH, headers=headers, body=Held(body))
        return build_event(request, Selected(_ROUTE, {}), NOW)

    def call(self, event: Mapping[str, Any]) -> None:
        """Call the upload function, as Lambda does."""
        result = self.function(event)
        assert result["statusCode"] == HTTPStatus.OK, result["body"]

    def request(self, body: bytes, path: str = _PATH) -> Exchange:
        """Return the request as it comes over the wire, piece by piece."""
        starts = range(0, len(body), _CHUNK_BYTES)
        chunks = (body[start : start + _CHUNK_BYTES] for start in starts)
        return Exchange(*chunks, path=path, **self.headers)

    def send(self, request: Exchange) -> None:
        self.gateway.answer(request)
        assert request.status == HTTPStatus.OK, request.body
