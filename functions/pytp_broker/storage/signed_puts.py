"""Signed addresses to which a client puts the bytes of one upload, without another credential.

The bucket does this on AWS. Here the signature covers the key, the size, the hash and the expiry,
so the holder of an address can store those very bytes and nothing else.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlencode

from pytp_broker.storage.file_store import TARGET_LIFETIME, Target

# Nothing of a registry is below this path, whose first segment no registry may have as its name.
PREFIX: Final = "/_/objects/"
# The header without which the bucket signs nothing for us: store the bytes only if there are none.
ONLY_NEW: Final[Mapping[str, str]] = {"If-None-Match": "*"}
_NUMBER: Final = re.compile(r"[0-9]{1,15}")


class RefusedPutError(Exception):
    """An address is not signed by us, or has expired; the text says what to do."""


@dataclass(frozen=True, slots=True)
class SignedPut:
    """The bytes that an address takes: their key, their size and their hash."""

    key: str
    size: int
    sha256: str


class PutSigner:
    """Signs addresses with a secret of this process; with the process, the addresses end."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, put: SignedPut, now: datetime) -> Target:
        """Return the target for these bytes, with an address below the root of the host."""
        expires = int((now + TARGET_LIFETIME).timestamp())
        query = {
            "expires": str(expires),
            "size": str(put.size),
            "sha256": put.sha256,
            "signature": self._signature(put, expires),
        }
        headers = {"Content-Length": str(put.size), **ONLY_NEW}
        return Target(f"{PREFIX}{quote(put.key)}?{urlencode(query)}", headers)

    def read(self, key: str, query: Mapping[str, str], now: datetime) -> SignedPut:
        """Return what an address takes; raise RefusedPutError."""
        size, expires = query.get("size", ""), query.get("expires", "")
        if not _NUMBER.fullmatch(size) or not _NUMBER.fullmatch(expires):
            raise _not_ours()
        put = SignedPut(key, int(size), query.get("sha256", ""))
        expected = self._signature(put, int(expires)).encode()
        if not hmac.compare_digest(expected, query.get("signature", "").encode(errors="replace")):
            raise _not_ours()
        if now.timestamp() >= int(expires):
            raise RefusedPutError(
                "the address has expired: ask the file upload session for a new one"
            )
        return put

    def _signature(self, put: SignedPut, expires: int) -> str:
        # No field but the last can hold a line break: a key of a store never has one.
        signed = f"PUT\n{expires}\n{put.size}\n{put.key}\n{put.sha256}"
        return hmac.new(
            self._secret, signed.encode(errors="surrogatepass"), hashlib.sha256
        ).hexdigest()


def _not_ours() -> RefusedPutError:
    return RefusedPutError(
        "the address is not signed by this server, which may have started again since: ask the "
        "file upload session for a new one"
    )
