"""The metadata inside a file: refused and accepted fields."""

import gzip
from collections.abc import Callable

import pytest

from tests.support.distributions import (
    SDIST_NAME,
    WHEEL_NAME,
    Distribution,
    metadata,
    sdist,
    tarred,
    wheel,
    wheel_members,
)
from tests.support.scanner import LEAKED
from tests.support.shelf import Shelf, assert_upload_refused


def described(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


NO_REQUIREMENTS = [
    "Requires-Dist: foo bar baz",
    "Requires-Dist: ",
    "requires-dist: foo bar",
    "Requires-Dist: -foo",
    "Requires-Dist: f\u00f6\u00f6",
    "Requires-Dist: foo>=",
    "Requires-Dist: foo ~=1",
    "Requires-Dist: foo>=1.0.*",
    "Requires-Dist: foo (>dev)",
    "Requires-Dist: foo===x",
    "Requires-Dist: foo>=1,===1.0-x-y",
    "Requires-Dist: foo==" + "9" * 5000,
    "Requires-Dist: foo==" + "9" * 20,
    "Requires-Dist: foo[bar",
    "Requires-Dist: foo[bar baz]",
    "Requires-Dist: foo; unknown == '1'",
    "Requires-Dist: foo; os_name == 'posix' # a comment",
    "Requires-Dist: foo\n bar",
    "Requires-Dist: foo\n >=1",
    "Requires-Dist: foo\xa0>=1",
    "Requires-Dist: https://example.com/foo.whl",
    "Requires-Dist: foo; " + "(" * 100_000,
    "Requires-Dist: foo\nRequires-Dist: foo bar",
]


ENCODED_WORDS = [
    "Requires-Dist: =?utf-8?q?evil?=",
    "Requires-Dist: =?UTF-8?B?ZXZpbA==?=",
    "Requires-Dist: foo; extra == '=?utf-8?q?x?='",
    "Requires-Dist: foo @ https://example.com/=?utf-8?q?evil?=.whl",
    "Requires-Dist: foo\nRequires-Dist: =?utf-8?q?evil?=",
    "Provides-Extra: =?utf-8?q?x?=",
    "Dynamic: =?utf-8?q?Requires-Dist?=",
    "Requires-Python: ====?utf-8?q?3?=",
]


@pytest.mark.promise("one-project")
@pytest.mark.parametrize("build", [wheel, sdist], ids=["wheel", "sdist"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "metadata-version"),
        ("junk", "metadata-version"),
        (described("Name: widgets", "Version: 1.0"), "metadata-version"),
        (described("Metadata-Version: 9.0", "Name: widgets", "Version: 1.0"), "metadata-version"),
        (described("Metadata-Version: 2.1", "Version: 1.0"), "`name`"),
        (described("Metadata-Version: 2.1", "Name: widgets"), "`version`"),
        (metadata("gadgets"), "the project `widgets`, the metadata inside is for `gadgets`"),
        (metadata(version="1.1"), "the version `1.0`, the metadata inside has `1.1`"),
        (metadata("widgets", "one"), "`version`"),
        (metadata("widgets", "9" * 5000), "`version`"),
        (metadata("-widgets-"), "`name`"),
        (metadata("widgets", "1.0", "Name: gadgets"), "repeats"),
        (metadata("widgets", "1.0", "version: 1.0"), "repeats"),
        (metadata("widgets", "1.0", "Requires-Python: >=3", "Requires-Python: <3"), "repeats"),
        (metadata("widgets", "1.0", "Requires-Python: 3"), "`requires-python`"),
        (metadata("widgets", "1.0", "Requires-Python: <script>"), "`requires-python`"),
        (metadata("widgets", "1.0", "Requires-Python: ===\x1b[2J"), "`requires-python`"),
        (metadata("widgets", "1.0", "Requires-Python: ===\u202e"), "`requires-python`"),
        (metadata("widgets", "1.0", f"Requires-Python: ==={LEAKED}"), "`requires-python`"),
        (metadata("widgets", "1.0", "Requires-Python: " + ">=3," * 500), "too long"),
        *((metadata("widgets", "1.0", line), "not a requirement") for line in NO_REQUIREMENTS),
        *((metadata("widgets", "1.0", line), "an encoded word") for line in ENCODED_WORDS),
        (metadata("widgets", "1.0", "Requires-Dist: x" + ",>1" * 10_001), "many requirements"),
        (metadata("widgets", "1.0", *["Requires-Dist: " + "x" * 99] * 2650), "many requirements"),
        (metadata("widgets", "1.0", "Requires-Dist: x @ ./x"), "another machine"),
        (metadata("widgets", "1.0", "Requires-Dist: x @ /x.whl"), "another machine"),
        (metadata("widgets", "1.0", "Requires-Dist: x @ ://x"), "another machine"),
        (metadata("widgets", "1.0", "Requires-Dist: x @ https://"), "another machine"),
        (metadata("widgets", "1.0", "Requires-Dist: x @ https:///x.whl"), "another machine"),
        (metadata("widgets", "1.0", "Requires-Dist: x @ file://"), "another machine"),
        (metadata("widgets", "1.0", "Requires-Dist: x; os_name == '\x1b[2J'"), "be printed"),
        (metadata("widgets", "1.0", "Requires-Dist: x; os_name == '\u202e'"), "be printed"),
        (metadata("widgets", "1.0", "Requires-Dist: x @ https://x/\x1b[2J"), "be printed"),
        (metadata("widgets", "1.0", *(f"X-{i}: x" for i in range(100))), "too many fields"),
        (metadata("widgets", "1.0", *["Classifier: x"] * 10_001), "too many fields"),
        (metadata("widgets", "1.0", "Summary: \udcff"), "UTF-8"),
    ],
)
def test_metadata_is_refused(
    shelf: Shelf, build: Callable[..., Distribution], text: str, words: str
) -> None:
    octets = text.encode(errors="surrogateescape")
    member = "PKG-INFO" if build is sdist else "METADATA"

    assert_upload_refused(shelf, rebuilt(build, member, octets), words)


