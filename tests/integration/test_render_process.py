"""The processes that render descriptions: what they may do, and when they are ended."""

import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pytp_broker.index.web.descriptions import BusyError
from pytp_broker.index.web.render_process import PROCESSES, RenderProcess

# Each name stands for ten of the one before it: ten thousand million words.
BOMB = "".join(
    f".. |{name}| replace:: {' '.join([f'|{other}|'] * 10)}\n"
    for name, other in zip("bcdefghijk", "abcdefghij", strict=True)
)


def test_a_description_is_rendered() -> None:
    html = RenderProcess()("text/markdown", "# Größe\n\n<script>alert(1)</script>")

    assert html.startswith('<h3 id="user-content-größe">Größe</h3>')
    assert "<script>" not in html


def test_a_description_that_takes_too_long_is_given_up() -> None:
    began = time.monotonic()

    html = RenderProcess((sys.executable, "-c", "import time; time.sleep(60)"), 0.2)("x", "y")

    assert html == ""
    assert time.monotonic() - began < 10


def test_a_description_that_grows_without_end_is_given_up() -> None:
    assert RenderProcess(seconds=20)("text/x-rst", f"{BOMB}.. |a| replace:: word\n\n|k|\n") == ""


@pytest.mark.parametrize("command", [(sys.executable, "-c", "raise SystemExit(1)"), ("/no/such",)])
def test_a_process_that_fails_gives_nothing(command: tuple[str, ...]) -> None:
    assert RenderProcess(command)("text/markdown", "x") == ""


def test_a_process_has_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/usr/lib")
    script = "import json, os; print(json.dumps(sorted(os.environ)))"

    seen = json.loads(RenderProcess((sys.executable, "-S", "-c", script))("x", "y"))

    assert set(seen) - {"LC_CTYPE"} == {"LD_LIBRARY_PATH", "PYTHONPATH"}


def test_a_process_writes_no_file_and_has_bounded_memory(tmp_path: Path) -> None:
    script = f"""
from pytp_broker.index.web import describe
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
describe._limit()
try:
    open({str(tmp_path / "x")!r}, "w", buffering=1).write("x" * 100_000)
except OSError:
    print("no file")
try:
    bytes(1024 ** 3)
except MemoryError:
    print("no memory")
"""
    assert RenderProcess((sys.executable, "-c", script))("x", "y").split("\n")[:2] == [
        "no file",
        "no memory",
    ]


def test_no_request_waits_for_anothers_description(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    script = (
        "import pathlib, sys, time\n"
        f"while not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.01)\n"
        "print('done')"
    )
    process = RenderProcess((sys.executable, "-c", script), 30)

    with ThreadPoolExecutor() as threads:
        running = [threads.submit(process, "x", "y") for _ in range(PROCESSES)]
        assert busy_within(process, 10)
        gate.touch()
        assert [each.result() for each in running] == ["done\n"] * PROCESSES

    assert process("x", "y") == "done\n"


def busy_within(process: RenderProcess, seconds: float) -> bool:
    """Say whether all places are taken before long; a free one is given back at once."""
    for _ in attempts(seconds):
        if not process._places.acquire(blocking=False):
            break
        process._places.release()
    try:
        process("x", "y")
    except BusyError:
        return True
    return False


def attempts(seconds: float) -> Iterator[None]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        time.sleep(0.01)
