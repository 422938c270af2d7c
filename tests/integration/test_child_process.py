"""A command as a child: its status is ours, and what we are sent reaches it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytp_broker.client import child_process
from pytp_broker.client.child_process import Child, NotStartedError

# Says that it runs, then prints each signal that it gets; SIGTERM also ends it, with 3.
LISTENER = """
import os, signal, sys

def take(number, frame):
    print(signal.Signals(number).name, flush=True)
    if number == signal.SIGTERM:
        sys.exit(3)

for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
    signal.signal(number, take)
os.kill(os.getppid(), signal.SIGUSR1)
while True:
    signal.pause()
"""


@pytest.fixture
def child() -> Iterator[Child]:
    child = Child()
    with child.signals():
        yield child


def run(child: Child, code: str, **variables: str) -> int:
    return child.run([sys.executable, "-c", code], {**os.environ, **variables})


@pytest.mark.parametrize("status", [0, 1, 7, 255])
def test_the_status_is_the_commands(child: Child, status: int) -> None:
    assert run(child, f"import sys; sys.exit({status})") == status


def test_a_command_that_a_signal_ends_has_the_status_that_a_shell_gives(child: Child) -> None:
    assert run(child, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)") == 128 + 9


def test_the_command_has_the_environment_and_no_other(
    child: Child, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(child, "import os; print(os.environ['SECRET'])", SECRET="s") == 0
    assert capfd.readouterr().out == "s\n"


def test_no_shell_reads_the_arguments(child: Child, tmp_path: Path) -> None:
    code = "import sys; sys.exit(sys.argv[1] != '$(touch x); `touch x` *')"
    command = [sys.executable, "-c", code, "$(touch x); `touch x` *"]

    assert child.run(command, {**os.environ}) == 0


@pytest.mark.parametrize(
    ("command", "status", "reason"),
    [
        ("no-such-command", 127, "there is no such command"),
        ("/", 126, "Permission denied"),
        ("a\0b", 126, "it cannot be started"),
    ],
    ids=["missing", "folder", "null"],
)
def test_a_command_that_cannot_be_started_has_the_status_that_a_shell_gives(
    child: Child, command: str, status: int, reason: str
) -> None:
    with pytest.raises(NotStartedError, match=reason) as refused:
        child.run([command], {})

    assert refused.value.status == status


# --- signals -------------------------------------------------------------------------------------


def test_a_signal_before_the_command_ends_us_so_that_the_token_is_burned(child: Child) -> None:
    with pytest.raises(SystemExit) as ended:
        signal.raise_signal(signal.SIGTERM)

    assert ended.value.code == 128 + signal.SIGTERM


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP", "SIGTERM"])
def test_the_command_gets_our_signals(
    child: Child, name: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_process, "_is_sent_to_all", lambda _: False)
    answer_to_the_first(child, monkeypatch, [name, "SIGTERM"])

    assert run(child, LISTENER) == 3

    expected = {"SIGTERM": "SIGTERM\n"}.get(name, f"{name}\nSIGTERM\n")
    assert capfd.readouterr().out == expected


def test_a_signal_of_the_terminal_is_not_given_twice(
    child: Child, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_process, "_is_sent_to_all", lambda number: number == signal.SIGINT)
    answer_to_the_first(child, monkeypatch, ["SIGINT", "SIGTERM"])

    assert run(child, LISTENER) == 3

    assert capfd.readouterr().out == "SIGTERM\n"


def answer_to_the_first(child: Child, monkeypatch: pytest.MonkeyPatch, names: list[str]) -> None:
    """Send ourselves these signals once the command has said, by SIGUSR1, that it listens."""
    take = child._take

    def answer(number: int, frame: object) -> None:
        if number == signal.SIGUSR1:
            for name in names:
                take(signal.Signals[name], None)
        else:
            take(number, None)

    signal.signal(signal.SIGUSR1, answer)


def test_a_signal_that_comes_while_the_command_starts_reaches_it(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = subprocess.Popen

    def slow_start(*arguments: object, **options: object) -> object:
        signal.raise_signal(signal.SIGTERM)
        return start(*arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", slow_start)

    assert run(child, "import time; time.sleep(60)") == 128 + signal.SIGTERM


def test_a_signal_after_the_command_stops_nothing(child: Child) -> None:
    assert run(child, "") == 0

    signal.raise_signal(signal.SIGTERM)


def test_the_handlers_of_before_are_back() -> None:
    before = signal.getsignal(signal.SIGTERM)

    with Child().signals():
        assert signal.getsignal(signal.SIGTERM) != before

    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    ("name", "is_ours", "is_sent"),
    [("SIGINT", True, True), ("SIGTERM", True, False), ("SIGINT", False, False)],
)
def test_a_terminal_sends_ctrl_c_to_all_of_the_job_that_it_shows(
    monkeypatch: pytest.MonkeyPatch, name: str, *, is_ours: bool, is_sent: bool
) -> None:
    group = os.getpgrp() if is_ours else os.getpgrp() + 1
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: group)
    with Path(os.devnull).open() as standard_input:
        monkeypatch.setattr("sys.stdin", standard_input)

        assert child_process._is_sent_to_all(signal.Signals[name]) is is_sent


def test_without_a_terminal_nobody_else_sends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr("sys.stdin", nothing)

        assert not child_process._is_sent_to_all(signal.SIGINT)
