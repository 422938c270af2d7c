"""RECORD and WHEEL: what a wheel says about its files and its format must be true."""

import tracemalloc
from collections.abc import Callable

import pytest

from pytp_broker.redaction import printable
from tests.support.distributions import (
    Distribution,
    form,
    hash_of,
    recorded,
    wheel,
    wheel_members,
    zipped,
)
from tests.support.shelf import Shelf, assert_upload_refused

FOLDER = "widgets-1.0.dist-info"
RECORD = f"{FOLDER}/RECORD"
MODULE = "widgets/__init__.py"


def lines() -> dict[str, str]:
    """Return the lines of a right RECORD by the files that they list."""
    text = str(dict(recorded(wheel_members().items()))[RECORD])
    return {line.partition(",")[0]: line for line in text.splitlines()}


def with_record(text: str | bytes, **more: str) -> Distribution:
    """Return a wheel with this RECORD, and with more files."""
    members = {**wheel_members(), **more, RECORD: text}
    return Distribution(wheel().filename, zipped(members.items()))


def with_line(line: str, file: str = MODULE) -> Distribution:
    """Return a wheel whose RECORD has this line instead of a file's own."""
    return with_record("\n".join({**lines(), file: line}.values()) + "\n")


def without_line(file: str) -> Distribution:
    return with_record("".join(f"{line}\n" for name, line in lines().items() if name != file))


# What a wheel must have


def test_a_wheel_without_record_is_refused(shelf: Shelf) -> None:
    distribution = Distribution(wheel().filename, zipped(wheel_members().items()))

    assert_upload_refused(shelf, distribution, f"the wheel has no `{RECORD}`")


@pytest.mark.promise("true-wheel")
def test_a_wheel_without_wheel_is_refused(shelf: Shelf) -> None:
    members = wheel_members()
    del members[f"{FOLDER}/WHEEL"]

    assert_upload_refused(shelf, wheel(members=members), f"the wheel has no `{FOLDER}/WHEEL`")


@pytest.mark.parametrize("file", ["wheel", "Record", "RECORD.", "RECORD::$DATA"])
def test_a_wheel_has_each_of_them_once_on_every_file_system(shelf: Shelf, file: str) -> None:
    members = {**wheel_members(), f"{FOLDER}/{file}": ""}

    assert_upload_refused(shelf, wheel(members=members), "some file systems read as")


# WHEEL


@pytest.mark.parametrize(
    "text",
    [
        "Wheel-Version: 1.0",
        "Wheel-Version: 1.9\n",
        "Wheel-Version: 1\n",
        "wheel-version:1.0\r\nTag: py3-none-any\r\n",
        "Generator: \N{SNOWMAN}\nWheel-Version: 1.0\nTag: cp27-none-win32\n\n",
    ],
)
def test_a_wheel_of_the_first_version_of_the_format_is_published(shelf: Shelf, text: str) -> None:
    members = {**wheel_members(), f"{FOLDER}/WHEEL": text}

    assert shelf.publish(wheel(members=members)).status == 200


@pytest.mark.promise("true-wheel")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Wheel-Version: 2.0\n", "`Wheel-Version: 2.0`; installers know 1.0"),
        ("Wheel-Version: 10.0\n", "`Wheel-Version: 10.0`"),
        ("Wheel-Version: one\n", "`Wheel-Version: one`"),
        ("Wheel-Version: 1.0 2.0\n", "`Wheel-Version: 1.0 2.0`"),
        ("Wheel-Version: 1.\u0661\n", "`Wheel-Version: 1.\u0661`"),
        ("Wheel-Version: \x1b[2J\n", "`Wheel-Version: \N{REPLACEMENT CHARACTER}[2J`"),
        ("Wheel-Version: 1.0\nWheel-Version: 2.0\n", "`Wheel-Version: 2.0`"),
        ("", "WHEEL has no `Wheel-Version`"),
        ("Root-Is-Purelib: true\n", "WHEEL has no `Wheel-Version`"),
        ("Root-Is-Purelib: true\n\nWheel-Version: 1.0\n", "WHEEL has no `Wheel-Version`"),
        ("Wheel-Version:\n", "`Wheel-Version: `"),
        (b"Wheel-Version: 1.0\nGenerator: \xff\n", "WHEEL is not UTF-8"),
        ("Wheel-Version: 1.0\n" + "x" * 65_536, "WHEEL is larger than 64 KiB"),
    ],
)
def test_what_is_in_wheel_is_refused(shelf: Shelf, text: str | bytes, words: str) -> None:
    members = {**wheel_members(), f"{FOLDER}/WHEEL": text}

    assert_upload_refused(shelf, wheel(members=members), words)


# Which files RECORD lists


@pytest.mark.parametrize("file", [MODULE, f"{FOLDER}/METADATA", f"{FOLDER}/WHEEL", RECORD])
def test_record_may_leave_out_a_file(shelf: Shelf, file: str) -> None:
    assert shelf.publish(without_line(file)).status == 200


