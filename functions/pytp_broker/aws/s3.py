"""The S3 file store: distributions under their hash, written once, fetched by signed URL."""

import base64
import hashlib
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

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
        """Store the bytes under the key; those that are there already stay."""
        # S3 compares the checksum before it stores anything.
        checksum = base64.b64encode(hashlib.sha256(content).digest()).decode()
        try:
            self._client.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=content,
                ChecksumSHA256=checksum,
                IfNoneMatch="*",
            )
        except (ClientError, BotoCoreError) as error:
            if _code(error) != "PreconditionFailed":
                raise StoreUnavailable("the files cannot be written") from None

    def read(self, key: str) -> bytes:
        """Return the bytes; raise KeyError when there are none."""
        try:
            return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except (ClientError, BotoCoreError) as error:
            if _code(error) == "NoSuchKey":
                raise KeyError(key) from None
            raise StoreUnavailable("the files cannot be read") from None

    def download_url(self, key: str, filename: str) -> str | None:  # noqa: ARG002 - the key ends in it
        """Return a URL that is good for five minutes."""
        try:
            return self._client.generate_presigned_url(
                "get_object",
                Params={"Bucket": self._bucket, "Key": key},
                ExpiresIn=DOWNLOAD_SECONDS,
            )
        except (ClientError, BotoCoreError):
            raise StoreUnavailable("the files cannot be read") from None


def _code(error: ClientError | BotoCoreError) -> str:
    return error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
