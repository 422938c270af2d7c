"""The trusted roots of Sigstore that were fetched, in the bucket.

Nothing in the bucket can be replaced, so each one has a key of its own. The newest has the largest.
A lifecycle rule removes those that are half a year old.
"""

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pytp_broker.aws.api.errors import CallError
from pytp_broker.aws.api.s3 import S3
from pytp_broker.errors import StoreUnavailable

PREFIX: Final = "trust-root/"


class S3TrustRoots:
    """What refreshes have packed, in one bucket."""

    def __init__(self, client: S3, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def find_newest(self) -> str | None:
        """Return the key of the newest one; raise StoreUnavailable."""
        with _failures_told():
            # Sigstore has a new version every few days, so half a year of them is one answer.
            listed = self._client.list_objects_v2(Bucket=self._bucket, Prefix=PREFIX)
        return max((each["Key"] for each in listed.get("Contents", ())), default=None)

    def read(self, key: str) -> bytes:
        """Return one; raise StoreUnavailable."""
        with _failures_told():
            octets: bytes = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        return octets

    def save(self, version: int, document: bytes) -> None:
        """Keep one, unless it is there already; raise StoreUnavailable."""
        digest = hashlib.sha256(document)
        with _failures_told(except_for="PreconditionFailed"):
            self._client.put_object(
                Bucket=self._bucket,
                Key=f"{PREFIX}{version:012d}-{digest.hexdigest()[:16]}.json",
                Body=document,
                ChecksumSHA256=base64.b64encode(digest.digest()).decode(),
                IfNoneMatch="*",
            )


@contextmanager
def _failures_told(*, except_for: str = "") -> Iterator[None]:
    try:
        yield
    except CallError as error:
        if error.code != except_for:
            raise StoreUnavailable(
                "the trusted root cannot be reached now; try again", operator_detail=error.cause
            ) from None
