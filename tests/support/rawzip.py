"""Zip archives written field by field, so that a test can give any value to a field."""

import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from tests.support import distributions
from tests.support.distributions import WHEEL_NAME, Distribution

ELSEWHERE: Final = 0xFFFFFFFF
STORED: Final = 0
DEFLATED: Final = 8
UTF8: Final = 0x800
UNIX: Final = 3


@dataclass(frozen=True)
class Entry:
    """A member. Values that are not given are right; ``local…`` is for its own header."""

    name: bytes
    content: bytes
    method: int = DEFLATED
    flags: int = 0
    system: int = UNIX
    made_by: int = 20
    needed: int = 20
    local_needed: int = 20
    internal: int = 0
    attributes: int = 0o100644 << 16
    extra: bytes = b""
    local_extra: bytes = b""
    size: int | None = None
    packed_size: int | None = None
    offset: int | None = None
    local_size: int | None = None
    local_packed_size: int | None = None
    local_name: bytes | None = None
    comment: bytes = b""
    disk: int = 0

    @property
    def packed(self) -> bytes:
        return self.content if self.method == STORED else zlib.compress(self.content, wbits=-15)

    @property
    def local(self) -> bytes:
        name = self.name if self.local_name is None else self.local_name
        packed_size = _or(self.local_packed_size, len(self.packed))
        size = _or(self.local_size, len(self.content))
        fields = (self.local_needed, self.flags, self.method, 0, 33, zlib.crc32(self.content))
        lengths = (packed_size, size, len(name), len(self.local_extra))
        header = struct.pack("<4s5H3L2H", b"PK\3\4", *fields, *lengths)
        return header + name + self.local_extra + self.packed

    def central(self, offset: int) -> bytes:
        made_by = self.system << 8 | self.made_by
        fields = (made_by, self.needed, self.flags, self.method, 0, 33, zlib.crc32(self.content))
        sizes = (_or(self.packed_size, len(self.packed)), _or(self.size, len(self.content)))
        lengths = (len(self.name), len(self.extra), len(self.comment))
        rest = (self.disk, self.internal, self.attributes, _or(self.offset, offset))
        header = struct.pack("<4s6H3L5H2L", b"PK\1\2", *fields, *sizes, *lengths, *rest)
        return header + self.name + self.extra + self.comment


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def entry(name: str, content: str | bytes = b"", **changes: Any) -> Entry:
    octets = content.encode() if isinstance(content, str) else content
    folder = {"attributes": 0o40755 << 16 | 0x10, "method": STORED} if name.endswith("/") else {}
    flags = {} if name.isascii() else {"flags": UTF8}
    return Entry(name.encode(), octets, **{**folder, **flags, **changes})


def archive(
    entries: Iterable[Entry], comment: bytes = b"", zip64: Mapping[str, Any] | None = None
) -> bytes:
    """Return the archive; ``zip64`` adds zip64 records at the end, with these fields changed."""
    body = directory = b""
    count = 0
    for each in entries:
        directory += each.central(len(body))
        body += each.local
        count += 1
    end = {"here": count, "total": count, "size": len(directory), "offset": len(body)}
    records = b""
    if zip64 is not None:
        records = _zip64_end(len(body) + len(directory), {**end, **zip64})
        end = {"here": 0xFFFF, "total": 0xFFFF, "size": ELSEWHERE, "offset": ELSEWHERE}
        end |= {name: zip64[f"plain_{name}"] for name in end if f"plain_{name}" in zip64}
    last = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *end.values(), len(comment))
    return body + directory + records + last + comment


def _zip64_end(at: int, values: Mapping[str, Any]) -> bytes:
    numbers = tuple(values[name] for name in ("here", "total", "size", "offset"))
    data: bytes = values.get("data", b"")
    length, needed = values.get("length", 44 + len(data)), values.get("needed", 45)
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", length, 45, needed, 0, 0, *numbers) + data
    where = values.get("at", at)
    return record + struct.pack("<4sLQL", b"PK\6\7", 0, where, values.get("disks", 1))


def wheel_entries(**members: str | bytes) -> list[Entry]:
    """Return the members of a wheel, with these further ones, and its RECORD."""
    pairs = distributions.recorded([*distributions.wheel_members().items(), *members.items()])
    return [entry(str(name), content) for name, content in pairs]


def wheel(
    *more: Entry, comment: bytes = b"", zip64: Mapping[str, Any] | None = None, **changes: Any
) -> Distribution:
    """Return a wheel with these further members; the changes are to its module."""
    module, *rest = wheel_entries()
    entries = [replace(module, **changes), *more, *rest]
    return Distribution(WHEEL_NAME, archive(entries, comment, zip64))


def extra(kind: int, octets: bytes) -> bytes:
    return struct.pack("<HH", kind, len(octets)) + octets


def numbers(*values: int) -> bytes:
    """Return the zip64 field with these numbers."""
    return extra(1, struct.pack(f"<{len(values)}Q", *values))
