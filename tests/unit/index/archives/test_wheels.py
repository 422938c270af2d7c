"""Wheels that tools would read differently or could not install, and wheels of real tools."""

import struct
import zipfile
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest

from tests.support import distributions, rawzip
from tests.support.distributions import (
    WHEEL_NAME,
    Distribution,
    metadata,
    recorded,
    wheel_members,
    zipped,
)
from tests.support.rawzip import ELSEWHERE, STORED, entry, extra, numbers
from tests.support.shelf import Shelf, assert_upload_refused

FOLDER = "widgets-1.0.dist-info"
MODULE = "widgets/__init__.py"


def assert_published(shelf: Shelf, distribution: Distribution) -> None:
    answer = shelf.publish(distribution)

    assert (answer.status, answer.body) == (200, b"")


def with_names(*names: str, filename: str = WHEEL_NAME) -> Distribution:
    made = rawzip.wheel(*map(entry, names))
    return Distribution(filename, made.content)


# What unzip unpacks as something else


@pytest.mark.promise("unpacked-alike")
@pytest.mark.parametrize(
    "name",
    [f"{MODULE};1", f"{FOLDER}/METADATA;1", "widgets/x;", "widgets/x;123456", "widgets/x;0"],
)
def test_a_member_with_a_version_of_vms_is_refused(shelf: Shelf, name: str) -> None:
    assert_upload_refused(shelf, with_names(name), f"`{name}`, which some tools refuse or change")


@pytest.mark.parametrize("name", ["widgets/a;1.py", "widgets/a;1/b", "widgets/a;x"])
def test_a_member_may_have_a_semicolon_elsewhere(shelf: Shelf, name: str) -> None:
    assert_published(shelf, with_names(name))


@pytest.mark.promise("unpacked-alike")
@pytest.mark.parametrize("system", range(20))
@pytest.mark.parametrize("attributes", [0x08, 0x28, 0o100644 << 16 | 0x08])
def test_a_member_that_is_a_volumes_label_is_refused(
    shelf: Shelf, system: int, attributes: int
) -> None:
    made = rawzip.wheel(system=system, attributes=attributes)

    assert_upload_refused(
        shelf, made, f"`{MODULE}` is marked as a volume label, which some tools skip"
    )


@pytest.mark.parametrize("needed", [46, 51, 62, 63, 64, 255, 0x0114])
@pytest.mark.parametrize("place", ["needed", "local_needed"])
def test_a_member_that_needs_more_than_all_tools_know_is_refused(
    shelf: Shelf, needed: int, place: str
) -> None:
    made = rawzip.wheel(**{place: needed})  # type: ignore[arg-type]

    assert_upload_refused(shelf, made, f"`{MODULE}` needs version {needed / 10} of the zip format")


@pytest.mark.parametrize("needed", [0, 10, 20, 45])
def test_a_member_may_need_what_all_tools_know(shelf: Shelf, needed: int) -> None:
    assert_published(shelf, rawzip.wheel(needed=needed, local_needed=needed))


def test_a_member_on_another_disk_is_refused(shelf: Shelf) -> None:
    assert_upload_refused(shelf, rawzip.wheel(disk=1), f"`{MODULE}` is on another disk")


def test_a_name_that_is_not_utf8_is_refused(shelf: Shelf) -> None:
    made = rawzip.wheel(rawzip.Entry(b"widgets/\xff", b"", flags=rawzip.UTF8))

    assert_upload_refused(shelf, made, "has a name that is not UTF-8")


@pytest.mark.promise("unzip-on-windows")
def test_a_wheel_from_windows_may_have_names_that_are_not_ascii(shelf: Shelf) -> None:
    """Python's zipfile says there that the archive was made on DOS."""
    made = rawzip.wheel(
        entry("widgets/\u00e4", system=0), entry("widgets/\N{SNOWMAN}", system=0), system=0
    )

    assert_published(shelf, made)