def test_record_may_be_empty(shelf: Shelf) -> None:
    assert shelf.publish(with_record("")).status == 200


@pytest.mark.promise("true-wheel")
@pytest.mark.parametrize(
    "name",
    [
        "widgets/other.py",
        "widgets/",
        f"./{MODULE}",
        f"/{MODULE}",
        f"../{MODULE}",
        f"widgets/../{MODULE}",
        f" {MODULE}",
        f"\ufeff{MODULE}",
        MODULE.upper(),
        f"{RECORD}.jws",
        "",
    ],
    ids=ascii,
)
def test_what_is_listed_and_not_there_is_refused(shelf: Shelf, name: str) -> None:
    text = "\n".join([*lines().values(), f"{name},{hash_of(b'')},0"])

    assert_upload_refused(
        shelf,
        with_record(text, **{"widgets/": ""}),
        f"`{printable(name)}`, which the wheel does not have",
    )


@pytest.mark.promise("true-wheel")
@pytest.mark.parametrize("file", [MODULE, RECORD])
def test_a_file_that_is_listed_twice_is_refused(shelf: Shelf, file: str) -> None:
    distribution = with_line(f"{lines()[file]}\n{lines()[file]}", file)

    assert_upload_refused(shelf, distribution, f"RECORD lists `{file}` twice")


def test_a_file_that_is_listed_with_either_slash_is_listed_twice(shelf: Shelf) -> None:
    again = lines()[MODULE].replace("/", "\\", 1)

    assert_upload_refused(shelf, with_line(f"{lines()[MODULE]}\n{again}"), "twice")


@pytest.mark.parametrize("rest", [",", f"{hash_of(b'x')},1"], ids=["no hash", "a hash"])
def test_a_signature_may_be_listed(shelf: Shelf, rest: str) -> None:
    name = f"{FOLDER}/RECORD.jws"
    text = "\n".join([*lines().values(), f"{name},{rest}"])

    assert shelf.publish(with_record(text, **{name: "x"})).status == 200


def test_a_name_in_a_refusal_is_made_printable_and_short(shelf: Shelf) -> None:
    distribution = with_line("\u202e" + "x" * 500 + "\x1b,,")

    answer = shelf.publish(distribution)

    assert f"`\N{REPLACEMENT CHARACTER}{'x' * 99}" in answer.detail
    assert len(answer.detail) < 300


# How RECORD is written


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text,
        lambda text: text.removesuffix("\n"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\n\n"),
        lambda text: text.replace(MODULE, f'"{MODULE}"'),
        lambda text: text.replace(RECORD, f'"{RECORD}"'),
        lambda text: text.replace("/", "\\"),
        lambda text: "".join(sorted(text.splitlines(keepends=True))),
        lambda text: text.replace(f"{RECORD},,", f"{RECORD},sha256=x,7"),
    ],
    ids=[
        "as it is",
        "no last end of line",
        "CRLF",
        "empty lines",
        "quoted",
        "itself quoted",
        "backslashes",
        "another order",
        "a hash of itself",
    ],
)
def test_record_is_accepted_with(shelf: Shelf, change: Callable[[str], str]) -> None:
    text = "".join(f"{line}\n" for line in lines().values())

    assert shelf.publish(with_record(change(text))).status == 200


@pytest.mark.parametrize(
    "name", ["widgets/a,b", 'widgets/a"b', "widgets/a b", "widgets/\u00e4", "widgets/\N{SNOWMAN}"]
)
def test_a_file_may_have_any_safe_name(shelf: Shelf, name: str) -> None:
    assert shelf.publish(wheel(members={**wheel_members(), name: "x"})).status == 200


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (MODULE, "line 1 of the wheel's RECORD is not a path, a hash and a size"),
        (f"{MODULE},{hash_of(b'')}", "not a path"),
        (f"{MODULE},{hash_of(b'')},0,", "not a path"),
        (",,", "not a path"),
        (f'"{MODULE}\n",,', "not a path"),
        (f"{MODULE}\u2028,,", "not a path"),
        (f"{MODULE},{hash_of(b'')},0\x85", "not a path"),
        (f'"{MODULE}"x,{hash_of(b"")},0', "CSV"),
        (f'"{MODULE},{hash_of(b"")},0', "CSV"),
        (f"{MODULE},{hash_of(b'')},0\r{RECORD},,", "CSV"),
        ('"' + "\n" * 200_000, "CSV"),
        ("x" * 8192, "a line of more than 8 KiB"),
    ],
)
def test_a_line_is_refused(shelf: Shelf, line: str, words: str) -> None:
    assert_upload_refused(shelf, with_line(line), words)


