"""`pytp-broker trust-root`: the operator fetches the trusted root, and sees which one is used."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pytp_broker.cli import main
from pytp_broker.provenance import trust_root_refresh
from pytp_broker.provenance.trusted_roots import SHIPPED_ON, folder_of
from tests.support.sigstores import Sigstore
from tests.support.tuf_repositories import URL, Repository


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> Repository:
    """Return the repository that the command asks instead of the public one."""
    repository = Repository()
    refresh = trust_root_refresh.refresh
    monkeypatch.setattr(
        trust_root_refresh,
        "refresh",
        lambda folder: refresh(folder, URL, repository.root, repository),
    )
    return repository


def run(*arguments: str | Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    status = main(["trust-root", *map(str, arguments)])
    out, err = capsys.readouterr()
    return status, out.strip(), err.strip()


def test_refresh_fetches_the_root_and_says_so(
    tmp_path: Path, repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    sigstore = Sigstore()
    file = sigstore.write_trusted_root(tmp_path / "new.json")
    repository.publish(file.read_bytes())

    first = run("refresh", "--data", tmp_path, capsys=capsys)
    second = run("refresh", "--data", tmp_path, capsys=capsys)

    assert first[0] == second[0] == 0
    assert first[1].startswith("the trusted root is a new one; it is current until ")
    assert second[1].startswith("the trusted root has not changed; it is current until ")
    assert (folder_of(tmp_path) / "trusted_root.json").read_bytes() == file.read_bytes()


def test_a_refresh_that_fails_says_why(
    tmp_path: Path, repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.down = True

    status, _, err = run("refresh", "--data", tmp_path, capsys=capsys)

    assert status == 1
    assert err.startswith("the trusted root cannot be refreshed: ")


def test_show_names_the_root_of_the_package(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = run("show", "--data", tmp_path, capsys=capsys)

    assert status == 0
    assert out == f"the trusted root of this package, of {SHIPPED_ON}"


def test_show_names_the_root_that_was_fetched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder_of(tmp_path).mkdir()
    file = Sigstore().write_trusted_root(folder_of(tmp_path) / "trusted_root.json")
    fetched = datetime(2026, 11, 20, tzinfo=UTC).timestamp()
    os.utime(file, (fetched, fetched))

    status, out, _ = run("show", "--data", tmp_path, capsys=capsys)

    assert status == 0
    assert out == f"{file}, fetched on 2026-11-20"


@pytest.mark.parametrize("command", ["refresh", "show"])
def test_the_data_folder_must_exist(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = run(command, "--data", tmp_path / "missing", capsys=capsys)

    assert status == 1
    assert err == f"{tmp_path / 'missing'} is not a folder"
