"""A server that is a module of the tests, in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).parents[2]


@contextmanager
def module_process(name: str, *arguments: str | Path) -> Iterator[tuple[int, int]]:
    """Run a module that prints its port and then serves; yield its process id and the port."""
    with subprocess.Popen(
        [sys.executable, "-m", name, *arguments],
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": f"{_ROOT / 'functions'}{os.pathsep}{_ROOT}"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield process.pid, int(process.stdout.readline())
        finally:
            process.kill()
