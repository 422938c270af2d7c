"""Links inside an sdist: accepted if every tool follows them to the same place inside it."""

import gzip
import tarfile
from collections.abc import Sequence

import pytest

from tests.support.distributions import SDIST_NAME, Distribution, metadata, sdist_members, tarred
from tests.support.sdists import (
    TOP,
    UNPACKERS,
    Members,
    directory,
    hard,
    member,
    packed,
    plain,
    symbolic,
    top_link,
    unpack,
)
from tests.support.shelf import Shelf, assert_upload_refused

SRC = f"{TOP}/src/widgets.py"
LONG = "x" * 150

TAKEN = {
    "to a file": [symbolic("link", "PKG-INFO")],
    "to a later file": [symbolic("link", "later"), plain("later")],
    "up and down": [symbolic("src/link", "../PKG-INFO")],
    "up, from deep": [symbolic("a/b/c/link", "../../../src/widgets.py")],
    "to a directory": [symbolic("link", "src")],
    "to a directory with a slash": [symbolic("link", "src/")],
    "to a directory of its own name elsewhere": [symbolic("a/src", "../src")],
    "by a single dot": [symbolic("link", "./src/./widgets.py")],
    "by two slashes": [symbolic("link", "src//widgets.py")],
    "to nothing": [symbolic(".hgignore", ".dotfiles/mercurial/.hgignore")],
    "to three dots": [symbolic("link", ".../..a/a..")],
    "in Unicode": [symbolic("link", "f\u00e4"), plain("f\u00e4")],
    "to a long name": [symbolic("link", LONG), plain(LONG)],
    "from a long name to a long name": [plain(LONG), symbolic(f"{LONG}2", LONG)],
    "in a chain": [symbolic("a", "b"), symbolic("b", "c"), symbolic("c", "PKG-INFO")],
    "through a directory's": [symbolic("a", "d/widgets.py"), symbolic("d", "src")],
    "in a long chain": [symbolic(f"l{i}", f"l{i + 1}") for i in range(31)] + [plain("l31")],
    "instead of a build file": [plain("a.toml"), symbolic("setup.cfg", "a.toml")],
    "to a directory with a link": [symbolic("a", "b"), symbolic("b/l", "../c"), plain("c/x")],
    "to a directory, from beside it": [symbolic("ab/l", "../a"), symbolic("a/l", "../abc")],
    "to one directory by many": [symbolic(f"{d}/l", "../c") for d in "abde"],
    "hard": [hard("link", SRC)],
    "hard, of the metadata": [hard("link", f"{TOP}/PKG-INFO")],
    "hard, in a chain": [hard("a", SRC), hard("b", f"{TOP}/a")],
    "hard, from a long name": [plain(LONG), hard(f"{LONG}2", f"{TOP}/{LONG}")],
    "symbolic to a hard one": [hard("a", SRC), symbolic("b", "a")],
}


