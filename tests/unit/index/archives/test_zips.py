"""The members of a wheel as a zip archive: sizes, checksums, and hidden members."""

import io
import stat
import struct
import tracemalloc
import warnings
import zipfile
import zlib
from functools import cache

import pytest

from tests.support.distributions import (
    UNSAFE_NAMES,
    WHEEL_NAME,
    Distribution,
    form,
    metadata,
    noise,
    recorded,
    sdist,
    wheel,
    wheel_members,
    zipped,
)
from tests.support.shelf import Shelf, assert_upload_refused


def zip_member(name: str, **attributes: int) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    for attribute, value in attributes.items():
        setattr(member, attribute, value)
    return member


def with_member(name: str | zipfile.ZipInfo, content: str = "") -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns about a name that is there already
        return zipped(recorded([*wheel_members().items(), (name, content)]))


def patched(content: bytes, old: bytes, new: bytes) -> bytes:
    assert len(old) == len(new)
    assert old in content
    return content.replace(old, new)


def poked(content: bytes, offset_in_header: int, value: bytes) -> bytes:
    """Change the first member's own header, and the directory's entry likewise."""
    changed = poked_directory(content, offset_in_header + 2, value)
    return changed[:offset_in_header] + value + changed[offset_in_header + len(value) :]


def poked_directory(content: bytes, offset_in_entry: int, value: bytes) -> bytes:
    """Change only the first entry of the zip's central directory."""
    start = content.index(b"PK\x01\x02") + offset_in_entry
    return content[:start] + value + content[start + len(value) :]


def with_inserted(content: bytes, position: int, octets: bytes) -> bytes:
    """Insert bytes before the zip's directory, and correct its offset in the end record."""
    changed = content[:position] + octets + content[position:]
    (offset,) = struct.unpack("<L", content[-6:-2])
    return end_record(changed, offset=offset + len(octets))


def local_entry(name: str) -> bytes:
    """Return a member with its own header, as it stands before a zip's directory."""
    return zipped([(name, "evil = True\n")]).partition(b"PK\x01\x02")[0]


def with_hidden_member() -> bytes:
    content = wheel().content
    return with_inserted(content, content.index(b"PK\x01\x02"), local_entry("evil.py"))


def with_hidden_member_between() -> bytes:
    """The directory has the right offsets of the members after the hidden one."""
    hidden = local_entry("evil.py")
    content = with_inserted(wheel().content, wheel().content.index(b"PK\x03\x04", 1), hidden)
    moved = content.index(b"PK\x01\x02")
    while (moved := content.find(b"PK\x01\x02", moved + 1)) > 0:
        (offset,) = struct.unpack_from("<L", content, moved + 42)
        content = (
            content[: moved + 42] + struct.pack("<L", offset + len(hidden)) + content[moved + 46 :]
        )
    return content


def with_another_local_name() -> bytes:
    content = wheel().content
    return content[:30] + b"evil" + content[34:]


def with_a_member_listed_twice() -> bytes:
    """Two entries of the directory for one member."""
    content = wheel().content
    start = content.index(b"PK\x01\x02")
    entry = content[start : content.index(b"PK\x01\x02", start + 1)]
    again = entry.replace(b"widgets/__init__.py", b"widgets/__main__.py")
    size, total = struct.unpack("<L", content[-10:-6])[0] + len(again), 5
    changed = content[:-22] + again + content[-22:]
    return end_record(changed, size=size, here=total, total=total)


def with_comment() -> bytes:
    """The last entry of the directory has a comment."""
    content = wheel().content
    start = content.rindex(b"PK\x01\x02") + 32
    (size,) = struct.unpack("<L", content[-10:-6])
    commented = content[:start] + b"\x01" + content[start + 1 : -22] + b"x"
    return end_record(commented + content[-22:], size=size + 1)