@pytest.mark.promise("unpacked-alike")
@pytest.mark.promise("unzip-on-windows")
@pytest.mark.parametrize(
    ("names", "system"),
    [
        (("widgets/__init_\u0718.py",), {"system": 0}),
        (("widgets/__init_\u0718.py",), {"system": 6}),
        (("widgets/__init_\u0718.py",), {"system": 11, "made_by": 50}),
        (("widgets\u0718x", "widgets_x"), {"system": 0}),
        (("widgets/\u00fb", "widgets/\u00ff"), {"system": 0}),
        (("widgets/\u00ff", "widgets/++"), {"system": 0}),
        (("a\u00ff/x", "a++"), {"system": 0}),
    ],
    ids=ascii,
)
def test_a_name_that_unzip_takes_for_that_of_another_member_is_refused(
    shelf: Shelf, names: tuple[str, ...], system: dict[str, Any]
) -> None:
    """It reads names for DOS by code page 850, and writes `_` for `\u0718`."""
    assert shelf.publish(rawzip.wheel(*(entry(name, **system) for name in names))).status == 400
    assert_published(shelf, rawzip.wheel(*(entry(name) for name in names)))


# Names that are one, or none, on some file systems


@pytest.mark.promise("unpacked-inside")
@pytest.mark.parametrize(
    "name",
    [
        "widgets/C:evil.py",
        "widgets/D:/x",
        "widgets/x.py:stream",
        "widgets-1.0.data/purelib/C:evil.py",
        f"{FOLDER}/METADATA::$DATA",
        ":",
    ],
)
def test_a_member_with_a_colon_is_refused(shelf: Shelf, name: str) -> None:
    assert_upload_refused(shelf, with_names(name), f"unsafe name `{name}`, which some file systems")


@pytest.mark.parametrize(
    "character",
    ["\x80", "\x9b", "\u00ad", "\u200b", "\u202e", "\u2066", "\ufeff", "\ue000", "\ufdd0"],
    ids=ascii,
)
def test_a_member_with_an_invisible_character_is_refused(shelf: Shelf, character: str) -> None:
    assert_upload_refused(shelf, with_names(f"widgets/x{character}.py"), "rename it")


@pytest.mark.promise("unpacked-alike")
@pytest.mark.parametrize(
    "names",
    [
        ("widgets/__INIT__.py",),
        ("WIDGETS/__init__.py",),
        ("widgets/__init__.py.",),
        ("widgets/__init__.py ",),
        ("widgets./__init__.py",),
        ("widgets/__init__.py. .",),
        ("widgets/a", "widgets/A"),
        ("widgets/\u00e9", "widgets/e\u0301"),
        ("widgets/\u00c9", "widgets/e\u0301"),
        ("widgets/\u212a", "widgets/k"),
        ("widgets/\u017f", "widgets/S"),
        ("widgets/x\ufe0f", "widgets/x"),
        ("widgets/x\u115f", "widgets/X"),
        ("widgets/d", "widgets/D/"),
        ("widgets/D/", "widgets/d"),
    ],
    ids=ascii,
)
def test_two_members_that_are_one_file_somewhere_are_refused(
    shelf: Shelf, names: tuple[str, ...]
) -> None:
    assert_upload_refused(shelf, with_names(*names), "become one file on some file systems")


@pytest.mark.parametrize("names", [("widgets/d", "widgets/D/x"), ("Widgets",)])
def test_a_member_that_is_below_a_file_somewhere_is_refused(
    shelf: Shelf, names: tuple[str, ...]
) -> None:
    assert_upload_refused(shelf, with_names(*names), "below the file")


@pytest.mark.parametrize(
    "names",
    [
        ("widgets/terminfo/A/a", "widgets/terminfo/a/b"),
        ("widgets/D/", "widgets/d/"),
        ("widgets/a", "widgets/a.", "widgets/a.b")[::2],
        ("widgets/x.", "widgets/y "),
    ],
)
def test_directories_that_become_one_hide_nothing(shelf: Shelf, names: tuple[str, ...]) -> None:
    assert_published(shelf, with_names(*names))


@pytest.mark.promise("unpacked-alike")
@pytest.mark.parametrize(
    "names",
    [
        ("WIDGET~1.DIS/METADATA",),
        ("widget~1.dis/",),
        ("WI3FA2~1.DIS",),
        ("widgets/__INIT~1.PY", "widgets/__init__more.py"),
        ("widgets/long~1", "widgets/a", "widgets/longer-than-eight"),
        ("widgets/sub/s~12.h", "widgets/sub/some.html"),
    ],
)
def test_a_member_with_the_short_name_of_another_is_refused(
    shelf: Shelf, names: tuple[str, ...]
) -> None:
    """On NTFS, `WIDGET~1.DIS` is `widgets-1.0.dist-info`."""
    assert_upload_refused(shelf, with_names(*names), "may be the short name of another member")


