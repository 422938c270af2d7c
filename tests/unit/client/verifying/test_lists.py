"""Lock files and requirements files: every file that they allow, and nothing that they hide."""

from pathlib import Path

import pytest

from pytp_broker.client.verifying import targets
from pytp_broker.client.verifying.selection import find_meant
from pytp_broker.client.verifying.targets import HashedRequirement, Meant, Target, Unverifiable
from tests.support.distributions import sdist, wheel
from tests.support.proofs import locked, pylock

A, B = "a" * 64, "b" * 64


def read(folder: Path, name: str, text: str) -> list[Meant]:
    path = folder / name
    path.write_bytes(text.encode())
    return find_meant([path])


def reasons(meant: list[Meant]) -> list[str]:
    return [each.error.reason if isinstance(each, Unverifiable) else "" for each in meant]


# --- pylock.toml -----------------------------------------------------------------------------


def test_a_lock_file_means_every_wheel_and_sdist_in_it(tmp_path: Path) -> None:
    package = {"name": "widgets", "wheels": [locked(wheel())], "sdist": locked(sdist(), size=77)}

    found = read(tmp_path, "pylock.toml", pylock(package))

    assert [(t.filename, t.sha256, t.size) for t in found if isinstance(t, Target)] == [
        (wheel().filename, wheel().sha256, None),
        (sdist().filename, sdist().sha256, 77),
    ]


def test_a_lock_file_may_have_a_name(tmp_path: Path) -> None:
    text = pylock({"name": "widgets", "wheels": [locked(wheel())]})

    assert reasons(read(tmp_path, "pylock.dev.toml", text)) == [""]


def test_an_archive_is_named_by_its_url(tmp_path: Path) -> None:
    text = pylock({"name": "widgets", "archive": locked(sdist())})

    (target,) = read(tmp_path, "pylock.toml", text)

    assert isinstance(target, Target)
    assert target.filename == sdist().filename


def test_a_file_may_be_named_by_itself_or_by_its_path(tmp_path: Path) -> None:
    by_path = {"path": f"wheels/{wheel().filename}", "hashes": {"sha256": A}}
    by_name = {"name": wheel().filename, "url": "https://x.example/1", "hashes": {"sha256": B}}

    found = read(tmp_path, "pylock.toml", pylock({"name": "widgets", "wheels": [by_path, by_name]}))

    assert {t.filename for t in found if isinstance(t, Target)} == {wheel().filename}


@pytest.mark.promise("whole-list")
@pytest.mark.parametrize(
    ("package", "reason"),
    [
        ({"wheels": [locked(wheel(), hashes={"sha512": A})]}, "no-hash"),
        ({"wheels": [locked(wheel(), hashes={"sha256": "abc"})]}, "no-hash"),
        ({"archive": locked(sdist(), url="https://x.example/a.exe")}, "not-a-distribution"),
        ({"directory": {"path": "."}}, "not-from-an-index"),
        (
            {"vcs": {"type": "git", "url": "https://x.example/r", "commit-id": "1"}},
            "not-from-an-index",
        ),
    ],
)
def test_what_a_lock_file_allows_without_a_hash_is_not_verified(
    tmp_path: Path, package: dict[str, object], reason: str
) -> None:
    assert reasons(read(tmp_path, "pylock.toml", pylock({"name": "widgets"} | package))) == [reason]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "unreadable"),
        ("[[", "unreadable"),
        ('lock-version = "9.0"\ncreated-by = "x"\npackages = []', "unreadable"),
        (pylock(), "empty-list"),
        ("x = " + "[" * 5000, "unreadable"),
    ],
)
def test_what_is_not_a_lock_file_is_not_verified(tmp_path: Path, text: str, reason: str) -> None:
    assert reasons(read(tmp_path, "pylock.toml", text)) == [reason]


def test_a_list_that_is_too_long_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "MAX_LIST_BYTES", 10)

    assert reasons(read(tmp_path, "requirements.txt", "#" * 11)) == ["unreadable"]


# --- requirements.txt ------------------------------------------------------------------------


def test_a_line_allows_each_of_its_hashes(tmp_path: Path) -> None:
    text = (
        f"Widgets[extra]==1.0 ; python_version < '4' \\\n    --hash=sha256:{A} \\\n"
        f"    --hash=sha256:{B.upper()}\n    # via app\n"
    )

    (found,) = read(tmp_path, "requirements.txt", text)

    assert isinstance(found, HashedRequirement)
    assert (found.project, found.hashes) == ("widgets", (A, B))


def test_a_hash_may_stand_apart_from_its_option(tmp_path: Path) -> None:
    (found,) = read(tmp_path, "requirements.txt", f"widgets==1 --hash sha256:{A}")

    assert isinstance(found, HashedRequirement)


