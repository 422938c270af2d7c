"""The backend as `keyring` and its callers see it: harmless, quiet, and never an exception."""

import os
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from keyring.errors import KeyringError

from pytp_broker.client import ambient, job_tokens
from pytp_broker.client.keyring import JobKeyring
from pytp_broker.client.transport import Answer
from tests.support.remote import BASE, UPLOAD, Remote


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch, quick_path: Path) -> Remote:
    """Let this process be a job whose CI gives one identity token, with a broker to go to."""
    remote = Remote()
    for name in ambient._MARKS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTP_IDENTITY_TOKEN", remote.identity())
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(quick_path))
    monkeypatch.setattr(ambient, "PROJECTED", quick_path / "projected")
    monkeypatch.setattr(ambient, "_PRODUCT", quick_path / "product")
    monkeypatch.setattr(
        job_tokens,
        "JobTokens",
        lambda environment, mask: JOB_TOKENS(
            environment, send=remote.send, now=remote.seconds, mask=mask
        ),
    )
    monkeypatch.setattr("pytp_broker.client.keyring.JobTokens", job_tokens.JobTokens)
    return remote


JOB_TOKENS = job_tokens.JobTokens


@pytest.fixture
def backend(remote: Remote) -> JobKeyring:
    return JobKeyring()


def test_keyring_finds_the_backend_by_its_entry_point() -> None:
    (found,) = entry_points(group="keyring.backends", name="pytp-broker")

    assert found.load().JobKeyring is JobKeyring


def test_a_password_is_a_token_for_the_url(backend: JobKeyring) -> None:
    token = backend.get_password(UPLOAD, "__token__")

    credential = backend.get_credential(UPLOAD, None)
    assert credential is not None
    assert token is not None
    assert token.startswith("pytp_")
    assert (credential.username, credential.password) == ("__token__", token)


@pytest.mark.parametrize("user", ["alice", ""])
def test_another_user_has_no_password(backend: JobKeyring, remote: Remote, user: str) -> None:
    assert backend.get_password(UPLOAD, user) is None
    assert backend.get_credential(UPLOAD, user) is None
    assert not remote.calls


@pytest.mark.parametrize("service", ["poetry-repository-acme", "packages.example.com"])
def test_a_service_that_is_not_a_url_has_no_password(
    backend: JobKeyring, remote: Remote, service: str
) -> None:
    assert backend.get_credential(service, None) is None
    assert not remote.calls


def test_a_refusal_is_told_once(
    backend: JobKeyring, remote: Remote, capsys: pytest.CaptureFixture[str]
) -> None:
    remote.configure("")

    assert backend.get_password(UPLOAD, "__token__") is None
    assert backend.get_password(UPLOAD, "__token__") is None

    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("pytp-broker: ")


def test_a_refusal_tells_the_servers_sentence(
    backend: JobKeyring,
    remote: Remote,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stranger = remote.token(aud="packages.example.com/acme", repository="octo-org/other")
    monkeypatch.setenv("PYTP_IDENTITY_TOKEN", stranger)

    assert backend.get_password(UPLOAD, "__token__") is None

    err = capsys.readouterr().err
    assert "no trusted publisher here matches repository `octo-org/other`" in err
    assert stranger not in err


def test_what_nobody_expected_does_not_stop_the_program(
    backend: JobKeyring, remote: Remote, capsys: pytest.CaptureFixture[str]
) -> None:
    remote.answers[f"{BASE}/_/oidc/audience"] = RuntimeError("secret")

    assert backend.get_password(UPLOAD.replace("//", "//me:secret@"), "__token__") is None

    said = capsys.readouterr().err
    assert said == "pytp-broker: no token: an unexpected RuntimeError\n"


def test_it_stores_and_deletes_nothing(backend: JobKeyring) -> None:
    with pytest.raises(NotImplementedError):
        backend.set_password(UPLOAD, "__token__", "secret")
    with pytest.raises(NotImplementedError):
        backend.delete_password(UPLOAD, "__token__")
    # Programs take these for the errors of a keyring.
    assert issubclass(NotImplementedError, RuntimeError)
    assert not issubclass(NotImplementedError, KeyringError)


# --- priority ------------------------------------------------------------------------------------


def test_in_a_job_it_comes_before_the_keyring_of_the_machine(remote: Remote) -> None:
    assert JobKeyring.viable
    assert JobKeyring.priority > 5


def test_on_a_laptop_it_is_not_there(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTP_IDENTITY_TOKEN")

    assert not JobKeyring.viable


def test_on_a_machine_of_google_cloud_the_machines_keyring_comes_first(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTP_IDENTITY_TOKEN")
    ambient._PRODUCT.write_text("Google\n")

    assert 0 < JobKeyring.priority < 1


# --- at the end of a process, and in its log -----------------------------------------------------


class Exits:
    """What `atexit` was asked to do."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def register(self, function: object, *arguments: object) -> None:
        self.calls.append((function, *arguments))

    def run(self) -> None:
        for function, *arguments in self.calls:
            assert callable(function)
            function(*arguments)


@pytest.fixture
def exits(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> Exits:
    """Let the CI sign a new identity token each time, and return what happens at exit."""
    exits = Exits()
    monkeypatch.setattr("atexit.register", exits.register)
    monkeypatch.delenv("PYTP_IDENTITY_TOKEN")
    monkeypatch.setattr("id.detect_credential", lambda _: remote.identity())
    monkeypatch.delitem(sys.modules, "keyring.cli", raising=False)
    return exits


def test_a_program_that_uploads_burns_its_token_when_it_ends(
    backend: JobKeyring, remote: Remote, exits: Exits
) -> None:
    backend.get_password(UPLOAD, "__token__")

    exits.run()

    (record,) = remote.store.tokens.values()
    assert record.burned_at is not None


def test_the_program_keyring_leaves_the_token_to_its_caller(
    backend: JobKeyring, exits: Exits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "keyring.cli", sys)

    backend.get_password(UPLOAD, "__token__")

    assert not exits.calls


def test_a_copy_of_the_process_burns_nothing(
    backend: JobKeyring, remote: Remote, exits: Exits, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.get_password(UPLOAD, "__token__")
    monkeypatch.setattr(os, "getpid", lambda: 1)

    exits.run()

    (record,) = remote.store.tokens.values()
    assert record.burned_at is None


@pytest.mark.parametrize("answer", [Answer(503, {}), RuntimeError("secret")], ids=repr)
def test_a_token_that_could_not_be_burned_is_told(
    backend: JobKeyring,
    remote: Remote,
    exits: Exits,
    capsys: pytest.CaptureFixture[str],
    answer: Answer | Exception,
) -> None:
    backend.get_password(UPLOAD, "__token__")
    remote.answers[f"{BASE}/_/oidc/burn-token"] = answer

    exits.run()

    assert "could not be burned; it expires by itself" in capsys.readouterr().err


def test_githubs_runner_is_told_to_hide_the_token(
    backend: JobKeyring,
    remote: Remote,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")

    token = backend.get_password(UPLOAD, "__token__")

    out, err = capsys.readouterr()
    assert (out, err) == ("", f"::add-mask::{token}\n")


@pytest.mark.promise("no-secret-of-a-job-in-a-log")
def test_another_log_has_no_token(backend: JobKeyring, capsys: pytest.CaptureFixture[str]) -> None:
    assert backend.get_password(UPLOAD, "__token__") is not None

    assert capsys.readouterr() == ("", "")
