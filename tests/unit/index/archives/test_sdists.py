"""The content of an sdist: only a tar archive that every tool reads alike is published."""

import gzip
import io
import shutil
import subprocess
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.distributions import (
    SDIST_NAME,
    UNSAFE_NAMES,
    Distribution,
    metadata,
    noise,
    sdist,
    sdist_members,
    tarred,
    wheel,
)
from tests.support.shelf import Shelf, assert_upload_refused

GNU = b"ustar  \0"
CHECKSUM = slice(148, 156)
# Where a header has the fields that tests change.
FIELDS = {
    "name": slice(100),
    "mode": slice(100, 108),
    "uid": slice(108, 116),
    "gid": slice(116, 124),
    "size": slice(124, 136),
    "mtime": slice(136, 148),
    "link": slice(157, 257),
    "magic": slice(257, 265),
    "user": slice(265, 297),
    "major": slice(329, 337),
    "minor": slice(337, 345),
    "prefix": slice(345, 500),
    "rest": slice(500, 512),
}


def tar_member(name: str, kind: bytes = tarfile.REGTYPE, **attributes: object) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    for attribute, value in attributes.items():
        setattr(member, attribute, value)
    return member


def with_tar_member(member: tarfile.TarInfo | str, content: bytes = b"") -> bytes:
    return gzip.compress(tarred([*sdist_members().items(), (member, content)]))