@pytest.mark.parametrize(
    "names",
    [
        ("widgets/a~1.txt", "widgets/ab.txt"),
        ("widgets/a~1.txt", "widgets/sub/a-long-name.txt"),
        ("widgets/lt~obsolete.m4", "widgets/x.py.~1~", "widgets/~"),
        ("widgets/abcdefgh~1.txt", "widgets/abcdefgh-long.txt"),
    ],
)
def test_a_member_may_have_a_name_like_a_short_one(shelf: Shelf, names: tuple[str, ...]) -> None:
    assert_published(shelf, with_names(*names))


def test_names_with_too_many_directories_are_refused(shelf: Shelf) -> None:
    """We look at every directory of every name, which would take seconds."""
    names = (f"{number}/{'a/' * 1999}x" for number in range(201))

    assert_upload_refused(shelf, with_names(*names), "names with too many directories")


DEVICES = ["nul", "NUL.py", "aux.py", "con", "Com1.txt", "lpt9", "conin$", "com\u00b9", "nul .x"]


@pytest.mark.parametrize("name", DEVICES, ids=ascii)
@pytest.mark.parametrize("place", ["widgets/{}", "{}/x.py", "widgets-1.0.data/scripts/{}"])
def test_a_wheel_for_windows_has_no_member_that_is_a_device(
    shelf: Shelf, name: str, place: str
) -> None:
    assert_upload_refused(shelf, with_names(place.format(name)), "is a device on Windows")


@pytest.mark.parametrize(
    ("platform", "status"),
    [
        ("win_amd64", 400),
        ("linux_x86_64.win32", 400),
        ("manylinux_2_28_x86_64", 200),
        ("macosx_11_0_arm64", 200),
    ],
)
def test_a_wheel_for_other_platforms_may_have_a_device(
    shelf: Shelf, platform: str, status: int
) -> None:
    made = with_names("widgets/aux.py", filename=f"widgets-1.0-py3-none-{platform}.whl")

    assert shelf.publish(made).status == status


@pytest.mark.parametrize("name", ["null.py", "auxiliary.py", "console.py", "com.py", "com10.py"])
def test_a_member_may_have_almost_the_name_of_a_device(shelf: Shelf, name: str) -> None:
    assert_published(shelf, with_names(f"widgets/{name}"))


@pytest.mark.parametrize(
    "name",
    [f"{FOLDER}/Entry_Points.txt", f"{FOLDER}/entry_points.txt.", f"{FOLDER}/META\u115fDATA"],
    ids=ascii,
)
def test_a_file_that_is_read_has_one_spelling(shelf: Shelf, name: str) -> None:
    assert_upload_refused(shelf, with_names(name), "which some file systems read as")


# Where installers put it


@pytest.mark.promise("one-project")
@pytest.mark.parametrize(
    "name",
    [
        "widgets-1.0.data/data/lib/python3.11/site-packages/other-9.dist-info/METADATA",
        "widgets-1.0.data/data/share/x.dist-info/y",
        "widgets-1.0.data/purelib/other.egg-info/PKG-INFO",
        "widgets-1.0.data/platlib/other.egg-info",
        "widgets-1.0.data/headers/a/b/Other-9.DIST-INFO/METADATA",
        "widgets-1.0.data/scripts/x.dist-info./y",
        "widgets-1.0.data/purelib/widgets-1.0.dist-info/METADATA",
        "widgets-1.0.data/data/other-9.dist-info/",
    ],
)
def test_data_holds_no_record_of_another_project(shelf: Shelf, name: str) -> None:
    assert_upload_refused(
        shelf, with_names(name), f"`{name}`, which installers would take for the record of another"
    )


