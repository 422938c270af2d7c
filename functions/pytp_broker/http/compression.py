"""Compress pages on the wire, and refuse a page that no function can answer with.

API Gateway does not compress, so the functions do it themselves.
"""

import zlib
from collections.abc import Mapping
from typing import Final

from pytp_broker.errors import NotAcceptable
from pytp_broker.http.negotiation import takes_gzip

# A smaller body fits into one packet with its headers, so compression would save nothing.
_MIN_BYTES: Final = 1000
# What follows the tag of a body that is compressed, and of one that is too short for it. So a
# client's tag says which encoding of a page the client has, and we need not render the page.
GZIP_MARK: Final = "-gzip"
SHORT_MARK: Final = "-short"
# zlib's level 1 takes 51 ms for the 4.7 MB of a page with 10,000 files, and level 6 takes 136 ms
# for a result that is a tenth smaller.
_LEVEL: Final = 1
# With these window bits zlib writes a gzip header without a time, so equal pages stay equal.
_GZIP: Final = 31
# A function answers with at most 6 MiB of JSON. The rest is for headers and the members' names.
MAX_ANSWER_BYTES: Final = 6 * 1024 * 1024 - 16 * 1024


def encoding_mark(headers: Mapping[str, str], body: bytes) -> str:
    """Return what follows the tag of a body for this client: GZIP_MARK for a compressed one.

    Compressed and uncompressed bytes are two representations, and a strong tag names only one (RFC
    9110 §8.8.3.3).
    """
    if len(body) < _MIN_BYTES:
        return SHORT_MARK
    return GZIP_MARK if takes_gzip(headers.get("accept-encoding", "")) else ""


def compress(body: bytes) -> bytes:
    """Return the body as gzip; raise NotAcceptable if it is too large even so."""
    compressed = zlib.compress(body, _LEVEL, _GZIP)
    # The gateway takes bytes as base64: 4 characters for 3 bytes.
    if len(compressed) * 4 // 3 > MAX_ANSWER_BYTES:
        raise NotAcceptable(
            f"this page has {len(compressed):,} bytes even when it is compressed, and a function "
            "answers with 6 MiB at most: ask the registry's operator to divide the project"
        )
    return compressed


def check_uncompressed(body: bytes) -> None:
    """Check that a body fits into an answer as it is; raise NotAcceptable."""
    # The gateway takes text as a JSON string, in which these are two characters.
    if len(body) + sum(map(body.count, (b'"', b"\\", b"\n"))) > MAX_ANSWER_BYTES:
        raise NotAcceptable(
            f"this page has {len(body):,} bytes, and a function answers with 6 MiB at most: send "
            "the header `Accept-Encoding: gzip`, with which the page is a quarter of that"
        )
