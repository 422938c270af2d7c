"""Listings of projects that are too large for the table, in the bucket."""

import base64
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from pytp_broker.aws.api.errors import CallError
from pytp_broker.aws.api.s3 import S3
from pytp_broker.errors import StoreUnavailable

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import TagTypeDef

# The lifecycle rule of the bucket in template.yaml looks for this tag. A reader may have found the
# key a moment ago, so the object stays for a while.
RETIRED: Final["TagTypeDef"] = {"Key": "state", "Value": "replaced"}
# S3 tells only those who may list the bucket that there is no such object.
_ABSENT: Final = frozenset({"NoSuchKey", "AccessDenied"})


class S3Listings:
    """ListingObjects in one bucket; the client is made when the first large listing comes."""

    def __init__(self, make_client: Callable[[], S3], bucket: str) -> None:
        self._make_client = make_client
        self._bucket = bucket

    def save(self, key: str, octets: bytes) -> None:
        """Keep a listing under a new key, which nobody else has.

        So if the key is taken, it is by this very listing, and the answer was lost.
        """
        checksum = base64.b64encode(hashlib.sha256(octets).digest()).decode()
        with _failures_told():
            try:
                self._make_client().put_object(
                    Bucket=self._bucket,
                    Key=key,
                    Body=octets,
                    ChecksumSHA256=checksum,
                    IfNoneMatch="*",
                )
            except CallError as error:
                if error.code != "PreconditionFailed":
                    raise

    def read(self, key: str) -> bytes:
        """Return a listing; raise KeyError if it is not there."""
        with _failures_told(key):
            answer = self._make_client().get_object(Bucket=self._bucket, Key=key)
            octets: bytes = answer["Body"].read()
        return octets

    def retire(self, key: str) -> None:
        """Tag a listing, so that the bucket's lifecycle rule removes it."""
        with _failures_told():
            self._make_client().put_object_tagging(
                Bucket=self._bucket, Key=key, Tagging={"TagSet": [RETIRED]}
            )


@contextmanager
def _failures_told(wanted: str | None = None) -> Iterator[None]:
    try:
        yield
    except CallError as error:
        if wanted is not None and error.code in _ABSENT:
            raise KeyError(wanted) from None
        raise StoreUnavailable(
            "the listings cannot be reached now; try again", operator_detail=error.cause
        ) from None