def extended(octets: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    """Return an sdist that begins with this extended header."""
    header = tarfile.TarInfo("x")
    header.type, header.size = kind, len(octets)
    padding = b"\0" * (-len(octets) % 512)
    return gzip.compress(header.tobuf() + octets + padding + tarred(sdist_members().items()))


def record(key: str, value: str) -> bytes:
    rest = f" {key}={value}\n".encode()
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length += 1
    return b"%d%b" % (length, rest)


def nested_headers() -> bytes:
    """Extended headers of extended headers, 5000 deep: tarfile recurses."""
    octets = record("path", "x")
    header = tar_member("x", tarfile.XHDTYPE, size=len(octets)).tobuf()
    return gzip.compress((header + octets.ljust(512, b"\0")) * 5000)


def sparse_gnu() -> bytes:
    return ending_with(sized(512, kind=tarfile.GNUTYPE_SPARSE), bytes(512))


def unended() -> bytes:
    """Return the tar of an sdist up to where its end would be marked."""
    content = tarred(sdist_members().items()).rstrip(b"\0")
    return content + b"\0" * (-len(content) % 512)


def header(path: str = "widgets-1.0/a", /, kind: bytes = b"0", **fields: bytes) -> bytes:
    """Return a header that is good but for these fields, with the right checksum."""
    octets = bytearray(tar_member(path, kind).tobuf(tarfile.USTAR_FORMAT))
    for field, value in fields.items():
        place = FIELDS[field]
        octets[place] = value.ljust(len(octets[place]), b"\0")
    octets[CHECKSUM] = b" " * 8
    return summed(bytes(octets), b"%06o\0 " % sum(octets))


def summed(octets: bytes, checksum: bytes) -> bytes:
    return octets[: CHECKSUM.start] + checksum.ljust(8, b"\0") + octets[CHECKSUM.stop :]


def sized(size: int, path: str = "widgets-1.0/a", kind: bytes = b"0", **fields: bytes) -> bytes:
    return header(path, kind, size=b"%011o" % size, **fields)


def padded(octets: bytes) -> bytes:
    return octets + bytes(-len(octets) % 512)


def records(*lines: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    octets = b"".join(lines)
    return sized(len(octets), "PaxHeader", kind) + padded(octets)


def said(key: str, value: str, kind: bytes = tarfile.XHDTYPE) -> bytes:
    return records(record(key, value), kind=kind)


def long_name(octets: bytes, kind: bytes = tarfile.GNUTYPE_LONGNAME) -> bytes:
    return sized(len(octets), "././@LongLink", kind, magic=GNU) + padded(octets)


def ending_with(*blocks: bytes) -> bytes:
    """Return an sdist with these blocks after its members."""
    return gzip.compress(unended() + b"".join(blocks) + bytes(1024))


def poked_gzip(position: int) -> bytes:
    """Return an sdist with a changed checksum (offset -8) or length (-4) at the gzip's end."""
    content = bytearray(sdist().content)
    content[position] ^= 1
    return bytes(content)


def evil_tar() -> bytes:
    return tarred([("../../evil", b"x")])


def huge_member() -> bytes:
    """A member of 1 GiB of zeros, in a megabyte."""
    header = tar_member("widgets-1.0/zeros", size=1 << 30).tobuf()
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1) as file:
        file.write(header)
        for _ in range(100):
            file.write(b"\0" * (1 << 20))
    return buffer.getvalue()


@pytest.mark.promise("unpacked-inside")
@pytest.mark.parametrize("name", UNSAFE_NAMES, ids=repr)
def test_an_sdist_with_an_unsafe_member_is_refused(shelf: Shelf, name: str) -> None:
    assert_upload_refused(shelf, Distribution(SDIST_NAME, with_tar_member(name)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"x", "cut short"),
        (wheel().content, "not a valid archive"),
        (gzip.compress(b""), "one top-level"),
        (gzip.compress(b"x" * 1024), "malformed size or checksum"),
        (sdist().content[:-10], "cut short"),
        (sdist().content + b"x", "data follows"),
        (sdist().content + b"x" * 100_000, "data follows"),
        (sdist().content + b"\0", "data follows"),
        (sdist().content + wheel().content, "data follows"),
        (sdist().content + gzip.compress(b""), "data follows"),
        (sdist().content + gzip.compress(evil_tar()), "data follows"),
        (gzip.compress(unended()) + gzip.compress(evil_tar()), "data follows"),
        (gzip.compress(b"") + sdist().content, "data follows"),
        (poked_gzip(-8), "not a valid archive"),
        (poked_gzip(-4), "not a valid archive"),
        (gzip.compress(unended()[:-512]), "cut short"),
        (gzip.compress(unended()[:-2048]), "cut short"),
        (gzip.compress(unended() + header()[:-1]), "cut short"),
        (with_tar_member(tar_member("widgets-1.0/l", tarfile.CHRTYPE)), "not a plain file"),
        (with_tar_member(tar_member("widgets-1.0/l", tarfile.BLKTYPE)), "not a plain file"),
        (with_tar_member(tar_member("widgets-1.0/l", tarfile.FIFOTYPE)), "not a plain file"),
        (with_tar_member(tar_member("widgets-1.0/l", b"9")), "not a plain file"),
        (sparse_gnu(), "not a plain file"),
        (with_tar_member("widgets-1.0/PKG-INFO", b"x"), "two members"),
        (
            with_tar_member(tar_member("widgets-1.0/PKG-INFO", tarfile.DIRTYPE)),
            "two members",
        ),
        (with_tar_member("gadgets-1.0/PKG-INFO", b"x"), "one top-level"),
        (with_tar_member("README"), "one top-level"),
        (gzip.compress(tarred([("widgets-1.0/a", b"")])), "one top-level"),
        (gzip.compress(tarred([("widgets-1.0/a/PKG-INFO", b"")])), "one top-level"),
        (gzip.compress(tarred([("PKG-INFO", b"")])), "one top-level"),
        (
            gzip.compress(tarred([(tar_member("widgets-1.0/PKG-INFO", tarfile.DIRTYPE), b"")])),
            "one top-level",
        ),
        (
            gzip.compress(tarred(sdist_members(text="x" * (1 << 20) + "x").items())),
            "1 MiB: shorten the project's description",
        ),
        (gzip.compress(tarred([(f"w/{i}", b"") for i in range(20_001)]), 1), "20,000 members"),
        (huge_member(), "unpacks to more than 64 MiB"),
        (gzip.compress(unended() + bytes(80 << 20)), "unpacks to more than 64 MiB"),
        (extended(b"x" * 20_000), "too long"),
        (extended(b"2 " * 4000 + b"=\n"), "malformed extended"),
        (extended(b"10 path=a\n" + b"0 path=b\n"), "malformed extended"),
        (extended(b"-5 path=a\n"), "malformed extended"),
        (extended(b"path=a\n"), "malformed extended"),
        (extended(record("path", "../x")), "unsafe"),
        (extended(b"../x\0", tarfile.GNUTYPE_LONGNAME), "unsafe"),
        (nested_headers(), "does not follow directly"),
    ],
)
def test_an_sdist_is_refused_that_is(shelf: Shelf, content: bytes, words: str) -> None:
    assert_upload_refused(shelf, Distribution(SDIST_NAME, content), words)


