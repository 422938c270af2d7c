"""Entry points of wheels: installers write a file for each script, under the name that it has."""

import pytest

from tests.support.distributions import Distribution, wheel, wheel_members
from tests.support.shelf import Shelf, assert_upload_refused

FILE = "widgets-1.0.dist-info/entry_points.txt"
SCRIPTS = ["console_scripts", "gui_scripts"]


def with_entry_points(text: str | bytes) -> Distribution:
    return wheel(members={**wheel_members(), FILE: text})


def script(name: str, value: str = "widgets:main", group: str = "console_scripts") -> Distribution:
    return with_entry_points(f"[{group}]\n{name} = {value}\n")


@pytest.mark.parametrize("group", SCRIPTS)
@pytest.mark.parametrize(
    "name",
    [
        "foo",
        "foo.bar",
        "foo_bar",
        "foo-bar",
        "1foo",
        "_foo",
        "foo.",
        ".foo",
        "foo..bar",
        "_",
        "-_-",
    ],
)
def test_a_script_may_have_the_name(shelf: Shelf, name: str, group: str) -> None:
    assert shelf.publish(script(name, group=group)).status == 200


def test_a_script_may_have_letters_of_any_alphabet(shelf: Shelf) -> None:
    assert shelf.publish(script("\u0433\u0443\u0434\u0436\u0435\u0442")).status == 200


@pytest.mark.promise("unpacked-inside")
@pytest.mark.parametrize("group", SCRIPTS)
@pytest.mark.parametrize(
    "name",
    [
        "../../evil",
        "../evil",
        "/etc/evil",
        "a/b",
        "..\\evil",
        "C:\\evil",
        "C:evil",
        "foo:bar",
        "foo bar",
        "foo\tbar",
        "'foo'",
        "foo;1",
        "foo#bar",
        "a[b",
        ".",
        "..",
        "...",
        "foo\u200b",
        "foo\u202egpj",
        "a\x00b",
        "a\x1bb",
        "nul",
        "AUX",
        "con.py",
        "com1",
    ],
    ids=ascii,
)
def test_a_script_is_refused_by_the_name(shelf: Shelf, name: str, group: str) -> None:
    assert_upload_refused(
        shelf, script(name, group=group), f"in the group `{group}`, which is not a file"
    )


@pytest.mark.parametrize("name", ["python", "Python3", "python3.14t", "pythonw", "pypy3.11"])
def test_a_script_in_the_place_of_the_interpreter_is_refused(shelf: Shelf, name: str) -> None:
    assert_upload_refused(shelf, script(name), "would replace Python's own interpreter")


@pytest.mark.parametrize("name", ["python-x", "ipython3", "pythonx", "py"])
def test_a_script_may_have_almost_the_name_of_the_interpreter(shelf: Shelf, name: str) -> None:
    assert shelf.publish(script(name)).status == 200


@pytest.mark.parametrize("name", ["x" * 256, "\u00e9" * 128], ids=["ASCII", "UTF-8"])
def test_a_script_whose_name_is_too_long_is_refused(shelf: Shelf, name: str) -> None:
    assert_upload_refused(shelf, script(name), "names of at most 255 bytes")


@pytest.mark.parametrize("name", ["", "  "])
def test_a_script_without_a_name_is_refused(shelf: Shelf, name: str) -> None:
    assert_upload_refused(shelf, script(name), "entry_points.txt")


