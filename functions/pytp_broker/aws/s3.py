"""The S3 file store: it keeps each distribution under its hash and hands out signed URLs."""

import base64
import io
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from pytp_broker.aws.failed_calls import cause_of, code_of
from pytp_broker.errors import StoreUnavailable
from pytp_broker.storage.content import Content

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Long enough for a redirect to be followed, short enough to be worth little in a log.
DOWNLOAD_SECONDS: Final = 300
_FIRST_REGION: Final = "us-east-1"
# More than an upload to AWS may have.
_MAX_COPIED_BYTES: Final = 5 * 1024 * 1024


class S3Files:
    """A FileStore in one bucket, through the client that is passed in."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def save(self, key: str, content: Content, sha256: str) -> None:
        """Store the bytes under the key, unless the key exists already."""
        put = partial(
            self._client.put_object,
            Bucket=self._bucket,
            Key=key,
            # S3 compares the checksum before it stores anything.
            ChecksumSHA256=base64.b64encode(bytes.fromhex(sha256)).decode(),
            IfNoneMatch="*",
        )
        try:
            _put(put, content)
        except (ClientError, BotoCoreError) as error:
            if code_of(error) != "PreconditionFailed":
                raise _unavailable(
                    "the stored files cannot be written now; try again", error
                ) from None

    def read(self, key: str) -> bytes:
        """Return the bytes; raise KeyError when there are none."""
        try:
            return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except (ClientError, BotoCoreError) as error:
            if code_of(error) == "NoSuchKey":
                raise KeyError(key) from None
            raise _unavailable("the stored files cannot be read now; try again", error) from None

    def download_url(self, key: str, filename: str) -> str | None:  # noqa: ARG002 - the key ends in it
        """Return a URL that is good for five minutes."""
        try:
            return self._client.generate_presigned_url(
                "get_object",
                Params={"Bucket": self._bucket, "Key": key},
                ExpiresIn=DOWNLOAD_SECONDS,
            )
        except (ClientError, BotoCoreError) as error:
            raise _unavailable("the stored files cannot be read now; try again", error) from None


def _put(put: Callable[..., object], content: Content) -> None:
    try:
        put(Body=_body(content))
    except ClientError as error:
        if code_of(error) != "ConditionalRequestConflict":
            raise
        put(Body=_body(content))  # another write was in progress: S3 asks for a second attempt


def _body(content: Content) -> "bytes | _File":
    """Return content as boto3 takes it: a short one as bytes, a long one as a file.

    boto3 copies bytes twice. It copies no file, but waits until S3 says that it may send one, which
    takes a round trip more.
    """
    if content.size <= _MAX_COPIED_BYTES:
        return bytes(content.read_at(0, content.size))
    return _File(content)


class _File:
    """Content as an open file, with as much of its interface as boto3 uses."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._position = 0

    def read(self, size: int = -1) -> bytes:
        """Return the next ``size`` bytes; if ``size`` is negative, all that are left."""
        length = self._content.size if size < 0 else size
        octets = bytes(self._content.read_at(self._position, length))
        self._position += len(octets)
        return octets

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> None:
        """Move to an offset from the beginning, from here or from the end."""
        starts = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._content.size}
        self._position = starts[whence] + offset

    def tell(self) -> int:
        """Return the offset of the next byte."""
        return self._position


def ensure_bucket(client: "S3Client", name: str) -> None:
    """Make a bucket if there is none of this name."""
    if name in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
        return
    region: Any = client.meta.region_name
    # S3 requires the name of every region except the first, which must not be named.
    elsewhere: Any = {"CreateBucketConfiguration": {"LocationConstraint": region}}
    client.create_bucket(Bucket=name, **({} if region == _FIRST_REGION else elsewhere))


def _unavailable(detail: str, error: ClientError | BotoCoreError) -> StoreUnavailable:
    return StoreUnavailable(detail, operator_detail=cause_of(error))