@pytest.mark.promise("unpacked-alike")
@pytest.mark.parametrize(
    ("rest", "words"),
    [
        (bytes(1024) + evil_tar(), "after the end"),
        (bytes(10_240) + evil_tar(), "after the end"),
        (bytes(512) + evil_tar(), "after the end"),
        (bytes(100_000) + b"x", "after the end"),
        (bytes(513) + b"x", "after the end"),
        (bytes(511) + b"x", "malformed size or checksum"),
        (b"x", "data follows"),
        (b"x" * 512 + evil_tar(), "malformed size or checksum"),
        (evil_tar()[:148] + b"7" + evil_tar()[149:], "wrong checksum"),
    ],
    ids=[
        "a second tar",
        "a second tar behind the padding",
        "a second tar behind a single block",
        "a byte behind the padding",
        "a byte behind a single block",
        "a byte in the first block",
        "a byte",
        "a second tar behind a block that is no header",
        "a second tar with a wrong checksum",
    ],
)
def test_an_sdist_with_anything_behind_its_members_is_refused(
    shelf: Shelf, rest: bytes, words: str
) -> None:
    content = gzip.compress(unended() + rest)

    assert_upload_refused(shelf, Distribution(SDIST_NAME, content), words)


@pytest.mark.parametrize("name", ["a ", "a /b", "\u00e4 "])
def test_an_sdist_with_a_name_that_ends_in_a_blank_is_refused(shelf: Shelf, name: str) -> None:
    content = with_tar_member(f"widgets-1.0/{name}", b"x")

    assert_upload_refused(shelf, Distribution(SDIST_NAME, content), "ends in a blank")


@pytest.mark.parametrize("name", ["x" * 256, "x" * 256 + "/y", "\u00e4" * 128])
def test_an_sdist_with_a_name_that_is_too_long_for_a_file_is_refused(
    shelf: Shelf, name: str
) -> None:
    content = with_tar_member(f"widgets-1.0/{name}", b"x")

    assert_upload_refused(shelf, Distribution(SDIST_NAME, content), "at most 255 bytes")


@pytest.mark.parametrize("name", ["C:evil", "d:/x", "x/D:evil", "C:"])
def test_an_sdist_with_a_drive_letter_in_a_name_is_refused(shelf: Shelf, name: str) -> None:
    content = with_tar_member(f"widgets-1.0/{name}")

    assert_upload_refused(
        shelf, Distribution(SDIST_NAME, content), "because of its colon; rename it"
    )


def test_an_sdist_with_a_stream_of_another_file_is_refused(shelf: Shelf) -> None:
    content = with_tar_member("widgets-1.0/src/widgets.py:stream")

    assert_upload_refused(shelf, Distribution(SDIST_NAME, content), "which become one file")


@pytest.mark.parametrize(
    "name", ["x" * 255, "\u00e4" * 127, "a b", " a", "a .", "Symbol List: Blocks", "12:30"]
)
def test_an_sdist_with_a_name_that_file_systems_take_is_accepted(shelf: Shelf, name: str) -> None:
    content = with_tar_member(f"widgets-1.0/{name}", b"x")

    assert shelf.publish(Distribution(SDIST_NAME, content)).status == 200


@pytest.mark.parametrize("length", [0, 100, 512, 1024, 10_240, 100_000])
def test_an_sdist_may_be_padded_with_zeros(shelf: Shelf, length: int) -> None:
    content = gzip.compress(unended() + bytes(length))

    assert shelf.publish(Distribution(SDIST_NAME, content)).status == 200


@pytest.mark.parametrize("size", [1, 16_384, 65_535, 65_536, 65_537, 1_000_000])
def test_an_sdist_may_have_members_of_any_size(shelf: Shelf, size: int) -> None:
    members = [("widgets-1.0/noise", noise(size)), ("widgets-1.0/zeros", bytes(size))]
    made = sdist(members=[*members, *sdist_members().items()])

    assert shelf.publish(made).status == 200


@pytest.mark.parametrize(
    "name",
    [
        "widgets-1.0/pkg-info",
        "widgets-1.0/Pkg-Info",
        "widgets-1.0/PKG-INFO.",
        "widgets-1.0/PKG-INFO ",
        "widgets-1.0/PKG-INFO::$DATA",
        "Widgets-1.0/PKG-INFO",
        "widgets-1.0./PKG-INFO",
    ],
)
def test_an_sdist_has_one_metadata_file_on_every_file_system(shelf: Shelf, name: str) -> None:
    content = with_tar_member(name, metadata("gadgets").encode())

    assert_upload_refused(shelf, Distribution(SDIST_NAME, content))


@pytest.mark.parametrize("name", ["docs/pkg-info", "src/widgets.egg-info/PKG-INFO"])
def test_other_members_of_an_sdist_may_be_spelt_as_they_like(shelf: Shelf, name: str) -> None:
    content = with_tar_member(f"widgets-1.0/{name}", b"x")

    assert shelf.publish(Distribution(SDIST_NAME, content)).status == 200