@pytest.mark.promise("one-project")
@pytest.mark.parametrize(
    "name",
    [
        "widgets-1.0.data/purelib/other-9-py3.11.egg/EGG-INFO/PKG-INFO",
        "widgets-1.0.data/platlib/other.EGG",
        "widgets-1.0.data/purelib/other.egg-link",
        "widgets-1.0.data/data/lib/python3.11/site-packages/other.egg/EGG-INFO/PKG-INFO",
        "widgets-1.0.data/data/Lib/Site-Packages/other.egg-link",
        "widgets-1.0.data/data/lib/python3/dist-packages/other.egg-link",
    ],
)
def test_data_holds_no_egg_where_modules_are(shelf: Shelf, name: str) -> None:
    assert_upload_refused(
        shelf, with_names(name), f"`{name}`, which installers would take for the record of another"
    )


def test_data_may_hold_an_egg_elsewhere(shelf: Shelf) -> None:
    assert_published(shelf, with_names("widgets-1.0.data/data/widgets/tests/test.egg"))


@pytest.mark.parametrize(
    "names",
    [
        ("widgets-1.0.data/purelib/x.py", "widgets-1.0.data/platlib/x.py"),
        ("widgets-1.0.data/purelib/x.py", "x.py"),
        ("widgets-1.0.data/platlib/Widgets/x.py", "widgets/X.py"),
    ],
)
def test_two_members_that_are_installed_as_one_are_refused(
    shelf: Shelf, names: tuple[str, ...]
) -> None:
    assert_upload_refused(
        shelf, with_names(*names), "which become one file where they are installed"
    )


def test_two_members_in_one_folder_of_modules_are_published(shelf: Shelf) -> None:
    names = ("widgets-1.0.data/purelib/", "widgets-1.0.data/purelib/widgets/", "widgets/x.py")

    assert_published(shelf, with_names(*names, "widgets-1.0.data/purelib/widgets/y.py"))


@pytest.mark.parametrize("name", ["d/x", "d/"])
def test_scripts_hold_no_directory(shelf: Shelf, name: str) -> None:
    made = with_names(f"widgets-1.0.data/scripts/{name}")

    assert_upload_refused(shelf, made, "uv does not install a wheel with a directory in `scripts`")


@pytest.mark.parametrize("name", ["python", "PYTHON3", "python3.14t", "pypy3", "python.exe"])
def test_scripts_hold_no_interpreter(shelf: Shelf, name: str) -> None:
    made = with_names(f"widgets-1.0.data/scripts/{name}")

    assert_upload_refused(shelf, made, "would replace Python's own interpreter")


@pytest.mark.promise("one-project")
@pytest.mark.parametrize(
    "name",
    [
        "other.egg-info/PKG-INFO",
        "widgets.egg-info",
        "X.EGG-INFO/y",
        "other.egg-link",
        "other-9-py3.11.egg/EGG-INFO/PKG-INFO",
        "other.Egg",
    ],
)
def test_a_wheel_holds_no_egg_info(shelf: Shelf, name: str) -> None:
    assert_upload_refused(shelf, with_names(name), f"only `{FOLDER}` may be one")


@pytest.mark.parametrize(
    "name",
    [
        "gadgets-1.0.data/purelib/x.py",
        "widgets-2.0.data/purelib/x.py",
        "Widgets-1.0.data/purelib/x.py",
        "widgets-1.0.DATA/purelib/x.py",
        "x.data/",
        "widgets-1.0.data/x.py",
        "widgets-1.0.data/include/x.h",
        "widgets-1.0.data/Scripts/x",
        "widgets-1.0.data/scripts",
    ],
)
def test_data_that_not_all_installers_can_place_is_refused(shelf: Shelf, name: str) -> None:
    assert_upload_refused(shelf, with_names(name), "installers do not know where to put it")


@pytest.mark.parametrize(
    "names",
    [
        ("widgets-1.0.data/", "widgets-1.0.data/data/", "widgets-1.0.data/data/share/x"),
        tuple(f"widgets-1.0.data/{scheme}/x" for scheme in ("purelib", "headers", "scripts")),
        ("widgets-1.0.data/platlib/widgets/dist-info/x", "widgets/y.egg-info/z"),
        ("widgets.data",),
    ],
)
def test_data_that_all_installers_can_place_is_published(
    shelf: Shelf, names: tuple[str, ...]
) -> None:
    assert_published(shelf, with_names(*names))


