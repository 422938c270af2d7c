"""Wheels with changes: if we accept one, zipfile, unzip and uv find the same in it."""

import os
import random
import shutil
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import settings

from tests.fuzz.readers import Wheel, compare
from tests.support import rawzip
from tests.support.distributions import metadata
from tests.support.figures import WHEELS
from tests.support.rawzip import DEFLATED, ELSEWHERE, STORED, UTF8, Entry, entry, extra, numbers

# We compare this many at once, because uv takes longer to start than to install a wheel.
BATCH: Final = 40
Change = Callable[[random.Random, list[Entry]], str]

NAMES: Final = [
    "{}/x ",
    "{}/ x",
    "{}/a b/c",
    "{}/b /c",
    "{}/PROGRA~1",
    "{}/a;1",
    "{}/a;1.py",
    "{}/a;",
    "{}/__init__.py;1",
    "{}/__INIT__.py",
    "{}/a/b",
    "{}/a",
    "{}/A/b",
    "{}/d/",
    "{}/D/",
    "{}/x:",
    "{}/x.py.",
    "{}/nul",
    "{}/aux.py",
    "{}/~",
    "{}/a~1",
    "{}/-x",
    "{}/#",
    "{}/%41",
    "{}/[a]",
    "{}/a*",
    "{}/?",
    "{}/'a'",
    "{}/$a",
    "{}/.a",
    "{}/a.",
    "{}/^[",
    "{}/\u00e4",
    "{}/a\u0308",
    "{}/__init_\u0718.py",
    "{}/\u00ff",
    "{}/++",
    "{}/\u2603",
    "{}/\u5b57",
    "{}/\u200b",
    "{}/\ufeff",
    "{}/\x7f",
    "{}/\x80",
    "{}/\U0001f680",
    "{}/e\u0301",
    "{}/\u00e9",
    "{}/b/c/d/e/f",
    "{}x",
    "../{}",
    "/{}",
    "{}/../x",
    "{}//x",
    "{}/./x",
    "{}\\x",
    "{}/x\\y",
    "{}-1.0.data/purelib/{}/p.py",
    "{}-1.0.dist-info/METADATA;1",
    "{}-1.0.dist-info/x",
    "{}-1.0.dist-info/metadata",
]
EXTRAS: Final = (
    b"",
    b"\1",
    b"\1\0\0",
    *(numbers(*values) for values in ((), (2,), (2, 2), (0, 0), (2, 2, 0), (2, 2, 0, 0))),
    numbers(2, 2) * 2,
    extra(0x5455, b"\x01abcd"),
    extra(0x5455, b"\x07abcdefghijkl"),
    extra(0x5855, b"abcdefgh\0\0\0\0"),
    extra(0x7855, b"\0\0\0\0"),
    extra(0x7875, b"\x01\x04\0\0\0\0\x04\0\0\0\0"),
    extra(0x7075, b"\x01\0\0\0\0evil.py"),
    extra(0x756E, bytes(14)),
    *(
        extra(kind, bytes(size))
        for kind in (0x7, 0x8, 0x9, 0xA, 0xC, 0xD, 0xE, 0x14, 0x17, 0x7C8, 0x2605, 0x2705, 0x334D)
        for size in (0, 5, 12, 30)
    ),
    *(
        extra(kind, bytes(size))
        for kind in (0x4154, 0x4341, 0x4453, 0x4704, 0x4D49, 0x5356, 0x6375, 0x6542, 0x6C78, 0x7441)
        for size in (0, 5, 12, 30)
    ),
    *(extra(kind, bytes(7)) for kind in (0x9901, 0xA220, 0xCAFE, 0xD935, 0xFFFF)),
)
ATTRIBUTES: Final = (
    *(mode << 16 for mode in (0, 0o644, 0o755, 0o100644, 0o100755, 0o104755, 0o40755, 0o120777)),
    *(0o100644 << 16 | low for low in (1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80, 0xFF00)),
    *(1, 2, 4, 8, 0x10, 0x20, 0x27, 0x30, 0x100, 0x8000, 0o10644 << 16, 0o60644 << 16, 0xFFFFFFFF),
)
FIELDS: Final[dict[str, tuple[Any, ...]]] = {
    "method": (STORED, DEFLATED, DEFLATED, 1, 9, 12, 14, 93, 99),
    "flags": (0, 2, 4, 6, UTF8, UTF8 | 6, 1, 8, 0x10, 0x20, 0x40, 0x80, 0x400, 0x1000, 0x2000, 9),
    "system": (*range(20), 30, 255),
    "made_by": (0, 10, 20, 25, 45, 50, 63, 99, 255),
    "needed": (0, 10, 20, 45, 46, 51, 61, 62, 63, 64, 255, 0x114, 0x314),
    "local_needed": (0, 10, 20, 45, 46, 51, 61, 62, 63, 64, 255, 0x114, 0x314),
    "internal": (0, 1, 2, 3, 0xFFFF),
    "attributes": ATTRIBUTES,
    "extra": EXTRAS,
    "local_extra": EXTRAS,
    "size": (0, 1, 2, ELSEWHERE),
    "packed_size": (0, 1, 2, ELSEWHERE),
    "local_size": (0, 1, 2, ELSEWHERE),
    "local_packed_size": (0, 1, 2, ELSEWHERE),
    "offset": (0, 1, ELSEWHERE),
    "local_name": (b"", b"x", b"../x"),
    "comment": (b"", b"x", b"PK\5\6"),
    "disk": (0, 1, 0xFFFF),
    "content": (b"", b"\0", b"xy", b"PK\3\4", b"PK\5\6" + bytes(18)),
}
COMMENTS: Final = (b"hello", b"a\nb", b"\0", b"PK\5\6" + bytes(18), b"\xff", b"\1", b"x" * 65535)
ENDS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {},
    {"at": 0},
    {"disks": 0},
    {"disks": 2},
    {"length": 45},
    {"data": b"x"},
    {"needed": 20},
    {"needed": 63},
    {"here": 1},
    {"size": 0},
    {"offset": 0},
    {"plain_here": 0},
)