@pytest.mark.parametrize("style", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_an_sdist_of_every_tar_format_is_accepted(shelf: Shelf, style: int) -> None:
    buffer = io.BytesIO()
    with tarfile.open(
        fileobj=buffer, mode="w:gz", format=style, pax_headers={"comment": "x"}
    ) as tar:
        tar.addfile(tar_member("widgets-1.0", tarfile.DIRTYPE))
        tar.addfile(tar_member("widgets-1.0/" + "x" * 80 + "/" + "y" * 90))
        content = metadata().encode()
        tar.addfile(tar_member("widgets-1.0/PKG-INFO", size=len(content)), io.BytesIO(content))

    assert shelf.publish(Distribution(SDIST_NAME, buffer.getvalue())).status == 200


def test_an_extended_header_with_a_fractional_time_is_accepted(shelf: Shelf) -> None:
    """Python's own sdist builders write such a header."""
    content = extended(record("mtime", "1700000000.25") + record("path", "widgets-1.0/p"))

    assert shelf.publish(Distribution(SDIST_NAME, content)).status == 200


@pytest.mark.parametrize("name", ["BZh", "widgets-1.0/" + "x" * 87 + "\u00e4"])
def test_the_name_of_an_extended_header_may_be_any_text(shelf: Shelf, name: str) -> None:
    octets = record("path", "widgets-1.0/p")
    content = ending_with(
        sized(len(octets), kind=b"x", name=name.encode()[:100]) + padded(octets), header()
    )

    assert shelf.publish(Distribution(SDIST_NAME, content)).status == 200


# What tar readers disagree about


EVIL = header("widgets-1.0/evil")


@pytest.mark.promise("unpacked-alike")
@pytest.mark.parametrize(
    "blocks",
    [
        pytest.param([said("size", "512"), header(), EVIL], id="CVE-2025-62518"),
        pytest.param([said("size", "0"), sized(512), EVIL], id="CVE-2026-33055"),
        pytest.param([said("size", "1"), sized(2), padded(b"xx")], id="in one block"),
        pytest.param([said("size", "512"), header("widgets-1.0/d", kind=b"5")], id="a directory"),
        pytest.param([said("size", "-512"), header()], id="negative"),
        pytest.param([said("size", "-0"), header()], id="a sign"),
        pytest.param([said("size", "00"), header()], id="two digits"),
        pytest.param([said("size", "0.0"), header()], id="a fraction"),
    ],
)
def test_an_sdist_with_a_member_of_two_sizes_is_refused(shelf: Shelf, blocks: list[bytes]) -> None:
    assert_upload_refused(shelf, Distribution(SDIST_NAME, ending_with(*blocks)), "two sizes")


@pytest.mark.promise("unpacked-alike")
@pytest.mark.parametrize(
    "said_before",
    [said("path", "widgets-1.0/blob"), long_name(b"widgets-1.0/blob\0")],
    ids=["records", "a long name"],
)
def test_a_file_that_python_takes_for_a_directory_is_refused(
    shelf: Shelf, said_before: bytes
) -> None:
    """Python's tarfile goes by the header's own name, and reads the content as members."""
    evil = EVIL + padded(b"import os")
    content = ending_with(
        said_before, header("widgets-1.0/d/", b"\0", size=b"%011o" % len(evil)), evil
    )

    assert_upload_refused(shelf, Distribution(SDIST_NAME, content), "name of a directory")


@pytest.mark.promise("unpacked-alike")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        (b"\x1f\x8b\x08", "not UTF-8"),
        (b"begin 644 a\n#mtree\n", "not text"),
        (b"BZh91AY&SY", "not text"),
        (b"\xfd7zXZ", "not UTF-8"),
        (b"a\0b", "data after its end"),
    ],
)
@pytest.mark.parametrize("kind", [b"x", b"L", b"g", b"0"])
def test_an_sdist_that_begins_like_something_else_is_refused(
    shelf: Shelf, name: bytes, words: str, kind: bytes
) -> None:
    """Some tools go by the first bytes, which are the name of a member here."""
    content = gzip.compress(header(kind=kind, name=name) + unended() + bytes(1024))

    assert_upload_refused(shelf, Distribution(SDIST_NAME, content), words)


