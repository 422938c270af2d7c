"""Read which files a page of the simple API has, with their digests: as JSON, or as HTML."""

import re
from collections.abc import Iterator, Mapping
from html import unescape
from typing import Any, Final
from urllib.parse import unquote

from pytp_broker.client.uploads.wire import Reply

ACCEPT: Final = (
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, "
    "text/html;q=0.1"
)
# The page of a project with 100,000 files has 40 MB.
MAX_BYTES: Final = 64 * 1024 * 1024
# A link as pypiserver, devpi and others write it; one of another form says nothing.
_LINK: Final = re.compile(r"""href=["']([^"'#]+)#sha256=([0-9a-f]{64})["'&]""")


def digests_in(reply: Reply) -> Mapping[str, str]:
    """Return the sha256 of each file on a page; nothing if there is no page."""
    if not reply.is_success:
        return {}
    is_html = "html" in reply.headers.get("content-type", "")
    return dict(_in_html(reply) if is_html else _in_json(reply))


def _in_json(reply: Reply) -> Iterator[tuple[str, str]]:
    files: Any = reply.document.get("files")
    for file in files if isinstance(files, list) else ():
        hashes = file.get("hashes") if isinstance(file, dict) else None
        if isinstance(hashes, dict):
            name, digest = file.get("filename"), hashes.get("sha256")
            if isinstance(name, str) and isinstance(digest, str):
                yield name, digest


def _in_html(reply: Reply) -> Iterator[tuple[str, str]]:
    for url, digest in _LINK.findall(reply.body.decode(errors="replace")):
        yield unquote(unescape(url).partition("?")[0].rpartition("/")[2]), digest
