"""`pytp-broker import --from-folder`: what is taken, what is refused, and what is kept of it."""

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import pytest

from pytp_broker.cli import main
from pytp_broker.errors import StoreUnavailable
from pytp_broker.file_sizes import write_size
from pytp_broker.storage.file_folder import FolderFiles
from pytp_broker.storage.sqlite import SqliteStore
from tests.support.audit import check
from tests.support.distributions import Distribution, metadata, sdist, wheel, zipped
from tests.support.importing import Move, move
from tests.support.old_packages import CHANGED_AT, zip_sdist

__all__ = ["move"]

OLD_SDIST = sdist("my-package", filename="My.Package-1.0.tar.gz")
DASHED_SDIST = sdist(version="1.0.post1", filename="widgets-1.0-1.tar.gz")


def test_a_folder_is_imported_with_the_folders_in_it(move: Move) -> None:
    move.put(wheel(), sdist())
    (move.packages / "more").mkdir()
    (move.packages / "more" / "gadgets-2.0.tar.gz").write_bytes(sdist("gadgets", "2.0").content)

    seen = move.folder()

    size = sum(path.stat().st_size for path in move.packages.rglob("*") if path.is_file())
    assert seen == (
        f"imported 3 files ({write_size(size)}) into acme from file://{move.packages}\n"
    )
    assert move.files().keys() == {wheel().filename, sdist().filename, "gadgets-2.0.tar.gz"}


def test_each_file_keeps_who_imported_it_from_where_and_the_time_of_its_change(move: Move) -> None:
    move.put(wheel(text=metadata("widgets", "1.0", "Requires-Python: >=3.9")))
    os.utime(move.packages / wheel().filename, (CHANGED_AT, CHANGED_AT))

    move.folder()

    (file,) = move.files().values()
    assert file.published_by == {
        "imported_from": f"file://{move.packages}",
        "imported_by": "user olive",
    }
    assert file.uploaded_at == datetime.fromtimestamp(CHANGED_AT, UTC)
    assert (file.project, file.version, file.requires_python) == ("widgets", "1.0", ">=3.9")


def test_a_time_in_the_future_is_the_time_of_the_import(move: Move) -> None:
    move.put(wheel())
    os.utime(move.packages / wheel().filename, (CHANGED_AT, time.time() + 10**6))

    move.folder()

    (file,) = move.files().values()
    assert file.uploaded_at <= datetime.now(UTC)


def test_an_import_is_recorded_when_it_begins_and_when_it_ends(move: Move) -> None:
    move.put(wheel(), Distribution("gadgets-1.0.tar.gz", b"x"))

    move.folder()

    records = move.records()
    for record in records:
        check(record)
    assert [record["outcome"] for record in records] == ["begun", "accepted"]
    assert {record["by"] for record in records} == {"user olive"}
    assert {record["import_source"] for record in records} == {f"file://{move.packages}"}
    assert (records[1]["imported"], records[1]["not_imported"]) == (1, 1)


def test_what_is_here_already_is_skipped(move: Move) -> None:
    move.put(wheel())
    move.folder()
    before = move.files()
    move.put(sdist())

    seen = move.folder()

    assert "imported 1 file (" in seen
    assert "1 file were here already" not in seen
    assert "1 file was here already\n" in seen
    assert move.files()[wheel().filename] == before[wheel().filename]


@pytest.mark.promise("import-verified")
def test_a_file_with_other_content_is_refused_and_nothing_is_overwritten(move: Move) -> None:
    move.put(wheel())
    move.folder()
    before = move.files()
    other = wheel(text=metadata("widgets", "1.0", "Summary: other"))
    move.put(other)

    seen = move.folder()

    assert seen == (
        f"imported 0 files (0 bytes) into acme from file://{move.packages}\n"
        "refused 1 file:\n"
        f"  {other.filename}: `{other.filename}` is published here with the sha256 "
        f"{wheel().sha256}, and the source has {other.sha256}: a published file never changes\n"
        "exit 1\n"
    )
    assert move.files() == before