@pytest.mark.parametrize("style", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("members", TAKEN.values(), ids=TAKEN.keys())
def test_a_link_that_stays_inside_is_accepted(
    shelf: Shelf, members: Sequence[Members], style: int
) -> None:
    assert shelf.publish(packed(*members, style=style)).status == 200


OUT = "leads out of"
UNSAFE = "not a relative path"
CIRCLE = "in a circle"
TWIN = "on some file systems"
EARLIER = "does not name an earlier file"

REFUSED = {
    "out": ([symbolic("link", "../x")], OUT),
    "out, from deep": ([symbolic("src/link", "../../x")], OUT),
    "out, far": ([symbolic("link", "../../../../etc/passwd")], OUT),
    "out and in again": ([symbolic("link", f"../{TOP}/PKG-INFO")], OUT),
    "to what is around": ([symbolic("link", "..")], OUT),
    "in place of the top": ([[(top_link(), b"")]], OUT),
    "absolute": ([symbolic("link", "/etc/passwd")], UNSAFE),
    "absolute twice": ([symbolic("link", "//etc/passwd")], UNSAFE),
    "to no name": ([symbolic("link", "")], UNSAFE),
    "by a backslash": ([symbolic("link", "src\\widgets.py")], UNSAFE),
    "out by backslashes": ([symbolic("link", "..\\..\\x")], UNSAFE),
    "to a drive": ([symbolic("link", "C:/x")], UNSAFE),
    "to a drive's folder": ([symbolic("link", "C:x")], UNSAFE),
    "to a blank": ([symbolic("link", "a ")], UNSAFE),
    "by a blank": ([symbolic("link", "a /b")], UNSAFE),
    "to too long a name": ([symbolic("link", "x" * 256)], UNSAFE),
    "to a stream": ([symbolic("link", "src/widgets.py:x")], UNSAFE),
    "to a control character": ([symbolic("link", "a\nb")], UNSAFE),
    "down and up": ([symbolic("link", "src/../PKG-INFO")], "down and up"),
    "down a link and up": (
        [symbolic("d", "src/deep"), plain("src/deep/x"), symbolic("link", "d/../../x")],
        "down and up",
    ),
    "out by two links": ([symbolic("d", "."), symbolic("link", "d/../x")], "down and up"),
    "to itself": ([symbolic("link", "link")], CIRCLE),
    "below itself": ([symbolic("link", "link/x")], CIRCLE),
    "in a circle of two": ([symbolic("a", "b"), symbolic("b", "a")], CIRCLE),
    "in a circle of three": (
        [symbolic("a", "b"), symbolic("b", "d/c"), symbolic("d/c", "../a")],
        CIRCLE,
    ),
    "into a circle": ([symbolic("x", "a"), symbolic("a", "b"), symbolic("b", "a")], CIRCLE),
    "to the directory that it is in": ([symbolic("link", ".")], CIRCLE),
    "to the top-level directory": ([symbolic("src/link", "..")], CIRCLE),
    "by a link to the directory that it is in": (
        [symbolic("src/a", "../b"), symbolic("b", "src")],
        CIRCLE,
    ),
    "in a circle by two directories": ([symbolic("a/x", "../b"), symbolic("b/y", "../a")], CIRCLE),
    "in a circle by three directories": (
        [symbolic("a/x", "../b/c"), symbolic("b/c/y", "../../d"), symbolic("d/z", "../a")],
        CIRCLE,
    ),
    "in a circle by a directory and a link": (
        [symbolic("a/d/x", "../../l"), symbolic("l", "b"), symbolic("b/y", "../a/")],
        CIRCLE,
    ),
    "to itself, where case does not count": ([symbolic("a", "A")], CIRCLE),
    "in a circle, where case does not count": ([symbolic("a", "B"), symbolic("b", "A")], CIRCLE),
    "to its own directory, where case does not count": ([symbolic("Docs/a", "../docs")], CIRCLE),
    "below a file, where case does not count": (
        [symbolic("link", "pkg-info/x")],
        "below a plain file",
    ),
    "in too long a chain": (
        [*(symbolic(f"l{i}", f"l{i + 1}") for i in range(40)), plain("l40")],
        "too many links",
    ),
    "to too long a path": ([symbolic("link", "x/" * 3000)], "too long"),
    "by links to too long a path": (
        [symbolic("a", "b/" + "x/" * 1500), symbolic("b", "y/" * 1500)],
        "too long",
    ),
    "below a file": ([symbolic("link", "PKG-INFO/x")], "below a plain file"),
    "to a file with a slash": ([symbolic("link", "PKG-INFO/")], "below a plain file"),
    "to a file with a slash and a dot": ([symbolic("link", "PKG-INFO/.")], "below a plain file"),
    "by a link below a file": (
        [symbolic("a", "b/x"), symbolic("b", "PKG-INFO")],
        "below a plain file",
    ),
    "and a member is below it": ([symbolic("d", "src"), plain("d/evil.py")], "below the file"),
    "and a member below it came first": (
        [plain("d/evil.py"), symbolic("d", "src")],
        "below the file",
    ),
    "and a link is below it": ([symbolic("d", "src"), symbolic("d/e", "x")], "below the file"),
    "and a directory is below it": ([symbolic("d", "src"), directory("d/e")], "below the file"),
    "and a file replaces it": ([symbolic("link", "PKG-INFO"), plain("link")], "two members"),
    "and it replaces a file": ([plain("link"), symbolic("link", "PKG-INFO")], "two members"),
    "and it replaces a directory": ([directory("d"), symbolic("d", "src")], "two members"),
    "and it has a twin": ([symbolic("link", "src"), plain("LINK")], TWIN),
    "and it is a twin's": ([plain("Link"), symbolic("link", "src")], TWIN),
    "and a twin is below it": ([symbolic("docs", "src"), plain("Docs/a")], "below the file"),
    "and a twin's directory is there": (
        [directory("Docs"), symbolic("docs", "src")],
        TWIN,
    ),
    "with the name of a directory": ([symbolic("link/", "src")], "name of a directory"),
    "with content": (
        [[(member("link", tarfile.SYMTYPE, "PKG-INFO", size=5), b"hello")]],
        "a link with content",
    ),
    "hard, later": ([hard("link", f"{TOP}/later"), plain("later")], EARLIER),
    "hard, to nothing": ([hard("link", f"{TOP}/nothing")], EARLIER),
    "hard, to no name": ([hard("link", "")], EARLIER),
    "hard, to itself": ([hard("link", f"{TOP}/link")], EARLIER),
    "hard, relative": ([hard("link", "PKG-INFO")], EARLIER),
    "hard, to a directory": ([directory("d"), hard("link", f"{TOP}/d")], EARLIER),
    "hard, to a symbolic one": ([symbolic("a", "src"), hard("b", f"{TOP}/a")], EARLIER),
    "hard, out": ([hard("link", "../x")], EARLIER),
    "hard, absolute": ([hard("link", "/etc/passwd")], EARLIER),
    "hard, by a dot": ([hard("link", f"./{SRC}")], EARLIER),
    "hard, up": ([hard("link", f"{TOP}/src/../PKG-INFO")], EARLIER),
    "hard, by two slashes": ([hard("link", f"{TOP}//PKG-INFO")], EARLIER),
    "hard, to another spelling": ([hard("link", SRC.upper())], EARLIER),
    "hard, and a member is below it": ([hard("d", SRC), plain("d/x")], "below the file"),
    "hard, with content": (
        [[(member("link", tarfile.LNKTYPE, SRC, size=3000), b"x" * 3000)]],
        "a link with content",
    ),
}


@pytest.mark.promise("unpacked-inside")
@pytest.mark.parametrize(("members", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_a_link_is_refused(shelf: Shelf, members: Sequence[Members], words: str) -> None:
    assert_upload_refused(shelf, packed(*members), words)


@pytest.mark.parametrize("link", [symbolic("PKG-INFO", "a"), hard("PKG-INFO", f"{TOP}/a")])
def test_the_metadata_is_not_a_link(shelf: Shelf, link: Members) -> None:
    members = [*plain("a", metadata().encode()), *link]

    content = gzip.compress(tarred(members))

    assert_upload_refused(shelf, Distribution(SDIST_NAME, content), "PKG-INFO is a link")


def test_a_link_whose_target_is_not_utf8_is_refused(shelf: Shelf) -> None:
    link = tarfile.TarInfo(f"{TOP}/link")
    link.type, link.linkname = tarfile.SYMTYPE, "\udce9"
    block = link.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
    content = gzip.compress(block + tarred(sdist_members().items()))

    assert_upload_refused(shelf, Distribution(SDIST_NAME, content), "not UTF-8")


def test_the_refusal_of_a_link_names_it_and_says_what_to_do(shelf: Shelf) -> None:
    answer = shelf.publish(packed(symbolic("docs/link", "../../x")))

    assert answer.detail == (
        "the sdist has the link `widgets-1.0/docs/link`, whose target `../../x` leads out of the "
        "sdist's folder: correct the link, or put a plain file in its place, and build again"
    )


@pytest.mark.parametrize(
    ("members", "link"),
    [
        (
            [*symbolic("Z", "a"), *symbolic("a", "b/"), *symbolic("b", "Z")],
            "`widgets-1.0/Z`, whose target `a`",
        ),
        ([*symbolic("p", "a"), *symbolic("a/Q", "../A")], "`widgets-1.0/a/Q`, whose target `../A`"),
    ],
    ids=["by links", "by a directory"],
)
def test_the_refusal_of_a_circle_names_a_link_in_it_as_it_is_written(
    shelf: Shelf, members: Members, link: str
) -> None:
    assert f"{link} leads" in shelf.publish(packed(members)).detail


def test_too_many_links_in_the_places_of_links_are_not_followed(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytp_broker.index.archives.links.MAX_STEPS", 200)
    outside = [symbolic(f"l{i}", "d/" * i) for i in range(1, 5)]
    inside = [symbolic(f"d/d/d/d/l{i}", "a") for i in range(20)]

    assert_upload_refused(shelf, packed(*outside, *inside), "too many links to follow")


def test_many_links_that_follow_one_another_cost_little(shelf: Shelf) -> None:
    deep = "/".join("x" * 1000)
    chain = [symbolic(f"l{i}", f"l{i + 1}/{'y/' * 60}") for i in range(1500)]

    assert_upload_refused(shelf, packed(symbolic("l1500", deep), *chain), "too")


def test_too_many_parts_of_links_are_not_followed(shelf: Shelf) -> None:
    deep = "/".join("x" * 2000)

    assert_upload_refused(
        shelf, packed(*(symbolic(f"l{i}", deep) for i in range(300))), "too many links to follow"
    )


def test_targets_that_are_too_long_in_all_are_refused(shelf: Shelf) -> None:
    links = [symbolic(f"l{i}", f"{'x' * 199}/" * 20) for i in range(2200)]

    assert_upload_refused(shelf, packed(*links), "too long")


@pytest.mark.parametrize("members", TAKEN.values(), ids=TAKEN.keys())
def test_a_link_that_is_accepted_is_the_same_for_every_tool(members: Sequence[Members]) -> None:
    content = packed(*members).content

    trees = [unpack(content, tool) for tool in UNPACKERS.values()]

    assert all(tree == trees[0] for tree in trees)