def rebuilt(build: Callable[..., Distribution], member: str, octets: bytes) -> Distribution:
    if build is sdist:
        content = gzip.compress(tarred([(f"widgets-1.0/{member}", octets)]))
        return Distribution(SDIST_NAME, content)
    return wheel(members={**wheel_members(), f"widgets-1.0.dist-info/{member}": octets})


@pytest.mark.parametrize(
    "text",
    [
        metadata("WIDGETS", "1.0.0"),
        metadata("widgets", "1.0", "License-File: LICENSE", "Dynamic: license-file"),
        metadata("widgets", "1.0", "X-Unknown: x", "Requires-Python: "),
        metadata("widgets", "1.0", "Content-Type: multipart/mixed; boundary=x"),
        metadata("widgets", "1.0", "Author: =?utf-8?q?J=C3=B6rg?=", "Summary: a =?b?c?= d"),
        metadata("widgets", "1.0", "Provides-Extra: .none", "Requires-External: C compiler"),
        metadata().replace("2.1", "2.0"),
        metadata("widgets", "1.0", "Requires-Dist: foo (>=1.0)").replace("2.1", "1.1"),
        metadata("widgets", "1.0", "Requires-Dist: foo[a,b]>=1,<2;\tos_name=='posix'"),
        metadata("widgets", "1.0", "Requires-Dist: foo; platform.machine == 'x'"),
        metadata("widgets", "1.0", "Requires-Dist: foo @ git+https://example.com/foo@main"),
        metadata("widgets", "1.0", "Requires-Dist: foo @ file:///srv/foo.whl"),
        metadata("widgets", "1.0", "Requires-Dist: foo===1.0", "Requires-Dist: bar==1.*"),
        metadata().replace("\n", "\r\n"),
        metadata().replace("\n", "\r"),
        metadata() + "Name: gadgets\n\nVersion: 2\n" + "\N{SNOWMAN}",
    ],
    ids=[
        "other spelling",
        "fields ahead of the version",
        "unknown and empty fields",
        "a MIME type",
        "encoded words for people",
        "an extra that cannot be asked for",
        "a draft's version",
        "a requirement ahead of the version",
        "a requirement with everything",
        "an old marker",
        "a direct reference",
        "a direct reference to a file",
        "a version as it is written, and a prefix",
        "CRLF",
        "CR",
        "a description like fields",
    ],
)
def test_metadata_is_accepted(shelf: Shelf, text: str) -> None:
    assert shelf.publish(wheel(text=text)).status == 200
    assert shelf.store.files["acme", WHEEL_NAME].requires_python is None