@pytest.mark.parametrize("file", [OLD_SDIST, DASHED_SDIST], ids=["name", "dash"])
def test_a_file_that_an_operator_has_deleted_does_not_come_back(
    move: Move, file: Distribution
) -> None:
    move.put(file)
    move.folder()
    deletion = ["acme", file.filename, "--reason", "leaks", "--data", str(move.data)]
    assert main(["file", "delete", *deletion]) == 0
    move.capsys.readouterr()

    assert move.refusal(f"--from-folder {move.packages}") == (
        f"an operator has deleted `{file.filename}` here (leaks), and the name of a deleted file "
        "is never used again"
    )


def test_a_file_of_an_old_name_that_is_not_there_cannot_be_deleted(move: Move) -> None:
    deletion = ["acme", DASHED_SDIST.filename, "--reason", "leaks", "--data", str(move.data)]

    assert main(["file", "delete", *deletion]) == 1
    assert f"has no file `{DASHED_SDIST.filename}`" in move.capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "project", "version"),
    [
        (OLD_SDIST, "my-package", "1.0"),
        (DASHED_SDIST, "widgets", "1.0.post1"),
        (sdist(version="1.0b1", filename="widgets-1.0-beta-1.tar.gz"), "widgets", "1.0b1"),
        (sdist("my-package", filename="my-package-1.0.tar.gz"), "my-package", "1.0"),
        (sdist("widgets", "1.0.0", filename="widgets-1.0.tar.gz"), "widgets", "1.0.0"),
        (zip_sdist("My.Package"), "my-package", "1.0"),
        (wheel("Widgets", filename="Widgets-1.0-py2.py3-none-any.whl"), "widgets", "1.0"),
        (wheel("my.package", filename="my.package-1.0-py3-none-any.whl"), "my-package", "1.0"),
        (wheel("widgets", "1.0.0", filename="widgets-1.0-1-py3-none-any.whl"), "widgets", "1.0.0"),
    ],
    ids=lambda value: value.filename if isinstance(value, Distribution) else None,
)
def test_an_old_file_name_that_installers_take_is_taken(
    move: Move, file: Distribution, project: str, version: str
) -> None:
    move.put(file)

    assert "exit" not in move.folder()
    found = move.files()[file.filename]
    assert (found.project, found.version) == (project, version)


def test_a_release_with_several_spellings_and_sdists_is_taken_whole(move: Move) -> None:
    move.put(
        sdist("my-package", "1.0", filename="my-package-1.0.tar.gz"),
        zip_sdist("my-package", "1.0"),
        sdist("my-package", "1.0.0"),
        wheel("my-package", "1.0.0"),
        wheel("my-package", "1.0"),
    )

    assert "imported 5 files" in move.folder()


@pytest.mark.parametrize(
    ("filename", "words"),
    [
        ("widgets-1.0-py2.7.egg", "neither the name of a wheel"),
        ("widgets-1.0.win32.exe", "neither the name of a wheel"),
        ("widgets-1.0.tar.bz2", "neither the name of a wheel"),
        ("widgets-1.0.tgz", "neither the name of a wheel"),
        ("widgets.zip", "neither the name of a wheel"),
        ("widgets-one.tar.gz", "neither the name of a wheel"),
        ("widgets-1.0-py3-none.whl", "neither the name of a wheel"),
        ("wid gets-1.0.tar.gz", "is not the name of a distribution"),
        ("widgets-1.0-py2.3.tar.gz", "neither the name of a wheel"),
        ("gadgets-2-1.tar.gz", "the metadata inside is for `widgets`"),
        (f"{'x' * 240}-1.0.tar.gz", "at most 240 characters"),
    ],
)
def test_a_distribution_that_installers_cannot_use_is_refused(
    move: Move, filename: str, words: str
) -> None:
    move.put(Distribution(filename, sdist().content))

    assert words in move.refusal(f"--from-folder {move.packages}")
    assert move.files() == {}


