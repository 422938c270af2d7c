"""What is inside an sdist: a tar archive that every tool reads alike, and no other is published."""

import gzip
import io
import tarfile

import pytest

from tests.unit.distributions import (
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
from tests.unit.shelf import Shelf, assert_refused


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


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
    rest = f" {key}={value}\n"
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length += 1
    return f"{length}{rest}".encode()


def nested_headers() -> bytes:
    """Extended headers of extended headers, 5000 deep: tarfile recurses."""
    octets = record("path", "x")
    header = tar_member("x", tarfile.XHDTYPE, size=len(octets)).tobuf()
    return gzip.compress((header + octets.ljust(512, b"\0")) * 5000)


def sparse_gnu() -> bytes:
    header = bytearray(tar_member("widgets-1.0/s", size=512).tobuf())
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return gzip.compress(bytes(header) + b"\0" * 512 + tarred(sdist_members().items()))


def unended() -> bytes:
    """Return the tar of an sdist up to where its end would be marked."""
    content = tarred(sdist_members().items()).rstrip(b"\0")
    return content + b"\0" * (-len(content) % 512)


def poked_gzip(position: int) -> bytes:
    """Return an sdist with another checksum (-8) or length (-4) of what gzip compressed."""
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


@pytest.mark.parametrize("name", UNSAFE_NAMES, ids=repr)
def test_an_sdist_with_an_unsafe_member_is_refused(shelf: Shelf, name: str) -> None:
    assert_refused(shelf, Distribution(SDIST_NAME, with_tar_member(name)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"x", "cut short"),
        (wheel().content, "not a valid archive"),
        (gzip.compress(b""), "not a valid archive"),
        (gzip.compress(b"x" * 1024), "not a valid archive"),
        (sdist().content[:-10], "cut short"),
        (sdist().content + b"x", "something follows"),
        (sdist().content + b"x" * 100_000, "something follows"),
        (sdist().content + b"\0", "something follows"),
        (sdist().content + wheel().content, "something follows"),
        (sdist().content + gzip.compress(b""), "something follows"),
        (sdist().content + gzip.compress(evil_tar()), "something follows"),
        (gzip.compress(unended()) + gzip.compress(evil_tar()), "something follows"),
        (gzip.compress(b"") + sdist().content, "something follows"),
        (poked_gzip(-8), "not a valid archive"),
        (poked_gzip(-4), "not a valid archive"),
        (gzip.compress(tarred(sdist_members().items())[:4000]), "not a valid archive"),
        (
            with_tar_member(tar_member("widgets-1.0/l", tarfile.SYMTYPE, linkname="/etc")),
            "no plain",
        ),
        (with_tar_member(tar_member("widgets-1.0/l", tarfile.LNKTYPE, linkname="x")), "no plain"),
        (with_tar_member(tar_member("widgets-1.0/l", tarfile.CHRTYPE)), "no plain"),
        (with_tar_member(tar_member("widgets-1.0/l", tarfile.BLKTYPE)), "no plain"),
        (with_tar_member(tar_member("widgets-1.0/l", tarfile.FIFOTYPE)), "no plain"),
        (with_tar_member(tar_member("widgets-1.0/l", b"9")), "no plain"),
        (sparse_gnu(), "no plain"),
        (with_tar_member("widgets-1.0/PKG-INFO", b"x"), "two members"),
        (with_tar_member("widgets-1.0/PKG-INFO/", b""), "two members"),
        (with_tar_member("gadgets-1.0/PKG-INFO", b"x"), "one top-level"),
        (with_tar_member("README"), "one top-level"),
        (gzip.compress(tarred([("widgets-1.0/a", b"")])), "one top-level"),
        (gzip.compress(tarred([("widgets-1.0/a/PKG-INFO", b"")])), "one top-level"),
        (gzip.compress(tarred([("PKG-INFO", b"")])), "one top-level"),
        (
            gzip.compress(tarred([(tar_member("widgets-1.0/PKG-INFO", tarfile.DIRTYPE), b"")])),
            "one top-level",
        ),
        (gzip.compress(tarred(sdist_members(text="x" * (1 << 20) + "x").items())), "1 MiB"),
        (gzip.compress(tarred([(f"w/{i}", b"") for i in range(20_001)])), "20000 members"),
        (huge_member(), "too many bytes"),
        (gzip.compress(unended() + bytes(80 << 20)), "too many bytes"),
        (extended(b"x" * 20_000), "too long"),
        (extended(b"2 " * 4000 + b"=\n"), "malformed extended"),
        (extended(b"10 path=a\n" + b"0 path=b\n"), "malformed extended"),
        (extended(b"-5 path=a\n"), "malformed extended"),
        (extended(b"path=a\n"), "not a valid archive"),
        (extended(record("GNU.sparse.major", "1")), "malformed extended"),
        (extended(record("size", "-1024")), "impossible size"),
        (extended(record("size", "x"), tarfile.XGLTYPE), ""),
        (extended(record("path", "../x")), "unsafe"),
        (extended(b"../x\0", tarfile.GNUTYPE_LONGNAME), "unsafe"),
        (nested_headers(), "not a valid archive"),
    ],
)
def test_an_sdist_is_refused_that_is(shelf: Shelf, content: bytes, words: str) -> None:
    assert_refused(shelf, Distribution(SDIST_NAME, content), words)


@pytest.mark.parametrize(
    "rest",
    [
        bytes(1024) + evil_tar(),
        bytes(10_240) + evil_tar(),
        bytes(512) + evil_tar(),
        bytes(100_000) + b"x",
        bytes(513) + b"x",
        bytes(511) + b"x",
        b"x",
        b"x" * 512 + evil_tar(),
        evil_tar()[:148] + b"7" + evil_tar()[149:],
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
def test_an_sdist_with_anything_behind_its_members_is_refused(shelf: Shelf, rest: bytes) -> None:
    content = gzip.compress(unended() + rest)

    assert_refused(shelf, Distribution(SDIST_NAME, content), "behind the end")


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

    assert_refused(shelf, Distribution(SDIST_NAME, content))


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
    """What Python's own sdist builders write."""
    content = extended(record("mtime", "1700000000.25") + record("path", "widgets-1.0/p"))

    assert shelf.publish(Distribution(SDIST_NAME, content)).status == 200
