"""What every test relies on: profiles of hypothesis, an environment without surprises, stable ids.

Two collections must give the same ids; otherwise pytest-xdist refuses to run.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase

pytest_plugins = ["tests.support.emulator", "tests.support.figures", "tests.support.released"]

# Every run uses the same examples, even if it selects other tests. `make fuzz` uses new ones each
# time, and keeps those that fail.
COMMON: Final[dict[str, Any]] = {"deadline": None, "suppress_health_check": list(HealthCheck)}
settings.register_profile("pytp-short", max_examples=300, derandomize=True, database=None, **COMMON)
settings.register_profile(
    "pytp-long",
    max_examples=int(os.environ.get("EXAMPLES", "10000")),
    derandomize=False,
    database=DirectoryBasedExampleDatabase(".hypothesis/examples"),
    **COMMON,
)
settings.load_profile(os.environ.get("PYTP_FUZZ_PROFILE", "pytp-short"))

# Tests talk only to this machine. So they use no proxy, and a client of AWS without credentials
# must not ask the machine's own cloud for some. Processes that tests start inherit this
# environment.
for name in ("NO_PROXY", "no_proxy"):
    os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1", "localhost"]))
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"

MEMORY: Final = Path("/dev/shm")  # noqa: S108 - each test has a folder of its own in it

# An id longer than this cannot be read, and one with an upload token is another in each process.
MAX_ID_CHARACTERS: Final = 60
UPLOAD_TOKEN: Final = re.compile(r"pytp[_-]\w{40}")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a value after its argument if it makes no readable id; pytest numbers equal names."""
    is_bad_text = isinstance(val, str) and (
        len(val) > MAX_ID_CHARACTERS or UPLOAD_TOKEN.search(val) is not None
    )
    return argname if is_bad_text or isinstance(val, bytes) else None


@pytest.fixture
def quick_path(tmp_path: Path) -> Iterator[Path]:
    """Return a folder in memory, if there is one: a disk is slow, and no test cuts the power."""
    if not MEMORY.is_dir():
        yield tmp_path
        return
    with TemporaryDirectory(dir=MEMORY, prefix="pytp-") as folder:
        yield Path(folder)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the quick tests first, so that a slip shows soon, and the longest ones next."""
    order = ("unit", "e2e")
    items.sort(key=lambda item: [name not in item.path.parts for name in order])