@pytest.mark.parametrize(
    "folder",
    [
        "widgets.dist-info",
        "widgets-.dist-info",
        "widgets-x.y.dist-info",
        "widgets-1.0-1.dist-info",
        f"widgets-{'1' * 100}.dist-info",
        "-.dist-info",
        ".dist-info",
    ],
    ids=lambda folder: folder[:30],
)
def test_a_folder_without_a_valid_version_is_named(shelf: Shelf, folder: str) -> None:
    members = {f"{folder}/{name.rpartition('/')[2]}": c for name, c in wheel_members().items()}
    made = Distribution(WHEEL_NAME, zipped(members.items()))

    assert_upload_refused(shelf, made, f"must have exactly one .dist-info directory, `{FOLDER}`")
    assert f"it has `{folder[:50]}" in shelf.publish(made).detail


# What real tools write


@pytest.mark.parametrize(
    "comment", [b"hello", b"a\r\n\tb", "\u00fc".encode(), b"\xff", b"x" * 65535]
)
def test_a_wheel_may_have_a_comment(shelf: Shelf, comment: bytes) -> None:
    assert_published(shelf, rawzip.wheel(comment=comment))


@pytest.mark.parametrize(
    "comment",
    [
        b"PK\x05\x06",
        b"PK\x05\x06" + bytes(18),
        b"PK\x06\x07" + bytes(16),
        zipped([("evil.py", "")]),
        b"\x00",
        b"\x1b[2J",
        b"\x7f",
    ],
)
def test_a_comment_is_text(shelf: Shelf, comment: bytes) -> None:
    assert shelf.publish(rawzip.wheel(comment=comment)).status == 400


def test_a_comment_that_is_not_text_is_named(shelf: Shelf) -> None:
    assert_upload_refused(shelf, rawzip.wheel(comment=b"\x01"), "a comment that is not text")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_wheel_may_be_written_by_zipfile_with_zip64(shelf: Shelf, method: int) -> None:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in recorded(wheel_members().items()):
            with archive.open(str(name), "w", force_zip64=True) as member:
                member.write(content.encode() if isinstance(content, str) else content)

    assert_published(shelf, Distribution(WHEEL_NAME, buffer.getvalue()))


ZIP64 = numbers(2, 2)


def sized(**changes: Any) -> Distribution:
    """Return a wheel with a member of two bytes, for which some sizes are stated wrongly."""
    values = {"method": STORED, "needed": 45, "local_needed": 45, **changes}
    return rawzip.wheel(entry("widgets/two", b"xy", **values))


@pytest.mark.parametrize(
    "changes",
    [
        {"local_size": ELSEWHERE, "local_packed_size": ELSEWHERE, "local_extra": ZIP64},
        {"local_extra": ZIP64},
        {"size": ELSEWHERE, "packed_size": ELSEWHERE, "extra": ZIP64},
        {"size": ELSEWHERE, "extra": numbers(2)},
        {"packed_size": ELSEWHERE, "extra": numbers(2)},
        {"extra": extra(0x5455, b"\1abcd") + ZIP64, "size": ELSEWHERE, "packed_size": ELSEWHERE},
    ],
)
def test_sizes_may_be_in_a_zip64_field(shelf: Shelf, changes: dict[str, Any]) -> None:
    assert_published(shelf, sized(**changes))


def test_an_offset_may_be_in_a_zip64_field(shelf: Shelf) -> None:
    module, *rest = rawzip.wheel_entries()
    two = entry("widgets/two", b"xy", offset=ELSEWHERE, extra=numbers(len(module.local)))

    content = rawzip.archive([module, two, *rest])

    assert_published(shelf, Distribution(WHEEL_NAME, content))


@pytest.mark.promise("unpacked-alike")
@pytest.mark.parametrize(
    "changes",
    [
        {"extra": ZIP64},
        {"size": ELSEWHERE, "extra": ZIP64},
        {"size": ELSEWHERE, "packed_size": ELSEWHERE},
        {"size": ELSEWHERE, "packed_size": ELSEWHERE, "extra": numbers(2)},
        {"size": ELSEWHERE, "packed_size": ELSEWHERE, "extra": ZIP64 * 2},
        {"size": ELSEWHERE, "packed_size": ELSEWHERE, "extra": numbers(2, 2, 0)},
        {"local_size": ELSEWHERE, "local_packed_size": ELSEWHERE, "local_extra": numbers(3, 2)},
        {"local_size": ELSEWHERE, "local_extra": numbers(2)},
        {"local_extra": numbers(2, 2, 0)},
        {"local_extra": ZIP64 * 2},
        {"local_extra": extra(1, b"")},
    ],
)
def test_a_size_is_written_once_or_refers_to_zip64(shelf: Shelf, changes: dict[str, Any]) -> None:
    assert_upload_refused(shelf, sized(**changes), "`widgets/two` has two sizes or none")


