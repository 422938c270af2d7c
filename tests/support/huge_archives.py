"""Huge distributions that take neither memory nor disk: a read makes the bytes that it returns."""

import base64
import hashlib
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Final

from pytp_broker.content import Content, Held, Part, read_pieces
from tests.support.distributions import (
    metadata,
    noise,
    recorded,
    tarred,
    wheel_members,
    zipped,
)

_PIECE: Final = 1 << 20
# A block of deflate that is not compressed holds this much.
_BLOCK: Final = 65_535


@dataclass(frozen=True)
class Repeated:
    """A pattern, again and again."""

    pattern: bytes
    times: int

    @property
    def size(self) -> int:
        return len(self.pattern) * self.times

    def read_at(self, offset: int, length: int) -> memoryview:
        length = max(0, min(length, self.size - offset))
        first = offset % len(self.pattern)
        times = (first + length) // len(self.pattern) + 1
        return memoryview(self.pattern * times)[first : first + length]


class Joined:
    """Contents one after the other; ``largest`` is the largest piece that was asked for."""

    def __init__(self, contents: Iterable[Content]) -> None:
        self._contents = list(contents)
        self.size = sum(each.size for each in self._contents)
        self.largest = 0

    def read_at(self, offset: int, length: int) -> memoryview:
        self.largest = max(self.largest, length)
        found, start = b"", 0
        for each in self._contents:
            if offset < start + each.size and start < offset + length:
                first = max(offset - start, 0)
                found += each.read_at(first, offset + length - start - first)
            start += each.size
        return memoryview(found)


def zeros(size: int) -> Content:
    return Part(Repeated(bytes(_PIECE), size // _PIECE + 1), 0, size)


def digest(content: Content) -> tuple[int, str]:
    """Return the CRC-32 of content, and its hash as RECORD writes it."""
    checksum, sha256 = 0, hashlib.sha256()
    for piece in read_pieces(content, length=_PIECE):
        checksum = zlib.crc32(piece, checksum)
        sha256.update(piece)
    encoded = base64.urlsafe_b64encode(sha256.digest()).decode().rstrip("=")
    return checksum, f"sha256={encoded}"


def large_wheel(size: int) -> Joined:
    """Return a wheel with a library of this size, which is stored as it is."""
    files: list[tuple[str, Content]] = [
        ("widgets/library.so", zeros(size)),
        ("widgets-1.0.dist-info/METADATA", Held(metadata().encode())),
        ("widgets-1.0.dist-info/WHEEL", Held(b"Wheel-Version: 1.0\nTag: py3-none-any\n")),
    ]
    digests = [digest(content) for _, content in files]
    lines = [f"{n},{d[1]},{c.size}\n" for (n, c), d in zip(files, digests, strict=True)]
    record = Held("".join([*lines, "widgets-1.0.dist-info/RECORD,,\n"]).encode())
    files.append(("widgets-1.0.dist-info/RECORD", record))
    checksums = [*(checksum for checksum, _ in digests), digest(record)[0]]
    return _zipped(files, checksums)


def _zipped(files: list[tuple[str, Content]], checksums: list[int]) -> Joined:
    contents: list[Content] = []
    directory, offset = b"", 0
    for (name, content), checksum in zip(files, checksums, strict=True):
        fields = (20, 0, 0, 0, 33, checksum, content.size, content.size, len(name), 0)
        local = struct.pack("<4s5H3L2H", b"PK\3\4", *fields) + name.encode()
        rest = (0, 0, 0, 0o100644 << 16, offset)
        central = struct.pack("<4sH5H3L5H2L", b"PK\1\2", 3 << 8 | 20, *fields, *rest)
        directory += central + name.encode()
        contents += [Held(local), content]
        offset += len(local) + content.size
    end = (0, 0, len(files), len(files), len(directory), offset, 0)
    contents += [Held(directory), Held(struct.pack("<4s4H2LH", b"PK\5\6", *end))]
    return Joined(contents)


def large_sdist(size: int) -> Joined:
    """Return an sdist with a file of this size, which gzip does not compress."""
    first = tarred([("widgets-1.0/PKG-INFO", metadata().encode())]).rstrip(b"\0")
    first += bytes(-len(first) % tarfile.BLOCKSIZE)
    blocks = size // _BLOCK
    member = tarfile.TarInfo("widgets-1.0/data")
    member.size = blocks * _BLOCK
    head = first + member.tobuf(tarfile.USTAR_FORMAT)
    end = bytes(-member.size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)
    checksum = zlib.crc32(end, digest(Joined([Held(head), zeros(member.size)]))[0])
    length = len(head) + member.size + len(end)
    return Joined(
        [
            Held(b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + _block(head)),
            Repeated(_block(bytes(_BLOCK)), blocks),
            Held(_block(end, is_last=True) + struct.pack("<2L", checksum, length & 0xFFFFFFFF)),
        ]
    )


def _block(octets: bytes, *, is_last: bool = False) -> bytes:
    return struct.pack("<B2H", is_last, len(octets), len(octets) ^ 0xFFFF) + octets


def wheel_bomb(size: int) -> Held:
    """Return a wheel with a file of zeros of this size, which deflate makes a thousandth."""
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    content = zeros(size)
    packed = b"".join(map(packer.compress, read_pieces(content, length=_PIECE))) + packer.flush()
    name, checksum = b"widgets/data", digest(content)[0]
    fields = (20, 0, 8, 0, 33, checksum, len(packed), size, len(name), 0)
    local = struct.pack("<4s5H3L2H", b"PK\3\4", *fields) + name + packed
    rest = (0, 0, 0, 0o100644 << 16, 0)
    central = struct.pack("<4sH5H3L5H2L", b"PK\1\2", 3 << 8 | 20, *fields, *rest) + name
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(central), len(local), 0)
    return Held(local + central + end)


def sdist_bomb(size: int) -> Held:
    """Return an sdist with a file of zeros of this size, which gzip makes a thousandth."""
    member = tarfile.TarInfo("widgets-1.0/data")
    member.size = size
    packer = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
    head = member.tobuf(tarfile.USTAR_FORMAT)
    pieces: Iterable[bytes | memoryview] = chain([head], read_pieces(zeros(size), length=_PIECE))
    return Held(b"".join(map(packer.compress, pieces)) + packer.flush())


def crowded_wheel(members: int) -> Held:
    """Return a wheel with this many modules, of a kilobyte each."""
    modules = ((f"widgets/part_{i % 100}/module_{i:06}.py", noise(1000)) for i in range(members))
    return Held(zipped(recorded([*modules, *wheel_members().items()])))


_WHEEL: Final = "widgets-1.0-py3-none-any.whl"
_SDIST: Final = "widgets-1.0.tar.gz"
# What makes a file name and content from a size.
MAKERS: Final[Mapping[str, Callable[[int], tuple[str, Content]]]] = {
    "wheel": lambda size: (_WHEEL, large_wheel(size)),
    "sdist": lambda size: (_SDIST, large_sdist(size)),
    "wheel bomb": lambda size: (_WHEEL, wheel_bomb(size)),
    "sdist bomb": lambda size: (_SDIST, sdist_bomb(size)),
    "crowded wheel": lambda members: (_WHEEL, crowded_wheel(members)),
}