def base(project: str) -> list[Entry]:
    """Return the members of a wheel. Its RECORD lists nothing, so that any of them may change."""
    folder = f"{project}-1.0.dist-info"
    return [
        entry(f"{project}/__init__.py", "x = 1\n" * 40),
        entry(f"{project}/two", b"xy", method=STORED),
        entry(f"{project}/d/"),
        entry(f"{project}/d/\u00e4", b"xyz"),
        entry(f"{folder}/METADATA", metadata(project)),
        entry(f"{folder}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
        entry(f"{folder}/RECORD", ""),
    ]


def change_field(chance: random.Random, entries: list[Entry]) -> str:
    field = chance.choice(list(FIELDS))
    at, value = chance.randrange(len(entries)), chance.choice(FIELDS[field])
    entries[at] = replace(entries[at], **{field: value})
    return f"{field} of {at} is {value!r}"


def change_sizes(chance: random.Random, entries: list[Entry]) -> str:
    """Let the zip64 fields of `two` give its sizes, or nearly."""
    pick = chance.choice
    fields = ("size", "packed_size", "local_size", "local_packed_size")
    values: dict[str, Any] = {field: pick((None, ELSEWHERE)) for field in fields}
    values["extra"] = pick((b"", numbers(2), numbers(2, 2)))
    values["local_extra"] = pick((b"", numbers(2), numbers(2, 2), numbers(2, 2)))
    entries[1] = replace(entries[1], **values)
    return f"two has {values}"


def add_member(chance: random.Random, entries: list[Entry]) -> str:
    project = entries[0].name.partition(b"/")[0].decode()
    name = chance.choice(NAMES).replace("{}", project)
    system = chance.choice((0, 3, 3, 6, 11))
    made = entry(name, b"evil", system=system, made_by=chance.choice((20, 50)))
    entries.insert(chance.randrange(len(entries) + 1), made)
    return f"there is {name!r} of system {system}"


def repeat_member(chance: random.Random, entries: list[Entry]) -> str:
    again = replace(chance.choice(entries), content=b"evil")
    entries.append(again)
    return f"{again.name!r} is there twice"


def reorder(chance: random.Random, entries: list[Entry]) -> str:
    chance.shuffle(entries)
    return "the members have another order"


CHANGES: Final[tuple[Change, ...]] = (
    change_field,
    change_field,
    change_sizes,
    add_member,
    add_member,
    repeat_member,
)


def write(chance: random.Random, entries: list[Entry]) -> tuple[str, bytes]:
    """Return the archive, which may have a comment, an end of zip64 or other bytes somewhere."""
    way = chance.random()
    if way < 0.1:
        comment = chance.choice(COMMENTS)
        return f"with the comment {comment[:9]!r}", rawzip.archive(entries, comment)
    if way < 0.2:
        end = chance.choice(ENDS)
        return f"with an end of zip64 {end}", rawzip.archive(entries, zip64=end)
    content = rawzip.archive(entries)
    if way < 0.3:
        at, octets = chance.randrange(len(content)), chance.randbytes(chance.choice((1, 1, 2, 4)))
        return f"with {octets!r} at {at}", content[:at] + octets + content[at + len(octets) :]
    if way < 0.4:
        return "with its directory in another order", reordered(chance, entries)
    return "as it is", content


def reordered(chance: random.Random, entries: list[Entry]) -> bytes:
    body, directory = b"", []
    for each in entries:
        directory.append(each.central(len(body)))
        body += each.local
    chance.shuffle(directory)
    central = b"".join(directory)
    count = len(directory)
    return (
        body
        + central
        + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(central), len(body), 0)
    )


def build(chance: random.Random, number: int) -> Wheel:
    project = f"w{number:07}"  # no name begins with another
    entries = base(project)
    done = [chance.choice(CHANGES)(chance, entries) for _ in range(chance.choice((1, 1, 1, 2, 3)))]
    if chance.random() < 0.2:
        done.append(reorder(chance, entries))
    how, content = write(chance, entries)
    return Wheel(f"{project}-1.0-py3-none-any.whl", content, (*done, how))


def wheels(number: int, seed: int) -> Iterator[Wheel]:
    chance = random.Random(seed)  # noqa: S311  # what is tried need not be secret
    return (build(chance, n) for n in range(number))


@pytest.fixture
def unzip() -> None:
    if not shutil.which("unzip"):
        reason = "there is no unzip here, with which wheels are compared: `apt-get install unzip`"
        if os.environ.get("PYTP_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.mark.promise("unpacked-alike")
def test_what_is_accepted_is_the_same_to_zipfile_unzip_and_uv(unzip: None) -> None:
    """Every run tries the same wheels; `make fuzz` tries new ones each time, and more of them."""
    profile = settings()
    seed = 1 if profile.derandomize else random.SystemRandom().randrange(2**32)
    accepted: list[Wheel] = []
    for wheel in wheels(4 * profile.max_examples, seed):
        WHEELS["built"] += 1
        if wheel.is_accepted:
            accepted.append(wheel)
        if len(accepted) == BATCH:
            compare(accepted)
            accepted.clear()
    compare(accepted)
