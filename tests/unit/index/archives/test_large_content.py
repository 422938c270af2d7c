"""Large files are read piece by piece; tests/integration/test_large_files.py reads a gibibyte."""

import tracemalloc

import pytest

from pytp_broker.index.archives import read_metadata_file
from pytp_broker.index.distributions import parse_filename
from tests.support.huge_archives import Joined, large_sdist, large_wheel

MEBIBYTE = 1 << 20
SIZE = 6 * MEBIBYTE
FILES = {
    "widgets-1.0-py3-none-any.whl": large_wheel,
    "widgets-1.0.tar.gz": large_sdist,
}


@pytest.mark.parametrize("filename", FILES)
def test_a_large_file_is_read_in_small_pieces(filename: str) -> None:
    content: Joined = FILES[filename](SIZE)
    tracemalloc.start()
    try:
        read_metadata_file(parse_filename(filename), content)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert content.size > SIZE - MEBIBYTE
    assert content.largest < 128 * 1024
    assert peak < SIZE / 2
