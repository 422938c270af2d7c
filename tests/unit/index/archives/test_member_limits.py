"""How many members an archive may have depends on its own size."""

import pytest

from pytp_broker.errors import InvalidUpload
from pytp_broker.index.archives.members import check_count, max_members

MEBIBYTE = 1 << 20


@pytest.mark.parametrize(
    ("packed_size", "members"),
    [
        (1000, 20_000),
        (4 * MEBIBYTE, 20_000),  # what a function takes in a request
        (16 * MEBIBYTE, 32_768),
        (48 * MEBIBYTE, 98_304),  # real wheels of this size have 30,000
        (800 * MEBIBYTE, 100_000),
    ],
)
def test_a_large_archive_may_have_more_members(packed_size: int, members: int) -> None:
    assert max_members(packed_size) == members
    check_count(members, packed_size)
    with pytest.raises(InvalidUpload, match="more than"):
        check_count(members + 1, packed_size)
