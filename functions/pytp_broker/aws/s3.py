"""The S3 file store: it keeps each distribution under its hash and hands out signed URLs."""

import base64
import hashlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from pytp_broker.aws.errors import cause_of, code_of
from pytp_broker.errors import StoreUnavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Long enough for a redirect to be followed, short enough to be worth little in a log.
DOWNLOAD_SECONDS: Final = 300


class S3Files:
    """A FileStore in one bucket, through the client that is passed in."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def save(self, key: str, content: bytes) -> None:
        """Store the bytes under the key, unless the key exists already."""
        # S3 compares the checksum before it stores anything.
        checksum = base64.b64encode(hashlib.sha256(content).digest()).decode()
        put = partial(
            self._client.put_object,
            Bucket=self._bucket,
            Key=key,
            Body=content,
            ChecksumSHA256=checksum,
            IfNoneMatch="*",
        )
        try:
            _put(put)
        except (ClientError, BotoCoreError) as error:
            if code_of(error) != "PreconditionFailed":
                raise _unavailable("the files cannot be written", error) from None

    def read(self, key: str) -> bytes:
        """Return the bytes; raise KeyError when there are none."""
        try:
            return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except (ClientError, BotoCoreError) as error:
            if code_of(error) == "NoSuchKey":
                raise KeyError(key) from None
            raise _unavailable("the files cannot be read", error) from None

    def download_url(self, key: str, filename: str) -> str | None:  # noqa: ARG002 - the key ends in it
        """Return a URL that is good for five minutes."""
        try:
            return self._client.generate_presigned_url(
                "get_object",
                Params={"Bucket": self._bucket, "Key": key},
                ExpiresIn=DOWNLOAD_SECONDS,
            )
        except (ClientError, BotoCoreError) as error:
            raise _unavailable("the files cannot be read", error) from None


def _put(put: Callable[[], object]) -> None:
    try:
        put()
    except ClientError as error:
        if code_of(error) != "ConditionalRequestConflict":
            raise
        put()  # another write of the key was in progress: S3 asks for a second attempt


def _unavailable(detail: str, error: ClientError | BotoCoreError) -> StoreUnavailable:
    return StoreUnavailable(detail, operator_detail=cause_of(error))