def test_files_that_are_no_distributions_are_left_out(move: Move) -> None:
    move.put(
        wheel(),
        Distribution("README.txt", b"hello"),
        Distribution("widgets-1.0.tar.gz.asc", b"signature"),
        Distribution(".widgets-1.0.tar.gz", b"half"),
    )

    assert "exit" not in move.folder()
    assert move.files().keys() == {wheel().filename}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (wheel().content[:-30], "directory"),
        (sdist().content, "directory"),
        (sdist("gadgets").content, "directory"),
    ],
    ids=["empty", "half-written", "an sdist", "of another project"],
)
def test_a_damaged_wheel_is_refused_and_the_others_are_imported(
    move: Move, content: bytes, words: str
) -> None:
    move.put(Distribution(wheel().filename, content), wheel("gadgets"))

    report = move.report(f"--from-folder {move.packages}")

    assert [refused["filename"] for refused in report["refused"]] == [wheel().filename]
    assert report["imported"] == 1
    assert move.files().keys() == {wheel("gadgets").filename}


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"widgets-1.0/setup.py": ""}, "one top-level directory, with a PKG-INFO in it"),
        ({"widgets-1.0/PKG-INFO": metadata(), "b/x": ""}, "one top-level directory"),
        ({"widgets-1.0/PKG-INFO": metadata(), "widgets-1.0/pkg-info": ""}, "read as `PKG-INFO`"),
        ({"widgets-1.0/PKG-INFO": metadata(), "widgets-1.0/a ": ""}, "ends in a blank"),
        ({"widgets-1.0/PKG-INFO": metadata("gadgets")}, "is for `gadgets`"),
        ({"widgets-1.0/PKG-INFO": metadata(), "widgets-1.0/../x": ""}, "unsafe name"),
        (
            {"widgets-1.0/PKG-INFO": metadata(), "widgets-1.0/a": "", "widgets-1.0/A": ""},
            "become one file",
        ),
        ({}, "not a zip archive"),
    ],
)
def test_a_zip_sdist_is_refused_for_what_is_inside(
    move: Move, members: dict[str, str], words: str
) -> None:
    move.put(Distribution("widgets-1.0.zip", zipped(members.items())))

    assert words in move.refusal(f"--from-folder {move.packages}")


def test_a_zip_sdist_with_a_damaged_member_is_refused(move: Move) -> None:
    content = zip_sdist().content
    offset = content.index(b"PK\x03\x04") + 14
    spoiled = content[:offset] + b"\0\0\0\0" + content[offset + 4 :]
    move.put(Distribution("widgets-1.0.zip", spoiled))

    assert move.refusal(f"--from-folder {move.packages}")
    assert move.files() == {}


def test_a_link_within_the_folder_is_followed(move: Move) -> None:
    (move.packages / ".store").mkdir()
    (move.packages / ".store" / "blob").write_bytes(wheel().content)
    (move.packages / wheel().filename).symlink_to(move.packages / ".store" / "blob")

    assert "imported 1 file" in move.folder()


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("../broker.sqlite3", "leads out of the folder"),
        ("nothing", "leads nowhere"),
        ("widgets-1.0-py3-none-any.whl", "leads nowhere"),
    ],
)
def test_any_other_link_is_refused(move: Move, target: str, words: str) -> None:
    (move.packages / wheel().filename).symlink_to(target)

    assert words in move.refusal(f"--from-folder {move.packages}")


def test_a_link_to_a_folder_is_not_followed(move: Move) -> None:
    (move.packages / "up").symlink_to("..")

    assert "imported 0 files" in move.folder()


def test_a_pipe_is_refused_and_does_not_block(move: Move) -> None:
    os.mkfifo(move.packages / wheel().filename)

    assert move.refusal(f"--from-folder {move.packages}") == "is not a plain file"


