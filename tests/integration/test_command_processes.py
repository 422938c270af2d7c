"""Commands in a process of their own: how `serve` ends before it serves, and a closed pipe."""

import subprocess
import sys
from pathlib import Path

import pytest

from pytp_broker.demo import process
from pytp_broker.demo.process import ServerError, ServerProcess
from pytp_broker.storage.sqlite import SqliteStore
from tests.support.configurations import registry
from tests.support.samples import GITHUB


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broker.toml").write_text(registry("acme"))
    return tmp_path


@pytest.mark.parametrize(
    "line", ["schema", "issuer list --data .", "issuer list --data . --json", "issuer show URL"]
)
def test_a_reader_that_has_seen_enough_ends_a_command_quietly(folder: Path, line: str) -> None:
    SqliteStore(folder / "broker.sqlite3").close()
    options = line.replace("URL", f"{GITHUB} --data .").split()
    command = [sys.executable, "-m", "pytp_broker.cli", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as started:
        assert started.stdout is not None
        assert started.stderr is not None
        started.stdout.close()
        assert started.stderr.read() == b""

    assert started.returncode == 1


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        ("--store dynamodb", 2, "--store dynamodb needs --stack, or --table and --bucket"),
        (
            "--store dynamodb --dynamodb-endpoint http://127.0.0.1:1 --s3-endpoint http://127.0.0.1:1",
            1,
            'cannot open the store: Could not connect to the endpoint URL: "http://127.0.0.1:1/"\n',
        ),
        (
            "--store dynamodb --dynamodb-endpoint garbage --s3-endpoint garbage",
            1,
            "cannot reach the deployment: Invalid endpoint: garbage\n",
        ),
        ("--data broker.toml", 1, "cannot write broker.toml: File exists\n"),
        ("--data broken", 1, "cannot apply the configuration: file is not a database"),
        ("--host no.such.host.invalid", 1, "cannot listen on no.such.host.invalid:0: "),
    ],
)
def test_serve_says_in_one_line_why_it_cannot_start(
    folder: Path, options: str, status: int, said: str
) -> None:
    (folder / "broken").mkdir()
    (folder / "broken" / "broker.sqlite3").write_text("no database" * 100)
    command = (sys.executable, "-m", "pytp_broker.cli", "serve", "--config", "broker.toml")

    ended = subprocess.run(
        [*command, *options.split()], capture_output=True, text=True, timeout=60, check=False
    )

    assert ended.returncode == status
    assert ended.stderr.startswith(said)
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stdout == ""


def test_a_server_that_does_not_start_says_why(folder: Path) -> None:
    (folder / "broker.toml").write_text("registries = 1\n")

    with (
        pytest.raises(ServerError, match="registries: "),
        ServerProcess(folder / "broker.toml", folder / "log"),
    ):
        pass


def test_a_server_that_will_not_end_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print('{}', flush=True)"
    monkeypatch.setattr(process, "_STOP_SECONDS", 0.1)
    server = ServerProcess(tmp_path / "broker.toml", tmp_path / "log")
    server._process = subprocess.Popen(
        [sys.executable, "-c", f"{stubborn}; time.sleep(60)"], stdout=subprocess.PIPE, text=True
    )
    assert server._process.stdout is not None
    server._process.stdout.readline()

    assert server.stop() == -9


def test_a_server_that_never_started_cannot_be_stopped(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="never started"):
        ServerProcess(tmp_path / "broker.toml", tmp_path / "log").stop()
