"""Archives are read in short ranges, and no range is read again and again."""

import pytest

from pytp_broker.index.archives import read_metadata_file
from pytp_broker.index.distributions import parse_filename
from tests.support.distributions import Distribution, metadata, noise, sdist, wheel, wheel_members
from tests.support.ranges import Ranged

MEBIBYTE = 1 << 20


@pytest.mark.parametrize(
    "distribution",
    [
        wheel(members={"widgets/data": noise(3 * MEBIBYTE), **wheel_members()}),
        sdist(
            members=[
                ("widgets-1.0/PKG-INFO", metadata().encode()),
                ("widgets-1.0/data", noise(3 * MEBIBYTE)),
            ]
        ),
    ],
    ids=["wheel", "sdist"],
)
def test_an_archive_is_read_once_and_in_short_ranges(distribution: Distribution) -> None:
    content = Ranged(distribution.content)

    read_metadata_file(parse_filename(distribution.filename), content)

    assert max(content.lengths) < 0.1 * MEBIBYTE
    # In addition to the whole file, we read the end of a zip, where its directory is.
    assert sum(content.lengths) < content.size + 0.1 * MEBIBYTE
