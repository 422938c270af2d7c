"""The S3 file store: it writes each key once and hands out signed URLs."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any, Final

from pytp_broker.aws.api.errors import CallError
from pytp_broker.aws.api.s3 import S3
from pytp_broker.aws.s3_bodies import put_body
from pytp_broker.aws.s3_ranges import Fetch
from pytp_broker.content import Content
from pytp_broker.errors import StoreUnavailable
from pytp_broker.storage.file_store import STAGED, TARGET_LIFETIME, Stored, Target, check_staged

# Long enough for a redirect to be followed, short enough to be worth little in a log.
DOWNLOAD_SECONDS: Final = 300
_FIRST_REGION: Final = "us-east-1"
# The tag of staged objects. The lifecycle rules and the roles in template.yaml know its values.
STATE: Final = "state"
_STAGED: Final = "staged"
_KEPT: Final = "kept"
_DROPPED: Final = "dropped"


class S3Files:
    """A FileStore in one bucket, through the client that is passed in."""

    def __init__(self, client: S3, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def save(self, key: str, content: Content, sha256: str) -> None:
        """Store the bytes under the key, unless the key exists already."""
        mark: dict[str, Any] = {"Tagging": _tagging(_STAGED)} if key.startswith(STAGED) else {}
        put = partial(
            self._client.put_object,
            Bucket=self._bucket,
            Key=key,
            # S3 compares the checksum before it stores anything.
            ChecksumSHA256=_checksum(sha256),
            IfNoneMatch="*",
            **mark,
        )
        try:
            put_body(put, content)
        except CallError as error:
            if error.code != "PreconditionFailed":
                raise _unwritable(error) from None

    @contextmanager
    def open(self, key: str) -> Iterator[Content]:
        """Return the content, of which ranges are fetched as they are read."""
        yield Fetch(self._client, self._bucket, key).open()

    def download_url(self, key: str, filename: str) -> str | None:  # noqa: ARG002 - the key ends in it
        """Return a URL that is good for five minutes."""
        try:
            return self._client.generate_presigned_url(
                "get_object",
                Params={"Bucket": self._bucket, "Key": key},
                ExpiresIn=DOWNLOAD_SECONDS,
            )
        except CallError as error:
            raise _unavailable("the stored files cannot be read now; try again", error) from None

    def upload_target(self, key: str, size: int, sha256: str, now: datetime) -> Target:  # noqa: ARG002 - boto3 has a clock
        """Return a signed URL; S3 compares every header, the length and the checksum."""
        check_staged(key)
        parameters = {
            "ContentLength": size,
            "ChecksumSHA256": _checksum(sha256),
            "IfNoneMatch": "*",
            "Tagging": _tagging(_STAGED),
        }
        headers = {
            "Content-Length": str(size),
            "x-amz-checksum-sha256": _checksum(sha256),
            "If-None-Match": "*",
            "x-amz-tagging": _tagging(_STAGED),
        }
        try:
            url = self._client.generate_presigned_url(
                "put_object",
                Params={"Bucket": self._bucket, "Key": key, **parameters},
                ExpiresIn=int(TARGET_LIFETIME.total_seconds()),
            )
        except CallError as error:
            raise _unwritable(error) from None
        return Target(url, headers)

    def find(self, key: str) -> Stored | None:
        """Return the size, and the hash of the whole object if S3 has compared one."""
        try:
            answer = self._client.head_object(Bucket=self._bucket, Key=key, ChecksumMode="ENABLED")
        except CallError as error:
            if error.code == "404":  # the answer to HEAD has no other code
                return None
            raise _unavailable("the stored files cannot be read now; try again", error) from None
        return Stored(answer["ContentLength"], _read_checksum(answer.get("ChecksumSHA256", "")))

    def keep(self, key: str) -> None:
        """Change the tag, so that neither the bucket nor a function can remove the object."""
        if not self._tag(key, _KEPT):
            raise KeyError(key)

    def drop(self, key: str) -> None:
        """Change the tag, so that the bucket removes the object within two days."""
        self._tag(key, _DROPPED)

    def _tag(self, key: str, state: str) -> bool:
        """Give a staged object a state; say whether it is there."""
        check_staged(key)
        tags: Any = {"TagSet": [{"Key": STATE, "Value": state}]}
        try:
            self._client.put_object_tagging(Bucket=self._bucket, Key=key, Tagging=tags)
        except CallError as error:
            if error.code == "NoSuchKey":
                return False
            raise _unwritable(error) from None
        return True


def _tagging(state: str) -> str:
    return f"{STATE}={state}"


def _checksum(sha256: str) -> str:
    return base64.b64encode(bytes.fromhex(sha256)).decode()


def _read_checksum(checksum: str) -> str | None:
    """Return the hash in hex, or None; the checksum of an object in parts is not its hash."""
    return None if not checksum or "-" in checksum else base64.b64decode(checksum).hex()


def ensure_bucket(client: Any, name: str) -> None:  # noqa: ANN401 - a client of boto3
    """Make a bucket if there is none of this name."""
    if name in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
        return
    region: Any = client.meta.region_name
    # S3 requires the name of every region except the first, which must not be named.
    elsewhere: Any = {"CreateBucketConfiguration": {"LocationConstraint": region}}
    client.create_bucket(Bucket=name, **({} if region == _FIRST_REGION else elsewhere))


def _unwritable(error: CallError) -> StoreUnavailable:
    return _unavailable("the stored files cannot be written now; try again", error)


def _unavailable(detail: str, error: CallError) -> StoreUnavailable:
    return StoreUnavailable(detail, operator_detail=error.cause)