def test_a_file_that_cannot_be_opened_is_refused(
    move: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    move.put(wheel())
    real = os.open

    def denied(path: object, *arguments: int, **options: int) -> int:
        if str(path).endswith(".whl"):
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", denied)

    assert move.refusal(f"--from-folder {move.packages}") == "cannot be read: Permission denied"


def test_a_file_that_cannot_be_read_to_its_end_is_refused(
    move: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    move.put(wheel())

    class Broken:
        def __init__(self, descriptor: int, _mode: str) -> None:
            os.close(descriptor)

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

        def read(self, _size: int) -> bytes:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdopen", Broken)

    assert move.refusal(f"--from-folder {move.packages}") == "cannot be read: Input/output error"


def test_a_folder_that_is_not_there_is_named(move: Move) -> None:
    assert move.run(f"--from-folder {move.data}/nothing") == 1
    assert "cannot read the folder" in move.capsys.readouterr().err
    assert move.records() == []


def test_only_the_projects_that_are_named_are_imported(move: Move) -> None:
    move.put(wheel(), wheel("gadgets"), wheel("my-package"), Distribution("x.egg", b"x"))

    assert "imported 2 files" in move.folder("--project Gadgets --project my.package")
    assert move.files().keys() == {wheel("gadgets").filename, wheel("my-package").filename}


def test_a_named_project_that_is_not_there_is_refused(move: Move) -> None:
    move.put(wheel())

    seen = move.folder("--project gadgets")

    assert "the project gadgets: the folder has no distribution of `gadgets`\nexit 1" in seen


def test_a_name_that_is_no_project_is_a_mistake(move: Move) -> None:
    assert move.run(f"--from-folder {move.packages} --project ../x") == 2


def test_a_registry_that_is_not_there_is_named(move: Move) -> None:
    options = ["--registry", "acmee", "--from-folder", str(move.packages)]
    assert main(["import", *options, "--data", str(move.data)]) == 1
    assert "there is no registry `acmee`" in move.capsys.readouterr().err


def test_without_a_terminal_each_project_and_each_refusal_has_a_line(move: Move) -> None:
    move.put(wheel(), sdist(), Distribution("gadgets-1.0.tar.gz", b"x"))

    move.folder()

    assert move.errors.splitlines()[0] == "gadgets: 1 file"
    assert "widgets: 2 files" in move.errors
    assert "refused gadgets-1.0.tar.gz: " in move.errors


def test_on_a_terminal_a_bar_shows_files_and_bytes(
    move: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    move.put(wheel(), sdist())
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)

    move.folder()

    assert "2/2" in move.errors
    size = len(wheel().content) + len(sdist().content)
    assert f"files, {write_size(size)}" in move.errors


def test_the_report_as_json_has_every_refusal(move: Move) -> None:
    move.put(wheel(), Distribution("gadgets-1.0.egg", b"x"))

    report = move.report(f"--from-folder {move.packages}")

    assert report == {
        "registry": "acme",
        "source": f"file://{move.packages}",
        "imported": 1,
        "bytes": len(wheel().content),
        "present": 0,
        "left_out": 0,
        "refused": [
            {
                "project": "",
                "filename": "gadgets-1.0.egg",
                "why": "`gadgets-1.0.egg` is neither the name of a wheel (.whl) nor of an sdist "
                "(.tar.gz, or .zip if another index published it)",
            }
        ],
        "remarks": [],
        "without_timestamp": 0,
        "stopped": "",
    }
    assert json.dumps(report)


def test_a_store_that_fails_stops_the_import_and_the_next_one_completes_it(
    move: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    move.put(wheel(), sdist())

    def fail(*_: object) -> None:
        raise StoreUnavailable("the stored files cannot be written now; try again")

    with monkeypatch.context() as broken:
        broken.setattr(FolderFiles, "save", fail)
        assert move.run(f"--from-folder {move.packages}") == 1
    assert "cannot import: the stored files cannot be written" in move.capsys.readouterr().err
    assert move.files() == {}
    last = move.records()[-1]
    check(last)
    assert (last["outcome"], last["reason"]) == ("refused", "store-unavailable")

    assert "imported 2 files" in move.folder()


def test_two_imports_at_the_same_time_publish_each_file_once(
    move: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    move.put(wheel())
    add = SqliteStore.add_file

    def add_after_another(store: SqliteStore, file: object, announcement: object) -> None:
        monkeypatch.setattr(SqliteStore, "add_file", add)
        monkeypatch.setenv("LOGNAME", "oscar")
        assert move.run(f"--from-folder {move.packages}") == 0
        store.add_file(file, announcement)  # type: ignore[arg-type]

    monkeypatch.setattr(SqliteStore, "add_file", add_after_another)

    assert "1 file was here already" in move.folder()
    assert len(move.files()) == 1


def test_a_full_disk_for_temporary_files_is_a_refusal(
    move: Move, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    move.put(wheel())

    class Full:
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

        def write(self, _piece: bytes) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("pytp_broker.cli.import_delivery.TemporaryFile", Full)

    assert "temporary folder: No space left" in move.refusal(f"--from-folder {move.packages}")


def test_a_file_that_s3_cannot_take_is_refused(move: Move, monkeypatch: pytest.MonkeyPatch) -> None:
    move.put(wheel())
    monkeypatch.setattr("pytp_broker.cli.import_delivery.MAX_FILE_BYTES", 100)

    assert "more than 5 GB" in move.refusal(f"--from-folder {move.packages}")
