"""Released clients in virtual environments of their own, with this package beside them.

They are kept in pytest's cache until their requirements change; the package is built anew for each
session.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from uv import find_uv_bin

ROOT: Final = Path(__file__).parents[2]
REQUIREMENTS: Final = ROOT / "requirements"
PINS: Final = REQUIREMENTS / "clients.txt"


@dataclass(frozen=True)
class Released:
    """Two environments: ``clients`` has twine, hatch, poetry and pdm; ``keyring`` only the program.

    uv and pip find the program ``keyring`` on PATH, as `uv tool install` puts it there.
    """

    clients: Path
    keyring: Path

    def tool(self, name: str) -> Path:
        return self.clients / "bin" / name


@pytest.fixture(scope="session")
def released(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Released:
    """Return the environments; skip where they cannot be had, or fail where all must run."""
    cache: pytest.Cache | None = getattr(request.config, "cache", None)
    place = cache.mkdir("released") if cache else tmp_path_factory.mktemp("released")
    try:
        with _locked(place):
            return _make(place, tmp_path_factory.mktemp("wheel"))
    except subprocess.CalledProcessError as error:
        reason = f"released clients cannot be installed: {error.stderr.strip()}"
        if os.environ.get("PYTP_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    """Let one process of the session at a time make the environments."""
    with (place / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(place: Path, built: Path) -> Released:
    """Make what is missing. A process that comes later finds all of it, and changes nothing."""
    named = hashlib.sha256(PINS.read_bytes()).hexdigest()[:12]
    made = Released(place / f"clients-{named}", place / f"keyring-{named}")
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built))
    (wheel,) = built.glob("*.whl")
    content = hashlib.sha256(wheel.read_bytes()).hexdigest()
    for environment, fill in ((made.clients, _fill_clients), (made.keyring, _fill_keyring)):
        mark = environment / "wheel"
        if not mark.exists() or mark.read_text() != content:
            python = ("--python", sys.executable)
            run_uv("venv", "--quiet", "--allow-existing", *python, str(environment))
            fill(environment, wheel)
            mark.write_text(content)
    return made


def _fill_clients(environment: Path, wheel: Path) -> None:
    _install(environment, "--require-hashes", "--requirement", str(PINS))
    _install(environment, "--no-deps", "--reinstall", str(wheel))


def _fill_keyring(environment: Path, wheel: Path) -> None:
    constraint = ("--constraint", str(REQUIREMENTS / "dev.txt"))
    own = ("--reinstall-package", "pytp-broker", f"{wheel}[keyring]")
    _install(environment, *constraint, *own)


def _install(environment: Path, *what: str) -> None:
    run_uv("pip", "install", "--quiet", "--python", str(environment), *what)


def run_uv(*arguments: str) -> None:
    """Run the uv of this environment; raise CalledProcessError if it fails."""
    _run(find_uv_bin(), *arguments)


def _run(*command: str) -> None:
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