@pytest.mark.parametrize(
    "changes",
    [
        {"local_size": ELSEWHERE, "local_packed_size": ELSEWHERE},
        {"local_size": ELSEWHERE, "local_extra": ZIP64},
        {"local_packed_size": ELSEWHERE, "local_extra": ZIP64},
        {"local_size": 3, "local_extra": ZIP64},
        {"size": ELSEWHERE, "extra": numbers(3)},
    ],
)
def test_sizes_in_both_headers_are_the_same(shelf: Shelf, changes: dict[str, Any]) -> None:
    assert_upload_refused(shelf, sized(**changes), "`widgets/two` has a header that the zip")


def test_the_directory_may_have_an_end_of_zip64(shelf: Shelf) -> None:
    assert_published(shelf, rawzip.wheel(zip64={}))


@pytest.mark.parametrize(
    "plain", [{"here": 4, "total": 4}, {"here": 4, "total": 4, "offset": None}, {"size": None}]
)
def test_an_end_may_refer_to_that_of_zip64_in_part(
    shelf: Shelf, plain: dict[str, int | None]
) -> None:
    entries = rawzip.wheel_entries()
    body = b"".join(each.local for each in entries)
    right = {"offset": len(body), "size": sum(len(each.central(0)) for each in entries)}
    zip64 = {f"plain_{name}": right[name] if v is None else v for name, v in plain.items()}

    content = rawzip.archive(entries, zip64=zip64)

    assert_published(shelf, Distribution(WHEEL_NAME, content))


@pytest.mark.parametrize(
    "changes",
    [
        {"at": 0},
        {"disks": 2},
        {"length": 45},
        {"data": b"x"},
        {"needed": 62},
        {"here": 3},
        {"here": 3, "total": 3},
        {"size": 7},
        {"offset": 7},
        {"plain_total": 3, "plain_here": 3},
        {"plain_size": 7},
        {"plain_offset": 7},
    ],
)
def test_an_end_of_zip64_that_says_something_else_is_refused(
    shelf: Shelf, changes: dict[str, int]
) -> None:
    assert shelf.publish(rawzip.wheel(zip64=changes)).status == 400


def test_an_end_of_zip64_that_not_all_tools_look_at_is_refused(shelf: Shelf) -> None:
    entries = rawzip.wheel_entries()
    plain = {
        "plain_here": len(entries),
        "plain_total": len(entries),
        "plain_size": sum(len(each.central(0)) for each in entries),
        "plain_offset": sum(len(each.local) for each in entries),
    }

    content = rawzip.archive(entries, zip64=plain)

    assert_upload_refused(shelf, Distribution(WHEEL_NAME, content), "second directory (zip64)")


def test_a_directory_whose_last_member_goes_beyond_its_end_is_refused(shelf: Shelf) -> None:
    *first, last = rawzip.wheel_entries()
    extra = struct.pack("<HH", 0x9999, 5)
    content = bytearray(rawzip.archive([*first, replace(last, extra=extra)]))
    struct.pack_into("<H", content, content.rindex(b"PK\1\2") + 30, len(extra) + 5)

    refused = "directory is not at its end"
    assert_upload_refused(shelf, Distribution(WHEEL_NAME, bytes(content)), refused)


def test_two_end_records_are_refused(shelf: Shelf) -> None:
    """The second record overlaps the first. Some tools find one of them, and some find both."""
    content = rawzip.wheel().content[:-12] + b"PK\x05\x06" + struct.pack("<LH", 0, 0)

    assert_upload_refused(shelf, Distribution(WHEEL_NAME, content), "cut short")


def test_a_wheel_of_another_project_is_refused_whatever_its_metadata(shelf: Shelf) -> None:
    members = dict(recorded(wheel_members("gadgets").items()))
    made = distributions.Distribution(WHEEL_NAME, zipped({**members, "x": metadata()}.items()))

    assert_upload_refused(shelf, made, "it has `gadgets-1.0.dist-info`")
