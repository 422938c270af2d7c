"""Large listings in the bucket: what a lost answer and a refusal mean."""

from typing import Any

import pytest

from pytp_broker.aws.s3_listings import S3Listings
from pytp_broker.errors import StoreUnavailable
from tests.support.refusals import refused


class Bucket:
    """A client of S3 that refuses every object."""

    def __init__(self, code: str) -> None:
        self._code = code

    def put_object(self, **_: Any) -> Any:
        raise refused("PutObject", self._code)


def test_a_listing_whose_first_answer_was_lost_is_kept() -> None:
    bucket: Any = Bucket("PreconditionFailed")

    S3Listings(lambda: bucket, "bucket").save("listings/acme/widgets/1-ab", b"{}")


def test_a_listing_that_the_bucket_refuses_is_not() -> None:
    bucket: Any = Bucket("SlowDown")

    with pytest.raises(StoreUnavailable, match="listings"):
        S3Listings(lambda: bucket, "bucket").save("listings/acme/widgets/1-ab", b"{}")