@pytest.mark.promise("unpacked-inside")
def test_a_member_below_a_file_is_refused(shelf: Shelf) -> None:
    content = ending_with(
        header("widgets-1.0/x/y"), header("widgets-1.0/x"), header("widgets-1.0/x.py")
    )

    assert_upload_refused(
        shelf, Distribution(SDIST_NAME, content), "below the file `widgets-1.0/x`"
    )


def test_a_member_below_a_directory_and_beside_a_file_is_accepted(shelf: Shelf) -> None:
    content = ending_with(
        *(header("widgets-1.0/x/", b"5"), header("widgets-1.0/x/y"), header("widgets-1.0/x-1")),
        *(header("widgets-1.0/x/y.py"), header("widgets-1.0/x.py")),
    )

    assert shelf.publish(Distribution(SDIST_NAME, content)).status == 200


@pytest.mark.parametrize(
    "names",
    [["widgets-1.0/" + "x" * 4085], ["widgets-1.0/" + "x" * 4000 + f"{n}" for n in range(2100)]],
    ids=["one", "together"],
)
def test_names_that_are_too_long_are_refused(shelf: Shelf, names: list[str]) -> None:
    content = ending_with(*(said("path", name) + header() for name in names))

    assert_upload_refused(shelf, Distribution(SDIST_NAME, content), "names that are too long")


LONG_NAME = long_name(b"widgets-1.0/long\0")
PATH = said("path", "widgets-1.0/path")


@pytest.mark.promise("unpacked-alike")
@pytest.mark.parametrize(
    ("before", "words"),
    [
        pytest.param([PATH, PATH], "does not follow directly", id="records twice"),
        pytest.param([LONG_NAME, LONG_NAME], "does not follow directly", id="long names twice"),
        pytest.param([PATH, LONG_NAME], "does not follow directly", id="records, then a long name"),
        pytest.param([LONG_NAME, PATH], "does not follow directly", id="a long name, then records"),
        pytest.param(
            [said("size", "0"), LONG_NAME], "does not follow directly", id="CVE-2026-53655"
        ),
        pytest.param(
            [PATH, said("comment", "x", b"g")],
            "does not follow directly",
            id="records, then for all",
        ),
        pytest.param(
            [LONG_NAME, said("comment", "x", b"g")],
            "does not follow directly",
            id="long, then for all",
        ),
        pytest.param(
            [said("comment", "x", b"g")],
            "does not follow directly",
            id="for all, not at the beginning",
        ),
        pytest.param([long_name(b"x\0", b"K")], "type `K`", id="a long link"),
        pytest.param([said("path", "widgets-1.0/p", b"X")], "type `X`", id="records for Solaris"),
    ],
)
def test_an_sdist_with_a_member_of_two_names_is_refused(
    shelf: Shelf, before: list[bytes], words: str
) -> None:
    assert_upload_refused(shelf, Distribution(SDIST_NAME, ending_with(*before, header())), words)


@pytest.mark.parametrize("block", [PATH, LONG_NAME], ids=["records", "a long name"])
def test_an_sdist_that_ends_where_a_member_must_be_is_refused(shelf: Shelf, block: bytes) -> None:
    assert_upload_refused(shelf, Distribution(SDIST_NAME, ending_with(block)), "ends after")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([record("path", "widgets-1.0/p"), record("path", "widgets-1.0/q")], "`path` twice"),
        ([record("size", "0"), record("size", "0")], "`size` twice"),
        ([record("mtime", "1"), record("mtime", "1")], "`mtime` twice"),
        ([record("linkpath", "/etc/passwd")], "`linkpath`"),
        ([record("hdrcharset", "BINARY")], "`hdrcharset`"),
        ([record("charset", "x")], "`charset`"),
        ([record("GNU.sparse.major", "1")], "`GNU.sparse.major`"),
        ([record("GNU.sparse.name", "widgets-1.0/p")], "`GNU.sparse.name`"),
        ([record("SCHILY.realsize", "1")], "`SCHILY.realsize`"),
        ([record("Path", "widgets-1.0/p")], "`Path`"),
        ([record("\x1b[2J", "x")], "`\N{REPLACEMENT CHARACTER}[2J`"),
        ([record("path", "")], "malformed"),
        ([record("uname", "")], "malformed"),
        ([record("", "x")], "malformed"),
        ([record("path", "widgets-1.0/p\0x")], "malformed"),
        ([record("comment", "\n24 path=widgets-1.0/p")], "malformed"),
        ([b"8 path=widgets-1.0/p\n"], "malformed"),
        ([b"99 path=widgets-1.0/p\n"], "malformed"),
        ([b"022 path=widgets-1.0/p\n"], "malformed"),
        ([b"+22 path=widgets-1.0/p\n"], "malformed"),
        ([b" 22 path=widgets-1.0/p\n"], "malformed"),
        ([b"22\tpath=widgets-1.0/p\n"], "malformed"),
        ([b"20 path=widgets-1.0/p"], "malformed"),
        ([record("mtime", "1"), b"\0"], "malformed"),
        ([record("mtime", "x")], "malformed `mtime`"),
        ([record("size", "+0")], "malformed `size`"),
        ([record("size", "0 ")], "malformed `size`"),
        ([record("mtime", "1e3")], "malformed `mtime`"),
        ([record("uid", "9" * 13)], "malformed `uid`"),
        ([b"22 path=widgets-1.0/\xe9\n"], "not UTF-8"),
    ],
)
def test_an_sdist_with_records_that_tools_read_differently_is_refused(
    shelf: Shelf, lines: list[bytes], words: str
) -> None:
    content = ending_with(records(*lines), header())

    assert_upload_refused(shelf, Distribution(SDIST_NAME, content), words)