def test_comments_and_options_about_indexes_allow_nothing(tmp_path: Path) -> None:
    text = (
        "# made by a tool\r\n--index-url https://x.example/simple\n-i https://x.example/simple\n"
        f"--require-hashes --pre\n\nwidgets==1 --hash=sha256:{A} # a comment\n"
    )

    assert reasons(read(tmp_path, "requirements.txt", text)) == [""]


@pytest.mark.promise("whole-list")
@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("widgets==1", "no-hash"),
        (f"widgets==1 --hash=sha512:{A}", "unknown-option"),
        (f"widgets==1 --hash=sha256:{A} --global-option=x", "unknown-option"),
        (f"widgets==1 --hash=sha256:{A} -r other.txt", "unknown-option"),
        (f"widgets @ https://x.example/w.whl --hash=sha256:{A}", "not-from-an-index"),
        (f"./widgets.whl --hash=sha256:{A}", "not-a-requirement"),
        (f"https://x.example/w.whl --hash=sha256:{A}", "not-a-requirement"),
        ("${WIDGETS}", "not-a-requirement"),
        ("-r other.txt", "not-followed"),
        ("-rother.txt", "not-followed"),
        ("--requirement=other.txt", "not-followed"),
        ("--pre -r other.txt", "not-followed"),
        # uv installs this one, and pip ignores it.
        ("--no-index evil==1", "not-followed"),
        ("--require-hashes evil==1", "not-followed"),
        ("--no-index \\\n evil==1", "not-followed"),
        ("--no-index=evil", "not-followed"),
        ("-i https://x.example.com/simple evil==1", "not-followed"),
        ("--find-links=https://x.example.com evil==1", "not-followed"),
        ("--find-links --no-index evil==1", "not-followed"),
        ("--trusted-host", "not-followed"),
        ("-c other.txt", "not-followed"),
        ("-e .", "not-followed"),
        # pip ends a line at a comment of its own line, so this hash has no requirement.
        (f"--hash=sha256:{A}", "not-followed"),
    ],
)
def test_a_line_that_may_allow_another_file_is_not_verified(
    tmp_path: Path, line: str, reason: str
) -> None:
    assert reasons(read(tmp_path, "requirements.txt", line)) == [reason]


def test_a_comment_does_not_hide_the_line_after_it(tmp_path: Path) -> None:
    text = f"# a comment \\\nevil==1 --hash=sha256:{A}\n"

    (found,) = read(tmp_path, "requirements.txt", text)

    assert isinstance(found, HashedRequirement)
    assert found.project == "evil"


@pytest.mark.promise("whole-list")
def test_a_comment_that_installers_end_differently_is_refused(tmp_path: Path) -> None:
    text = f"widgets==1 --hash=sha256:{A} # a comment \\\nevil==1 --hash=sha256:{B}\n"

    assert reasons(read(tmp_path, "requirements.txt", text)) == ["ambiguous"]


@pytest.mark.promise("whole-list")
@pytest.mark.parametrize(
    "begin",
    [
        "# -*- coding: utf-7 -*-\n",
        "--pre\n# vim: fileencoding=UTF-7\n",
        "# coding: utf-7 coding: utf-8\n",
    ],
)
def test_an_encoding_in_which_pip_finds_other_lines_is_refused(tmp_path: Path, begin: str) -> None:
    # In UTF-7, `+AAo-` ends the line.
    text = f"{begin}widgets==1 --hash=sha256:{A}\n# +AAo-evil==1 --hash=sha256:{B}\n"

    assert reasons(read(tmp_path, "requirements.txt", text)) == ["ambiguous"]


@pytest.mark.parametrize(
    "begin",
    [
        "# -*- coding: UTF-8 -*-\n",
        "# coding: utf8\n",
        "# made by a tool\n# for widgets\n# coding: utf-7\n",
    ],
)
def test_a_list_may_say_that_it_is_utf_8(tmp_path: Path, begin: str) -> None:
    (found,) = read(tmp_path, "requirements.txt", f"{begin}widgets==1 --hash=sha256:{A}\n")

    assert isinstance(found, HashedRequirement)


def test_a_name_that_continues_on_the_next_line_is_not_verified(tmp_path: Path) -> None:
    text = f"wid\\\ngets==1 --hash=sha256:{A}\n"

    assert reasons(read(tmp_path, "requirements.txt", text)) == ["not-a-requirement"]


def test_the_last_line_may_end_in_a_backslash(tmp_path: Path) -> None:
    assert reasons(read(tmp_path, "requirements.txt", "widgets==1 \\")) == ["no-hash"]


@pytest.mark.parametrize("text", ["", "# nothing\n", "--pre\n"])
def test_a_list_without_a_file_is_not_verified(tmp_path: Path, text: str) -> None:
    assert reasons(read(tmp_path, "requirements.txt", text)) == ["empty-list"]


def test_a_list_that_is_not_text_is_not_verified(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_bytes(b"\xff\xfe")

    assert reasons(find_meant([path])) == ["unreadable"]
