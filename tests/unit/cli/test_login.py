"""`login` and `logout`: a person's token in the keyring of the system."""

import io
import os
from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
from keyring.backends import fail

from pytp_broker.cli import login, logout, main
from pytp_broker.client import ambient
from pytp_broker.client.job_tokens import JobTokens
from pytp_broker.client.token_cache import TokenCache
from tests.support.keyrings import MemoryKeyring
from tests.support.remote import BASE, INDEX, UPLOAD, Remote


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch, quick_path: Path) -> Remote:
    """Let a broker be at the other end, for a laptop."""
    remote = Remote()
    for name in ambient._MARKS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(ambient, "PROJECTED", quick_path / "projected")
    monkeypatch.setattr(login, "send", remote.send)
    return remote


@pytest.fixture
def system(remote: Remote) -> Iterator[MemoryKeyring]:
    before = keyring.get_keyring()
    backend = MemoryKeyring()
    keyring.set_keyring(backend)
    yield backend
    keyring.set_keyring(before)


@pytest.fixture
def token(remote: Remote) -> str:
    return str(remote.mint(remote.identity()).json["token"])


def give(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_a_token_from_another_command_is_checked_and_kept(
    system: MemoryKeyring,
    token: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    give(monkeypatch, f"{token}\n")

    assert main(["login", UPLOAD]) == 0

    assert system.kept[UPLOAD, "__token__"] == token
    assert capsys.readouterr() == (f"the keyring keeps the token for {BASE}\n", "")


def test_a_person_types_a_token_unseen(
    system: MemoryKeyring, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda _prompt: token)

    assert main(["login", UPLOAD]) == 0

    assert system.kept[UPLOAD, "__token__"] == token


@pytest.mark.usefixtures("remote")
def test_a_token_that_the_registry_refuses_is_not_kept(
    system: MemoryKeyring, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(monkeypatch, "pytp_secret")

    assert main(["login", UPLOAD]) == 1

    assert not system.kept
    said = capsys.readouterr().err
    assert "unauthorized" in said
    assert "pytp_secret" not in said


@pytest.mark.usefixtures("system")
def test_no_token_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(monkeypatch, "\n")

    assert main(["login", INDEX]) == 2
    assert "there is no token" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["login", "logout"])
@pytest.mark.parametrize("url", ["acme", BASE, INDEX.replace("https", "http")])
def test_what_is_not_a_registrys_url_is_a_mistake(
    command: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, url]) == 2
    assert "it looks like https://packages.example.com/acme/simple/" in capsys.readouterr().err


@pytest.mark.usefixtures("system")
def test_without_a_keyring_nobody_is_asked_for_a_token(capsys: pytest.CaptureFixture[str]) -> None:
    keyring.set_keyring(fail.Keyring())  # type: ignore[no-untyped-call]

    assert main(["login", INDEX]) == 1
    assert "this system has no keyring" in capsys.readouterr().err


def test_a_token_is_removed(system: MemoryKeyring, capsys: pytest.CaptureFixture[str]) -> None:
    system.kept[INDEX, "__token__"] = "secret"

    assert main(["logout", INDEX]) == 0
    assert main(["logout", INDEX]) == 0

    assert not system.kept
    assert capsys.readouterr().out == f"removed the token for {BASE}\nthere was no token\n"


@pytest.fixture
def job(remote: Remote, monkeypatch: pytest.MonkeyPatch, quick_path: Path) -> Remote:
    """Let this be a job with one identity token."""
    monkeypatch.setenv("PYTP_IDENTITY_TOKEN", remote.identity())
    monkeypatch.setattr(
        logout,
        "JobTokens",
        lambda environment: JobTokens(
            environment, TokenCache(quick_path / "cache"), remote.send, remote.seconds
        ),
    )
    return remote


def test_in_a_job_the_kept_token_is_burned(
    job: Remote, quick_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    JobTokens(os.environ, TokenCache(quick_path / "cache"), job.send, job.seconds).find(UPLOAD)

    assert main(["logout", UPLOAD]) == 0

    (record,) = job.store.tokens.values()
    assert record.burned_at is not None
    assert capsys.readouterr().out == f"burned the token for {BASE}\n"


@pytest.mark.usefixtures("job")
def test_a_job_without_an_identity_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTP_IDENTITY_TOKEN", "secret")

    assert main(["logout", UPLOAD]) == 1
    assert "is not a JWT" in capsys.readouterr().err