def test_no_line_has_another_end_inside(shelf: Shelf) -> None:
    """Some tools would read a further line there, about a file that is not in the archive."""
    distribution = with_line(f"{RECORD},,\u2028widgets/evil.py", RECORD)

    assert_upload_refused(shelf, distribution, "line 4 of the wheel's RECORD")


@pytest.mark.parametrize("octets", [b"\xff", b"\xc3"], ids=["none", "cut short"])
def test_a_record_that_is_not_utf8_is_refused(shelf: Shelf, octets: bytes) -> None:
    text = "\n".join(lines().values()).encode() + b"\n" + octets

    assert_upload_refused(shelf, with_record(text), "not CSV in UTF-8")


def test_a_record_of_more_than_eight_mebibytes_is_refused(shelf: Shelf) -> None:
    assert_upload_refused(shelf, with_record("x" * (16 * 1024 * 1024 + 1)), "larger than 16384 KiB")


# Hashes and sizes


@pytest.mark.parametrize(
    "algorithm",
    ["sha256", "sha384", "sha512", "sha3_256", "sha3_384", "sha3_512", "blake2b", "blake2s"],
)
def test_a_hash_is_accepted_by(shelf: Shelf, algorithm: str) -> None:
    assert shelf.publish(with_line(f"{MODULE},{hash_of(b'', algorithm)},0")).status == 200


@pytest.mark.parametrize("algorithm", ["sha256", "sha512", "blake2b"])
def test_a_wrong_hash_is_refused_by(shelf: Shelf, algorithm: str) -> None:
    distribution = with_line(f"{MODULE},{hash_of(b'x', algorithm)},0")

    assert_upload_refused(shelf, distribution, f"RECORD gives a wrong hash for `{MODULE}`")


@pytest.mark.promise("true-wheel")
@pytest.mark.parametrize("name", list(wheel_members()))
def test_the_hash_of_every_file_is_verified(shelf: Shelf, name: str) -> None:
    size = len(wheel_members()[name])
    distribution = with_line(f"{name},{hash_of(b'evil')},{size}", name)

    assert_upload_refused(shelf, distribution, f"wrong hash for `{name}`")


@pytest.mark.promise("true-wheel")
@pytest.mark.parametrize(
    "stated",
    [
        "=",
        "md5=1B2M2Y8AsgTpgAmY7PhCfg",
        "sha1=2jmj7l5rSw0yVb_vlWAYkK_YBwk",
        "sha224=0UoCjCo6K8lHYQK7KII0xBWisB-CjqYqxbPkLw",
        "SHA256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU",
        " sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU",
        "shake_128=f5wrqOiPgn1hYEVQdgWFPtc7gJPvbrmI65qstqzU1iw",
        "crc32=AAAAAA",
        "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ],
)
def test_a_weak_hash_is_refused(shelf: Shelf, stated: str) -> None:
    distribution = with_line(f"{MODULE},{stated},0")

    assert_upload_refused(shelf, distribution, f"a hash of `{MODULE}` that is weaker than sha256")


@pytest.mark.parametrize(
    "digest",
    [
        "",
        "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=",
        "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
        "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuF",
        "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
    ],
)
def test_another_spelling_of_a_hash_is_refused(shelf: Shelf, digest: str) -> None:
    assert_upload_refused(shelf, with_line(f"{MODULE},sha256={digest},0"), "wrong hash")


def test_a_hash_in_hex_is_accepted(shelf: Shelf) -> None:
    """As gmsh, on PyPI, writes it."""
    digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

    assert shelf.publish(with_line(f"{MODULE},sha256={digest},0")).status == 200


@pytest.mark.parametrize("size", ["1", "-0", "00", " 0", "0x0", "zero", "\u0660", "9" * 5000])
def test_another_size_is_refused(shelf: Shelf, size: str) -> None:
    distribution = with_line(f"{MODULE},{hash_of(b'')},{size}")

    assert_upload_refused(shelf, distribution, f"RECORD gives a wrong size for `{MODULE}`")


@pytest.mark.parametrize("line", [f"{MODULE},{hash_of(b'')},", f"{MODULE},,0", f"{MODULE},,"])
def test_a_hash_and_a_size_may_be_left_out(shelf: Shelf, line: str) -> None:
    assert shelf.publish(with_line(line)).status == 200


# What it costs


@pytest.mark.parametrize(
    "text",
    ["\N{ROCKET}" + "x" * 8_000_000, "," * 8_000_000, '"\N{ROCKET}' + "\n" * 8_000_000],
    ids=["one line", "many fields", "quoted"],
)
def test_a_large_record_costs_little_more_than_its_size(shelf: Shelf, text: str) -> None:
    """As one text, or split into fields, it would take four or eight times its size."""
    body = form(with_record(text))
    tracemalloc.start()

    answer = shelf.post(body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert answer.status == 400
    assert peak < 2 * len(text) + 1024 * 1024
