"""What `inflate` takes, beside the standard library's zlib, with which pip unpacks."""

import zlib
from collections.abc import Iterator
from typing import Final

from hypothesis import given
from hypothesis import strategies as st
from zlib_ng import zlib_ng

from pytp_broker.content import Held, read_pieces
from pytp_broker.errors import InvalidUpload
from pytp_broker.index.archives.members import InflateError, inflate

RAW: Final = -zlib.MAX_WBITS
GZIP: Final = 16 + zlib.MAX_WBITS
MOST_BYTES: Final = 1 << 20

contents = st.one_of(
    st.binary(max_size=400),
    st.text("abc\n", max_size=400).map(str.encode),
    st.builds(lambda part, times: part * times, st.binary(max_size=30), st.integers(1, 3000)),
)
levels = st.sampled_from([0, 1, 6, 9])
strategies = st.sampled_from([zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY, zlib.Z_FIXED])


@st.composite
def streams(draw: st.DrawFn, window_bits: int) -> bytes:
    """Make a stream, of which some bits may be others, its end may lack, or more may follow."""
    packer = zlib.compressobj(draw(levels), wbits=window_bits, strategy=draw(strategies))
    packed = bytearray(packer.compress(draw(contents)) + packer.flush())
    for place in draw(st.lists(st.integers(0, 8 * len(packed) - 1), max_size=3)):
        packed[place // 8] ^= 1 << place % 8
    cut = draw(st.integers(0, len(packed)) | st.just(len(packed)))
    return bytes(packed[:cut]) + draw(st.just(b"") | st.binary(max_size=4))


def ours(packed: bytes, window_bits: int, length: int) -> bytes | None:
    def most(pieces: Iterator[bytes]) -> Iterator[bytes]:
        size = 0
        for piece in pieces:
            size += len(piece)
            assert size <= MOST_BYTES
            yield piece

    try:
        return b"".join(most(inflate(read_pieces(Held(packed), length=length), window_bits)))
    except (InvalidUpload, InflateError):
        return None


def standard(packed: bytes, window_bits: int) -> bytes | None:
    stream = zlib.decompressobj(window_bits)
    try:
        octets = stream.decompress(packed, MOST_BYTES)
    except zlib.error:
        return None
    return octets if stream.eof and not stream.unused_data else None


@given(streams(RAW), st.integers(1, 500))
def test_a_member_is_what_zlib_unpacks(packed: bytes, length: int) -> None:
    assert ours(packed, RAW, length) == standard(packed, RAW)


@given(streams(GZIP), st.integers(1, 500))
def test_an_sdist_is_what_zlib_unpacks(packed: bytes, length: int) -> None:
    assert ours(packed, GZIP, length) == standard(packed, GZIP)


@given(st.binary(max_size=200), st.integers(1, 50))
def test_of_bytes_that_nobody_packed_as_many_are_taken(packed: bytes, length: int) -> None:
    assert ours(packed, RAW, length) == standard(packed, RAW)


@given(st.binary(max_size=3000), st.binary(max_size=100))
def test_a_crc_32_is_that_of_zlib(first: bytes, second: bytes) -> None:
    assert zlib_ng.crc32(second, zlib_ng.crc32(first)) == zlib.crc32(first + second)