@pytest.mark.parametrize("key", ["path", "size", "linkpath", "GNU.sparse.realsize"])
def test_an_sdist_with_a_name_or_a_size_for_all_members_is_refused(shelf: Shelf, key: str) -> None:
    content = extended(record(key, "0"), tarfile.XGLTYPE)

    assert_upload_refused(shelf, Distribution(SDIST_NAME, content), f"must not say `{key}`")


def test_an_sdist_with_records_behind_their_stated_size_is_refused(shelf: Shelf) -> None:
    """Python's tarfile reads the whole block."""
    first, second = record("mtime", "1"), record("path", "widgets-1.0/p")
    content = ending_with(sized(len(first), "x", b"x"), padded(first + second), header())

    assert_upload_refused(shelf, Distribution(SDIST_NAME, content), "longer than stated")


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"widgets-1.0/p", "not as stated"),
        (b"", "not as stated"),
        (b"widgets-1.0/p\0\0", "not as stated"),
        (b"widgets-1.0/p\0/../../x\0", "not as stated"),
        (b"\0widgets-1.0/p\0", "not as stated"),
        (b"\0", "unsafe"),
        (b"widgets-1.0/\xe9\0", "not UTF-8"),
    ],
)
def test_an_sdist_with_a_long_name_that_tools_read_differently_is_refused(
    shelf: Shelf, octets: bytes, words: str
) -> None:
    content = ending_with(long_name(octets), header())

    assert_upload_refused(shelf, Distribution(SDIST_NAME, content), words)


def test_an_sdist_with_a_long_name_behind_its_stated_size_is_refused(shelf: Shelf) -> None:
    content = ending_with(sized(14, "x", b"L"), padded(b"widgets-1.0/p\0more\0"), header())

    assert_upload_refused(shelf, Distribution(SDIST_NAME, content), "longer than stated")


@pytest.mark.promise("unpacked-alike")
@pytest.mark.parametrize(
    ("block", "words"),
    [
        pytest.param(
            header(magic=GNU, prefix=b"widgets-1.0"), "data after its fields", id="prefix"
        ),
        pytest.param(header(magic=GNU, rest=b"x"), "data after its fields", id="GNU tar's rest"),
        pytest.param(header(rest=b"\0" * 8 + b"tar\0"), "data after its fields", id="star's rest"),
        pytest.param(header(magic=bytes(8)), "neither POSIX's", id="v7"),
        pytest.param(header(magic=bytes(8), prefix=b"x"), "neither POSIX's", id="v7 and prefix"),
        pytest.param(header(magic=b"ustar\x0001"), "neither POSIX's", id="another version"),
        pytest.param(header(magic=b"ustar\0\0\0"), "neither POSIX's", id="no version"),
        pytest.param(header(name=b"widgets-1.0/a\0b"), "data after its end", id="a name's rest"),
        pytest.param(header(prefix=b"w\0x"), "data after its end", id="a prefix's rest"),
        pytest.param(header(name="widgets-1.0/\xe9".encode("latin-1")), "not UTF-8", id="Latin-1"),
        pytest.param(
            header(link=b"/etc/passwd"), "also has the target of a link", id="a link's target"
        ),
        pytest.param(header("widgets-1.0/a/"), "name of a directory", id="a file as a directory"),
        pytest.param(header("widgets-1.0/a/", b"\0"), "name of a directory", id="v7's directory"),
        pytest.param(sized(9, kind=b"5") + bytes(512), "with content", id="a directory's content"),
    ],
)
def test_an_sdist_with_a_header_that_tools_read_differently_is_refused(
    shelf: Shelf, block: bytes, words: str
) -> None:
    assert_upload_refused(shelf, Distribution(SDIST_NAME, ending_with(block)), words)