def streamed() -> bytes:
    """A zip written to a pipe: the sizes come after the content."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: int) -> int:
            raise io.UnsupportedOperation

        tell = seek

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in wheel_members().items():
            archive.writestr(name, content)
    return pipe.getvalue()


def with_extra(extra: bytes) -> bytes:
    member = zip_member("widgets/aaaa")
    member.extra = extra
    return zipped(recorded([*wheel_members().items(), (member, "")]))


def begun_with(name: str) -> bytes:
    """Return a wheel whose first member has this name."""
    return zipped(recorded([(name, ""), *wheel_members().items()]))


def with_flag(flag: int, wheel: bytes) -> bytes:
    """Return a wheel whose first member has this flag, in both of its headers."""
    content = bytearray(wheel)
    for place in (6, content.index(b"PK\x01\x02") + 8):
        content[place : place + 2] = struct.pack("<H", flag)
    return bytes(content)


def with_attributes(name: str, attributes: int) -> bytes:
    member = zip_member(name)
    member.external_attr = attributes
    return zipped(recorded([*wheel_members().items(), (member, "")]))


def with_members(*names: str) -> bytes:
    return zipped(recorded([*wheel_members().items(), *((name, "") for name in names)]))


def end_record(content: bytes, **changes: int) -> bytes:
    keys = ("disk", "first", "here", "total", "size", "offset", "comment")
    values = dict(zip(keys, struct.unpack("<4H2LH", content[-18:]), strict=True)) | changes
    return content[:-18] + struct.pack("<4H2LH", *values.values())


def zip64() -> bytes:
    """A zip whose directory ends with bytes that are the locator of another directory."""
    content = with_member("widgets/x")
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)
    size = struct.unpack("<L", content[-10:-6])[0]
    return end_record(content[:-22] + locator + content[-22:], size=size + len(locator))


def with_zip64_directory_in_a_comment() -> bytes:
    """A zip with an unsafe name for unzip, and a safe one for Python, which uses the locator."""
    content = zipped([("../evil", ""), *wheel_members().items()])
    count, size, start = struct.unpack("<HLL", content[-12:-2])
    directory = content[start:-22]
    second = directory.replace(b"../evil", b"widgets")
    counts = (0, 0, count, count, size, start + size)
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, *counts)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, start + 2 * size, 1)
    comment = second + record + locator
    last = content.rindex(b"PK\x01\x02") + 32
    commented = content[:last] + struct.pack("<H", len(comment)) + content[last + 2 : -22]
    return end_record(commented + comment + content[-22:], size=size + len(comment))


def unicode_path(path: bytes) -> bytes:
    """Return the extra field with another name, which only newer versions of Python read."""
    return struct.pack("<HHBL", 0x7075, 5 + len(path), 1, zlib.crc32(b"widgets/aaaa")) + path


def asi_unix(mode: int) -> bytes:
    """Return the extra field with another file mode, which unzip reads if the entry has none."""
    values = struct.pack("<HLHH", mode, 0, 0, 0)
    return struct.pack("<HHL", 0x756E, 4 + len(values), zlib.crc32(values)) + values


def zip_bomb() -> bytes:
    return with_member("widgets/zeros", "\0" * (80 * 1024 * 1024))


@cache
def lying_metadata() -> bytes:
    """A METADATA that inflates to 50 MiB, and says that it has ten bytes, as RECORD does."""
    bomb = "x" * (50 * 1024 * 1024)
    return lying("widgets-1.0.dist-info/METADATA", bomb)


@cache
def lying_bomb() -> bytes:
    """A member that inflates to 80 MB, and says that it has ten bytes, as RECORD does."""
    return lying("widgets/zeros", "\0" * 80_000_001)


def lying(name: str, bomb: str) -> bytes:
    members = dict(recorded({**wheel_members(), name: bomb[:10]}.items()))
    content = zipped({**members, name: bomb}.items())
    return patched(content, struct.pack("<L", len(bomb)), struct.pack("<L", 10))


def stating(packed: bytes, content: bytes, method: int = zipfile.ZIP_DEFLATED) -> Distribution:
    """Return a wheel whose first member has these bytes, and the size and checksum of others."""
    _, *others = recorded([("widgets/x", content), *wheel_members().items()])
    made = zipped([("widgets/x", packed), *others], zipfile.ZIP_STORED)
    made = poked(made, 8, struct.pack("<H", method))
    made = poked(made, 14, struct.pack("<L", zlib.crc32(content)))
    return Distribution(WHEEL_NAME, poked(made, 22, struct.pack("<L", len(content))))


def deflated(content: bytes) -> bytes:
    return zlib.compress(content, wbits=-15)


@pytest.mark.promise("unpacked-inside")
@pytest.mark.parametrize("name", UNSAFE_NAMES, ids=repr)
def test_a_wheel_with_an_unsafe_member_is_refused(shelf: Shelf, name: str) -> None:
    assert_upload_refused(shelf, Distribution(WHEEL_NAME, with_member(name)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"x", "not a zip"),
        (b"PK\x03\x04" + b"x" * 100, "in parts"),
        (sdist().content, "not a zip"),
        (b"#!/bin/sh\n" + wheel().content, "not a zip"),
        (wheel().content[:-1], "in parts"),
        (wheel().content + b"x", "in parts"),
        (end_record(wheel().content, comment=1), "in parts"),
        (end_record(wheel().content, disk=1), "in parts"),
        (end_record(wheel().content, first=1), "in parts"),
        (end_record(wheel().content, here=1), "in parts"),
        (end_record(wheel().content, here=3, total=3), "the number of members that it states"),
        (end_record(wheel().content, offset=0), "directory"),
        (zip64(), "second directory"),
        (with_zip64_directory_in_a_comment(), "second directory"),
        (with_member("widgets/__init__.py"), "two members"),
        (with_member("widgets/__init__.py/"), "two members"),
        (with_member("widgets/d/", "x"), "directory with content"),
        (patched(with_member("widgets/x\x1fy"), b"x\x1fy", b"x\x00y"), "unsafe"),
        (poked(wheel().content, 8, b"\x0e\x00"), "deflate"),
        (poked(wheel().content, 6, b"\x01\x00"), "encrypted"),
        (poked(wheel().content, 18, b"\x00\x00\x00\x01"), "that its directory does not list"),
        (poked(wheel().content, 22, b"\x00\x00\x00\x10"), "unpacks to more than 64 MiB"),
        (poked_directory(wheel().content, 8, b"\x02\x00"), "contradicts"),
        (poked_directory(wheel().content, 10, b"\x00\x00"), "contradicts"),
        (poked_directory(wheel().content, 16, b"\x01"), "contradicts"),
        (poked_directory(wheel().content, 20, b"\x01"), "contradicts"),
        (poked_directory(wheel().content, 24, b"\x01"), "contradicts"),
        (poked_directory(wheel().content, 42, b"\x01"), "contradicts"),
        (poked_directory(wheel().content, 28, b"\x01"), "directory is not at its end"),
        (with_comment(), "comment on a member"),
        (with_another_local_name(), "contradicts"),
        (with_hidden_member(), "that its directory does not list"),
        (with_hidden_member_between(), "that its directory does not list"),
        (
            with_inserted(wheel().content, wheel().content.index(b"PK\x01"), b"x"),
            "its directory does not list",
        ),
        (with_a_member_listed_twice(), "the number of members that it states"),
        (streamed(), "data descriptor"),
        (with_extra(unicode_path(b"evil.py")), "`widgets/aaaa` has a second name"),
        (with_extra(asi_unix(stat.S_IFLNK | 0o777)), "`widgets/aaaa` has a second type"),
        (with_extra(struct.pack("<HH", 0x6375, 0)), "`widgets/aaaa` has a second comment"),
        (with_extra(struct.pack("<HHH", 0x000D, 2, 0)), "`widgets/aaaa` has a second type"),
        (with_extra(struct.pack("<HHH", 0x6C78, 2, 0)), "`widgets/aaaa` has a second type"),
        (with_extra(struct.pack("<HHQQ", 1, 16, 0, 0)), "`widgets/aaaa` has two sizes"),
        *(
            (with_flag(flag, wheel().content), "not all tools know")
            for flag in (0x1, 0x10, 0x20, 0x40, 0x2000)
        ),
        (with_flag(0, begun_with("widgets/\u00e4")), "marked as UTF-8"),
        (with_attributes("widgets/x.py", stat.S_IFDIR << 16), "for some tools"),
        (with_attributes("widgets/x.py", 0x10), "for some tools"),
        (with_attributes("widgets/x/", stat.S_IFREG << 16), "for some tools"),
        (with_members("widgets/x", "widgets/x/y"), "below the file `widgets/x`"),
        (with_extra(struct.pack("<HHQ", 1, 8, 0)), "`widgets/aaaa` has two sizes"),
        (with_extra(struct.pack("<HH", 1, 0)), "`widgets/aaaa` has two sizes"),
        (with_extra(struct.pack("<HH", 0xCAFE, 1)), "malformed extra"),
        (zip_bomb(), "unpacks to more than 64 MiB"),
        (lying_metadata(), "not as stated"),
        (lying_bomb(), "not as stated"),
        (zipped([("widgets/__init__.py", "")]), "exactly one .dist-info directory"),
        (
            zipped([(f"x/{n}", c) for n, c in wheel_members().items()]),
            "exactly one .dist-info directory",
        ),
        (with_member("gadgets-1.0.dist-info/METADATA"), "exactly one .dist-info directory"),
        (with_member("Widgets-1.0.DIST-INFO/METADATA"), "exactly one .dist-info directory"),
        (zipped(wheel_members("gadgets").items()), "exactly one .dist-info directory"),
        (zipped(wheel_members(version="1.1").items()), "exactly one .dist-info directory"),
        (
            zipped([("widgets-1.0.DIST-INFO/METADATA", metadata())]),
            "exactly one .dist-info directory",
        ),
        (zipped([("widgets.dist-info/METADATA", metadata())]), "it has `widgets.dist-info`"),
        (zipped([("widgets-1.0.dist-info/WHEEL", "")]), "METADATA"),
        (zipped([("widgets-1.0.dist-info/a/METADATA", metadata())]), "METADATA"),
        (wheel(text="x" * (1024 * 1024 + 1)).content, "1 MiB: shorten the project's description"),
        (zipped([(str(i), "") for i in range(20_001)], zipfile.ZIP_STORED), "20,000 members"),
    ],
)
def test_a_wheel_is_refused_that_is(shelf: Shelf, content: bytes, words: str) -> None:
    assert_upload_refused(shelf, Distribution(WHEEL_NAME, content), words)


@pytest.mark.promise("unpacked-alike")
@pytest.mark.parametrize(
    ("packed", "content"),
    [
        (deflated(b"x" * 100), b"x" * 99),
        (deflated(b"x" * 100), b"x" * 101),
        (deflated(b"x" * 100), b""),
        (deflated(noise(200_000)), noise(200_000)[:100_000]),
        (deflated(noise(100_000) * 2), noise(100_000)),
    ],
    ids=["less", "more", "nothing", "half", "once"],
)
def test_a_wheel_that_states_another_size_than_a_member_has_is_refused(
    shelf: Shelf, packed: bytes, content: bytes
) -> None:
    assert_upload_refused(shelf, stating(packed, content), "not as stated")


@pytest.mark.parametrize("content", [b"x", b"xxx"], ids=["less", "more"])
def test_a_wheel_that_states_another_size_than_a_stored_member_has_is_refused(
    shelf: Shelf, content: bytes
) -> None:
    assert_upload_refused(shelf, stating(b"xx", content, zipfile.ZIP_STORED), "not as stated")


@pytest.mark.parametrize(
    "distribution",
    [
        stating(b"xx", b"xy", zipfile.ZIP_STORED),
        stating(deflated(b"xx"), b"xy"),
        stating(deflated(noise(100_000)), noise(100_000)[::-1]),
    ],
    ids=["stored", "deflated", "in pieces"],
)
def test_a_wheel_with_a_member_of_another_checksum_is_refused(
    shelf: Shelf, distribution: Distribution
) -> None:
    assert_upload_refused(shelf, distribution, "CRC-32")


def test_a_wheel_whose_metadata_has_another_checksum_is_refused(shelf: Shelf) -> None:
    members = {"widgets-1.0.dist-info/METADATA": metadata(), **wheel_members()}
    made = wheel(members=members).content

    assert_upload_refused(shelf, Distribution(WHEEL_NAME, poked(made, 14, b"\0\0\0\0")), "CRC-32")


@pytest.mark.parametrize(
    "packed",
    [
        deflated(b"x" * 100) + b"y",
        deflated(b"x" * 100) + deflated(b"y"),
        deflated(b"x" * 100) + b"y" * 100_000,
        deflated(b"x" * 100)[:-1],
        b"",
    ],
    ids=["a byte more", "a second stream", "much more", "a byte less", "nothing"],
)
def test_a_wheel_whose_member_is_more_or_less_than_one_stream_is_refused(
    shelf: Shelf, packed: bytes
) -> None:
    assert_upload_refused(
        shelf, stating(packed, b"x" * 100), "the compressed data in the archive is cut short, or"
    )


def test_a_wheel_whose_member_is_not_deflated_is_refused(shelf: Shelf) -> None:
    assert_upload_refused(shelf, stating(b"\xff" * 9, b"x" * 9), "not a valid archive")


@pytest.mark.parametrize("content", [lying_bomb(), lying_metadata()], ids=["member", "METADATA"])
def test_no_more_of_a_member_is_unpacked_than_a_piece_beyond_its_stated_size(
    shelf: Shelf, content: bytes
) -> None:
    body = form(Distribution(WHEEL_NAME, content))
    tracemalloc.start()

    answer = shelf.post(body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert answer.status == 400
    assert peak < 4 * len(body) + 512 * 1024


@pytest.mark.parametrize("size", [1, 16_384, 65_535, 65_536, 65_537, 1_000_000])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_wheel_may_have_members_of_any_size(shelf: Shelf, method: int, size: int) -> None:
    members = [("widgets/noise", noise(size)), ("widgets/zeros", bytes(size))]
    content = zipped(recorded([*members, *wheel_members().items()]), method)

    assert shelf.publish(Distribution(WHEEL_NAME, content)).status == 200


SPECIAL_TYPES = [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK, 0o150000]


@pytest.mark.promise("unpacked-inside")
@pytest.mark.parametrize("system", [0, 3, 19], ids=["DOS", "Unix", "macOS"])
@pytest.mark.parametrize("kind", SPECIAL_TYPES, ids=oct)
def test_a_wheel_with_a_link_or_a_special_file_is_refused(
    shelf: Shelf, kind: int, system: int
) -> None:
    member = zip_member("widgets/l", create_system=system, external_attr=(kind | 0o777) << 16)

    assert_upload_refused(
        shelf, Distribution(WHEEL_NAME, with_member(member, "/etc/passwd")), "only plain"
    )


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("widgets/f", stat.S_IFREG | 0o644),
        ("widgets/f", stat.S_IFREG | 0o4755),
        ("widgets/f", 0o644),
        ("widgets/f", 0),
        ("widgets/d/", stat.S_IFDIR | 0o755),
    ],
)
def test_a_wheel_may_have_files_and_directories_of_any_permissions(
    shelf: Shelf, name: str, mode: int
) -> None:
    member = zip_member(name, create_system=3, external_attr=mode << 16)

    assert shelf.publish(Distribution(WHEEL_NAME, with_member(member))).status == 200


@pytest.mark.promise("unpacked-alike")
@pytest.mark.parametrize(
    "name",
    [
        "widgets-1.0.dist-info/metadata",
        "widgets-1.0.dist-info/Metadata",
        "widgets-1.0.dist-info/metadata/",
        "widgets-1.0.dist-info/METADATA.",
        "widgets-1.0.dist-info/METADATA ",
        "widgets-1.0.dist-info/METADATA::$DATA",
        "Widgets-1.0.dist-info/METADATA",
        "widgets-1.0.Dist-Info/METADATA",
        "widgets-1.0.dist-info./METADATA",
        "widgets-1.0.dist-info /METADATA",
        "widgets-1.0.dist-info::$INDEX_ALLOCATION/METADATA",
        "widgets-1.0.di\ufb06-info/METADATA",
        "widgets-1.0.data/purelib/widgets-1.0.dist-info/METADATA",
        "widgets-1.0.data/purelib/gadgets-9.9.dist-info/METADATA",
        "widgets-1.0.data/platlib/Widgets-1.0.DIST-INFO/METADATA",
        "widgets-1.0.DATA/purelib/gadgets-9.9.dist-info",
    ],
)
def test_a_wheel_has_one_metadata_file_on_every_file_system(shelf: Shelf, name: str) -> None:
    assert_upload_refused(shelf, Distribution(WHEEL_NAME, with_member(name, metadata("gadgets"))))


@pytest.mark.parametrize(
    "name",
    [
        "widgets-1.0.data/scripts/widgets",
        "widgets-1.0.data/data/share/x.dist-information/y",
        "widgets/a.data/purelib/x.dist-info/METADATA",
    ],
)
def test_a_wheel_may_have_data(shelf: Shelf, name: str) -> None:
    assert shelf.publish(Distribution(WHEEL_NAME, with_member(name))).status == 200


@pytest.mark.parametrize(
    "name", ["widgets/metadata", "widgets-1.0.dist-info/licenses/metadata", "WIDGETS/init.py"]
)
def test_other_members_of_a_wheel_may_be_spelt_as_they_like(shelf: Shelf, name: str) -> None:
    assert shelf.publish(Distribution(WHEEL_NAME, with_member(name))).status == 200


@pytest.mark.parametrize(
    "extra",
    [
        struct.pack("<HHLL", 0x5455, 8, 1, 1),
        struct.pack("<HH", 0xCAFE, 0),
        b"",
    ],
    ids=["times", "an empty field", "none"],
)
def test_a_wheel_may_have_extra_fields(shelf: Shelf, extra: bytes) -> None:
    assert shelf.publish(Distribution(WHEEL_NAME, with_extra(extra))).status == 200


def test_the_members_of_a_wheel_may_be_listed_in_any_order(shelf: Shelf) -> None:
    first, *others, end = wheel().content.partition(b"PK\x01\x02")[2].split(b"PK\x01\x02")
    *others, end = [*others, *end.split(b"PK\x05\x06")]
    directory = b"".join(b"PK\x01\x02" + entry for entry in [*others, first])
    content = wheel().content.partition(b"PK\x01\x02")[0] + directory + b"PK\x05\x06" + end

    assert shelf.publish(Distribution(WHEEL_NAME, content)).status == 200


def test_directories_and_differently_written_names_in_a_wheel_are_fine(shelf: Shelf) -> None:
    members = {
        "My.Widgets-1.0.0.dist-info/METADATA": metadata("my.widgets"),
        "My.Widgets-1.0.0.dist-info/WHEEL": "Wheel-Version: 1.0\n",
        "my_widgets/": "",
    }
    d = wheel("my-widgets", members=members)

    assert shelf.publish(d).status == 200
