"""Where the bytes of deleted files go on AWS: into versions that nobody sees, which then expire."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pytp_broker.aws.api.errors import CallError
from pytp_broker.errors import StoreUnavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import TaggingTypeDef, TagTypeDef

# The lifecycle rule of the bucket in template.yaml looks for this tag. It does not touch a version
# without the tag, such as one that somebody deletes by mistake.
TAG: Final["TagTypeDef"] = {"Key": "pytp-broker-deleted", "Value": "true"}
# There is nothing under the key, or the object is deleted already.
_ABSENT: Final = frozenset({"NoSuchKey", "MethodNotAllowed"})


class S3Bin:
    """A Bin for the objects of one bucket; no function may do what it does."""

    def __init__(self, make_client: Callable[[], "S3Client"], bucket: str) -> None:
        self._make_client = make_client
        self._bucket = bucket

    def discard(self, key: str) -> None:
        """Tag the object, then delete it, so that its bytes become a version that expires.

        If the process ends between the two, the lifecycle rule deletes the object.
        """
        client = self._make_client()
        tagging: TaggingTypeDef = {"TagSet": [TAG]}
        try:
            client.put_object_tagging(Bucket=self._bucket, Key=key, Tagging=tagging)
            client.delete_object(Bucket=self._bucket, Key=key)
        except CallError as error:
            if error.code not in _ABSENT:
                raise StoreUnavailable(
                    "the bytes cannot be deleted now; try again", operator_detail=error.cause
                ) from None