@pytest.mark.parametrize("name", ["widgets-1.0/a/", "widgets-1.0/" + "x" * 100 + "/"])
@pytest.mark.parametrize("kind", [b"0", b"\0"])
def test_an_sdist_with_a_file_whose_other_name_is_a_directorys_is_refused(
    shelf: Shelf, name: str, kind: bytes
) -> None:
    """Python's tarfile takes some of them for files, and GNU tar all of them for directories."""
    for before in (said("path", name), long_name(name.encode() + b"\0")):
        content = ending_with(before, header(kind=kind))
        assert_upload_refused(shelf, Distribution(SDIST_NAME, content), "name of a directory")


@pytest.mark.parametrize(
    "size",
    [
        b"",
        b" " * 12,
        b"-1",
        b"+1",
        b"8",
        b"x",
        b"0o7",
        b"1_7",
        b"0x1",
        b"\t1",
        b"\x001",
        b"5 7",
        b"5\x007",
        b"5\0 777",
        b"5x",
        b"\x80" + bytes(9) + b"\2\0",
        b"\xff" * 12,
    ],
    ids=repr,
)
def test_an_sdist_with_a_size_that_tools_read_differently_is_refused(
    shelf: Shelf, size: bytes
) -> None:
    content = ending_with(header(size=size), bytes(512))

    assert_upload_refused(shelf, Distribution(SDIST_NAME, content), "malformed size")


@pytest.mark.parametrize("field", ["mode", "uid", "gid", "mtime", "major", "minor"])
@pytest.mark.parametrize(
    "number", [b"-1", b"+1", b"8", b"0o7", b"1_7", b"7 7", b"7\x007", b"x", b"\x80\1", b"\xff" * 8]
)
def test_an_sdist_with_a_number_that_tools_read_differently_is_refused(
    shelf: Shelf, field: str, number: bytes
) -> None:
    """If they cannot read the number, Python's tarfile stops, and node-tar skips the member."""
    content = ending_with(header(**{field: number}), EVIL)

    assert_upload_refused(shelf, Distribution(SDIST_NAME, content), "malformed number")


@pytest.mark.parametrize("field", ["mode", "uid", "gid", "mtime", "major", "minor"])
@pytest.mark.parametrize("number", [b"", b"      ", b" 7", b"7 ", b"7 \0"])
def test_a_number_besides_sizes_may_be_written_as_tools_write_it(
    shelf: Shelf, field: str, number: bytes
) -> None:
    content = ending_with(header(**{field: number}))

    assert shelf.publish(Distribution(SDIST_NAME, content)).status == 200


@pytest.mark.parametrize(("field", "zeros"), [("uid", 3), ("gid", 3), ("mtime", 7)])
def test_a_large_number_besides_sizes_may_be_binary(shelf: Shelf, field: str, zeros: int) -> None:
    number = b"\x80" + bytes(zeros) + b"\xff" * 4
    content = ending_with(header(**{field: number}))

    assert shelf.publish(Distribution(SDIST_NAME, content)).status == 200


@pytest.mark.parametrize("size", [b"5", b"00000000005", b"000000000005", b"0000005 ", b"   5 \0"])
def test_a_size_may_be_padded_as_tools_pad_it(shelf: Shelf, size: bytes) -> None:
    content = ending_with(header(size=size), padded(b"hello"))

    assert shelf.publish(Distribution(SDIST_NAME, content)).status == 200


# Some tools take the bytes of this name as signed, which gives another sum.
SIGNED = header(user=b"\xe9")
SUM = int(SIGNED[CHECKSUM][:6], 8)


@pytest.mark.parametrize("checksum", [b"%06o\0 ", b"%07o", b"%06o ", b"%6o\0 ", b"%6o"])
def test_a_checksum_may_be_written_as_tools_write_it(shelf: Shelf, checksum: bytes) -> None:
    content = ending_with(summed(SIGNED, checksum % SUM))

    assert shelf.publish(Distribution(SDIST_NAME, content)).status == 200


@pytest.mark.parametrize(
    "checksum", [b"%06o" % (SUM + 1), b"%06o" % (SUM - 256), b"", b"-%o" % SUM, b"%o\0x" % SUM]
)
def test_an_sdist_with_a_checksum_that_tools_read_differently_is_refused(
    shelf: Shelf, checksum: bytes
) -> None:
    content = ending_with(summed(SIGNED, checksum))

    assert_upload_refused(shelf, Distribution(SDIST_NAME, content), "checksum")