@pytest.mark.promise("unpacked-inside")
@pytest.mark.parametrize(
    "text",
    [
        "[console_scripts]\nfoo = a:b\n  ../../evil = a:b\n",
        "[console_scripts]\nfoo = a:b\n\t../../evil=a:b\n",
        "[console_scripts]\nfoo = a:b\n;../../evil = a:b\n",
        "[console_scripts]\nfoo = a:b\r../../evil = a:b\n",
        "[console_scripts]\nfoo = a:b\x0b../../evil = a:b\n",
        "[console_scripts]\nfoo = a:b\u2028../../evil = a:b\n",
        "[other]\nfoo = a:b\n  [console_scripts]\n  ../../evil = a:b\n",
        "[ console_scripts ]\n../../evil = a:b\n",
        "[[console_scripts]]\n../../evil = a:b\n",
        "[console_scripts]]\n../../evil = a:b\n",
        "[DEFAULT]\n../../evil = a:b\n[console_scripts]\nfoo = a:b\n",
        "[console_scripts]\nfoo = a:b\n  bar = a:b\n",
        "[console_scripts]\n; foo = a:b\n",
        "[DEFAULT]\nbar = a:b\n[console_scripts]\nfoo = a:b\n",
        "[console_scripts]\nfoo = a:b\n    [extra]\n",
    ],
    ids=ascii,
)
def test_scripts_that_only_some_installers_see_are_refused(shelf: Shelf, text: str) -> None:
    assert shelf.publish(with_entry_points(text)).status == 400


def test_scripts_are_the_same_to_all_installers(shelf: Shelf) -> None:
    made = with_entry_points("[console_scripts]\nfoo = a:b\n  bar = a:b\n")

    assert shelf.publish(made).status == 400
    assert "`foo` in the group" in shelf.publish(made).detail


@pytest.mark.parametrize(
    "text",
    [
        b"\xff\xfe\xfd",
        "[console_scripts]\nfoo:main\n",
        "[console_scripts]\nfoo: a:b\n",
        "[console_scripts]\nfoo\n",
        "foo = a:b\n",
        "\ufeff[console_scripts]\nfoo = a:b\n",
        "[console_scripts]\nfoo = a:b\nfoo = a:c\n",
        "[console_scripts]\nfoo = a:b\n[console_scripts]\nbar = a:b\n",
        "[other]\nfoo\n",
        "[console_scripts\nfoo = a:b\n",
    ],
)
def test_entry_points_that_are_no_ini_file_are_refused(shelf: Shelf, text: str | bytes) -> None:
    assert_upload_refused(shelf, with_entry_points(text), "the wheel's entry_points.txt is not")


@pytest.mark.parametrize(
    "value",
    [
        "",
        "module",
        "module:",
        ":main",
        "a:b [x",
        "a b:c",
        "a:b c",
        "a:b ; comment",
        "a:b # comment",
    ],
)
def test_a_script_that_no_installer_writes_is_refused(shelf: Shelf, value: str) -> None:
    assert_upload_refused(
        shelf, script("foo", value), f"that is `{value}` and not `module:function`"
    )


@pytest.mark.parametrize(
    "value", ["a:b", "a.b:c.d", "a : b", "a:b [x, y]", "a:b[x]", "a-b:c", "_a:_b "]
)
def test_a_script_may_be(shelf: Shelf, value: str) -> None:
    assert shelf.publish(script("foo", value)).status == 200


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "# a comment\n[console_scripts]\n# another\nfoo = a:b\n\nBar=c:d\nbar=c:d\n",
        "    [console_scripts]\n    foo = a:b\n    bar = a:b\n",
        "[console_scripts]\r\nfoo = a:b\r\n",
        "[console_scripts]\nfoo = a:b\n[gui_scripts]\nfoo = a:c\n",
        "[console_scripts]\n",
        "[mkdocs.plugins]\nmaterial/blog = material.plugins.blog.plugin:BlogPlugin\n",
        "[pytest11]\nnbval = nbval.plugin\n[paste.app_factory]\nmain = a:%(here)s\n",
        "[other]\n../../x = anything at all\n; a comment\n",
        "[other]\nfoo = a:b\n    [extra]\n",
    ],
)
def test_entry_points_are_published(shelf: Shelf, text: str) -> None:
    assert shelf.publish(with_entry_points(text)).status == 200


def test_entry_points_of_more_than_256_kibibytes_are_refused(shelf: Shelf) -> None:
    assert_upload_refused(
        shelf, with_entry_points("#" * 262_145), "entry_points.txt is larger than"
    )


def test_a_folder_in_the_place_of_entry_points_is_refused(shelf: Shelf) -> None:
    assert_upload_refused(shelf, wheel(members={**wheel_members(), f"{FILE}/": ""}), FILE)
