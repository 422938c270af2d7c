"""Large distributions are inspected in bounded memory, each in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
GIBIBYTE = 1 << 30
MEBIBYTE = 1 << 20
# Prints what the inspection said, how many calls it made, and the most memory of the process.
PROGRAM = """
import json, sys
from pytp_broker.errors import InvalidUpload
from pytp_broker.index.archives import read_metadata_file
from pytp_broker.index.distributions import parse_filename
from tests.support.huge_archives import MAKERS
from tests.support.memory import peak_memory
from tests.support.work import count_calls

make, size = MAKERS[sys.argv[1]], int(sys.argv[2])
filename, content = make(size)

def say():
    try:
        return read_metadata_file(parse_filename(filename), content).decode()
    except InvalidUpload as refused:
        return refused.detail

said, calls = count_calls(say)
print(json.dumps([said, calls, peak_memory(), content.size]))
"""


def inspect(kind: str, size: int) -> tuple[str, int, int, int]:
    """Return what the inspection said, its calls, the peak of memory, and the file's size."""
    said, calls, peak, packed = run("-c", PROGRAM, kind, str(size))
    return said, calls, peak, packed


def run(*program: str) -> list[Any]:
    """Run a program of ours in a process of its own; return the values that it prints."""
    ran = subprocess.run(
        [sys.executable, "-P", *program],
        capture_output=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=300,
    )
    printed: list[Any] = json.loads(ran.stdout)
    return printed


@pytest.mark.promise("bounded-memory")
@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_a_file_of_a_gibibyte_is_inspected_in_256_mebibytes(kind: str) -> None:
    said, _, peak, packed = inspect(kind, GIBIBYTE)

    assert said.startswith("Metadata-Version: ")
    assert packed >= GIBIBYTE - MEBIBYTE
    assert peak < 256 * MEBIBYTE


@pytest.mark.parametrize("kind", ["wheel bomb", "sdist bomb"])
def test_an_archive_that_unpacks_to_a_gibibyte_is_refused_quickly(kind: str) -> None:
    said, calls, peak, packed = inspect(kind, GIBIBYTE)

    assert "unpacks to more than 64 MiB and 50 times its own size" in said
    assert packed < 2 * MEBIBYTE
    assert calls < 100_000  # unpacking a gibibyte takes a million or more
    assert peak < 256 * MEBIBYTE


def test_a_wheel_with_very_many_members_is_inspected_in_256_mebibytes() -> None:
    said, _, peak, _ = inspect("crowded wheel", 30_000)

    assert said.startswith("Metadata-Version: ")
    assert peak < 256 * MEBIBYTE


@pytest.mark.promise("bounded-memory")
def test_half_a_gigabyte_goes_through_the_server_and_back_in_128_mebibytes() -> None:
    size = 500_000_000

    said, received, peak = run("-m", "tests.support.streaming", str(size))

    assert said == "HTTP/1.1 200 OK"
    assert received == size
    assert peak < 128 * MEBIBYTE
