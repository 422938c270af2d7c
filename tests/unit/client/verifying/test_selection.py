"""What the user names: files, folders and lists of files."""

from pathlib import Path

import pytest
from pip._internal.utils import filetypes

from pytp_broker.client.verifying.outcome import VerifyError
from pytp_broker.client.verifying.selection import choose, find_meant
from pytp_broker.client.verifying.targets import Meant, Target, Unverifiable
from tests.support.distributions import sdist, wheel
from tests.support.proofs import locked, put, pylock


def only(meant: list[Meant]) -> Meant:
    (one,) = meant
    return one


def test_a_wheel_is_known_by_its_name_and_its_content(tmp_path: Path) -> None:
    file = wheel()

    target = only(find_meant([put(tmp_path, file)]))

    assert isinstance(target, Target)
    assert (target.filename, target.sha256) == (file.filename, file.sha256)
    assert (target.project, str(target.version)) == ("widgets", "1.0")
    assert (target.size, target.folder) == (len(file.content), tmp_path)


def test_an_sdist_is_known_by_its_name_and_its_content(tmp_path: Path) -> None:
    target = only(find_meant([put(tmp_path, sdist("my-widgets"))]))

    assert isinstance(target, Target)
    assert target.project == "my-widgets"


def test_a_folder_means_its_distributions_alone(tmp_path: Path) -> None:
    put(tmp_path, wheel())
    put(tmp_path, sdist())
    (tmp_path / "widgets-1.0-py3-none-any.whl.receipt").write_text("{}")

    names = [each.filename for each in find_meant([tmp_path]) if isinstance(each, Target)]

    assert names == [wheel().filename, sdist().filename]


@pytest.mark.parametrize(
    "name",
    [
        *("evil-1.0.tar.bz2", "evil-1.0.tgz", "evil-1.0.tar.xz", "evil-1.0.tar", "evil-1.0.tbz"),
        *("evil-1.0.tar.lzma", "evil-1.0.tar.zst", "evil-1.0-py3-none-any.WHL", "evil-1.0.TAR.GZ"),
    ],
)
def test_what_an_installer_takes_from_a_folder_is_not_left_out(tmp_path: Path, name: str) -> None:
    # `pip download` may have fetched it, and `pip install --find-links` installs it.
    put(tmp_path, wheel())
    (tmp_path / name).write_bytes(b"evil")

    (found,) = (each for each in find_meant([tmp_path]) if isinstance(each, Unverifiable))

    assert (found.name, found.error.reason) == (name, "not-a-distribution")


@pytest.mark.parametrize("suffix", ["receipt", "provenance", "publish.attestation"])
def test_what_a_shell_names_beside_a_distribution_is_not_a_file_of_its_own(
    tmp_path: Path, suffix: str
) -> None:
    file = put(tmp_path, wheel())
    beside = file.with_name(f"{file.name}.{suffix}")
    beside.write_text("{}")

    (found,) = find_meant([beside, file])

    assert isinstance(found, Target)
    assert found.filename == file.name


def test_an_attestation_without_its_distribution_is_not_verified(tmp_path: Path) -> None:
    found = only(find_meant([tmp_path / "widgets-1.0-py3-none-any.whl.publish.attestation"]))

    assert isinstance(found, Unverifiable)
    assert found.error.reason == "not-a-distribution"


def test_a_folder_means_every_archive_that_pip_installs(tmp_path: Path) -> None:
    for extension in filetypes.ARCHIVE_EXTENSIONS:
        (tmp_path / f"evil-1.0{extension}").write_bytes(b"evil")

    assert len(find_meant([tmp_path])) == len(filetypes.ARCHIVE_EXTENSIONS)


def test_a_folder_without_distributions_is_not_verified(tmp_path: Path) -> None:
    found = only(find_meant([tmp_path]))

    assert isinstance(found, Unverifiable)
    assert found.error.reason == "empty-folder"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("widgets.whl", "not-a-distribution"),
        ("widgets-1.0-py3-none-any\n.whl", "not-a-distribution"),
        ("notes.md", "not-a-distribution"),
        ("widgets-x.y.tar.gz", "not-a-distribution"),
        ("widgets-1.0.tar.gz", "unreadable"),
        ("missing.txt", "unreadable"),
    ],
)
def test_what_is_not_a_distribution_is_not_verified(tmp_path: Path, name: str, reason: str) -> None:
    found = only(find_meant([tmp_path / name]))

    assert isinstance(found, Unverifiable)
    assert found.error.reason == reason


def test_one_bad_file_of_a_folder_does_not_hide_the_others(tmp_path: Path) -> None:
    put(tmp_path, wheel())
    (tmp_path / "broken.whl").write_text("x")

    found = find_meant([tmp_path])

    assert [isinstance(each, Target) for each in found] == [False, True]


def test_a_folder_that_cannot_be_listed_is_not_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)

    found = only(find_meant([tmp_path]))

    assert isinstance(found, Unverifiable)
    assert str(found.error) == "it cannot be read: Permission denied"


# --- --project -------------------------------------------------------------------------------


def lock(folder: Path) -> list[Meant]:
    gadgets = wheel("gadgets")
    path = folder / "pylock.toml"
    path.write_text(
        pylock(
            {"name": "widgets", "wheels": [locked(wheel())]},
            {"name": "gadgets", "wheels": [locked(gadgets)]},
            {"name": "gizmos", "directory": {"path": "gizmos"}},
        )
    )
    return find_meant([path])


def test_without_a_project_everything_is_meant(tmp_path: Path) -> None:
    assert len(choose(lock(tmp_path), None).meant) == 3


def test_a_project_leaves_the_others_out_and_names_them(tmp_path: Path) -> None:
    chosen = choose(lock(tmp_path), ["Widgets"])

    assert [each.project for each in chosen.meant] == ["widgets"]
    assert chosen.left_out == [wheel("gadgets").filename, "gizmos"]


def test_a_requirement_that_is_left_out_is_named_by_its_project(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text(f"widgets==1.0 --hash=sha256:{'a' * 64}\ngadgets==1 --hash=sha256:{'b' * 64}\n")

    assert choose(find_meant([path]), ["widgets"]).left_out == ["gadgets"]


def test_what_nobody_knows_is_never_left_out(tmp_path: Path) -> None:
    put(tmp_path, wheel())
    (tmp_path / "broken.whl").write_text("x")

    assert len(choose(find_meant([tmp_path]), ["widgets"]).meant) == 2


def test_a_project_without_a_file_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(VerifyError, match="--project widgits: there is no file of this project"):
        choose(lock(tmp_path), ["widgits"])


def test_a_project_that_cannot_exist_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(VerifyError, match="--project a b: must be a project name"):
        choose(lock(tmp_path), ["a b"])