@pytest.mark.parametrize(
    "blocks",
    [
        pytest.param([said("path", "widgets-1.0/p"), header()], id="a path"),
        pytest.param([said("path", "widgets-1.0/\xe9"), header()], id="a path in Unicode"),
        pytest.param([said("path", "widgets-1.0/p/"), header(kind=b"5")], id="a directory"),
        pytest.param([said("size", "5"), sized(5), padded(b"hello")], id="the same size"),
        pytest.param([records(), header()], id="no records"),
        pytest.param([LONG_NAME, header(magic=GNU)], id="a long name"),
        pytest.param([LONG_NAME, header()], id="a long name for a header of POSIX"),
        pytest.param([header(prefix=b"widgets-1.0/b", name=b"c")], id="a prefix"),
        pytest.param([header(kind=b"\0")], id="a file of v7's type"),
        pytest.param([header(magic=GNU)], id="GNU tar's header"),
    ],
)
def test_what_every_tool_reads_alike_is_accepted(shelf: Shelf, blocks: list[bytes]) -> None:
    assert shelf.publish(Distribution(SDIST_NAME, ending_with(*blocks))).status == 200


def test_a_comment_for_all_members_is_accepted(shelf: Shelf) -> None:
    """git archive writes such a comment, which is the commit."""
    content = extended(record("comment", "f00d" * 10), tarfile.XGLTYPE)

    assert shelf.publish(Distribution(SDIST_NAME, content)).status == 200


ODD_FIELDS = [
    b"",
    b"0",
    b" 5 ",
    b"-1",
    b"7\x005",
    b"\x80\0\0\0\0\0\0\1",
    b"\x80\1",
    b"\xff" * 8,
    b"widgets-1.0",
    b"widgets-1.0/p/",
    b"w\0x",
    b"tar\0",
    bytes(8),
    b"ustar\x0001",
    GNU,
]
ODD_LINES = [
    record("path", "widgets-1.0/p"),
    record("path", "widgets-1.0/q"),
    record("path", "widgets-1.0/d/"),
    record("path", "../x"),
    record("path", ""),
    record("size", "0"),
    record("size", "512"),
    record("mtime", "1.5"),
    record("comment", "x"),
    record("comment", "\n24 path=widgets-1.0/r"),
    record("hdrcharset", "BINARY"),
    record("GNU.sparse.size", "5"),
    b"\0",
]
LONG_NAMES = [b"widgets-1.0/l\0", b"widgets-1.0/d/\0", b"widgets-1.0/l", b"widgets-1.0/l\0x\0"]

RECORDS = st.builds(
    lambda lines, kind: records(*lines, kind=kind),
    st.lists(st.sampled_from(ODD_LINES), min_size=1, max_size=2),
    st.sampled_from([b"x", b"x", b"g"]),
)
BEFORE = st.one_of(RECORDS, st.sampled_from(LONG_NAMES).map(long_name))
HEADERS = st.builds(
    lambda number, kind, fields: header(f"widgets-1.0/{number}", kind=kind, **fields),
    st.integers(1, 1000),
    st.sampled_from([b"0", b"0", b"\0", b"5"]),
    st.dictionaries(st.sampled_from([*FIELDS]), st.sampled_from(ODD_FIELDS), max_size=1),
)


@pytest.mark.promise("unpacked-alike")
@pytest.mark.skipif(not shutil.which("tar"), reason="there is no tar here")
@given(st.lists(st.one_of(HEADERS, HEADERS, BEFORE), min_size=1, max_size=3))
def test_what_is_accepted_is_the_same_for_python_and_tar(blocks: list[bytes]) -> None:
    content = ending_with(*blocks)

    if Shelf().publish(Distribution(SDIST_NAME, content)).status == 200:
        assert read_by_python(content) == read_by_tar(content)


def read_by_python(content: bytes) -> tuple[list[str], bytes]:
    """Return the names of the members, and their contents joined."""
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        files = [tar.extractfile(member) for member in tar]
        return tar.getnames(), b"".join(file.read() for file in files if file)


def read_by_tar(content: bytes) -> tuple[list[str], bytes]:
    listed, unpacked = (
        subprocess.run(["tar", action, "-zPf", "-"], input=content, capture_output=True, check=True)
        for action in ("-t", "-xO")
    )
    return [line.rstrip("/") for line in listed.stdout.decode().splitlines()], unpacked.stdout
