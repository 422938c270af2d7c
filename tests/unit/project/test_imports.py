"""What each function imports while it starts: a new import is seen in the list, and costs time.

The list is `imports.json` beside this file. A changed line is either a mistake or a decision; write
the list anew with `python -m tests.unit.project.test_imports`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.project.test_template import ENVIRONMENT, FUNCTIONS, RESOURCES, VERIFY

ROOT = Path(__file__).parents[3]
FILE = Path(__file__).with_name("imports.json")
STARTED = {name: RESOURCES[name]["Properties"]["Handler"] for name in [*FUNCTIONS, VERIFY]}

# Of the standard library, what costs more than most: some milliseconds each.
COSTLY = {"asyncio", "email", "http", "multiprocessing", "ssl", "subprocess", "tempfile", "xml"}
_LOOK = """
import json, sys
before = {*sys.modules}
__import__(sys.argv[1])
names = [name for name in sys.modules if name not in before]
print(json.dumps(names))
"""


def imports_of(handler: str) -> dict[str, Any]:
    """Return what a fresh process imports for a function."""
    module = handler.rpartition(".")[0]
    path = {"PYTHONPATH": str(ROOT / "functions"), "PATH": os.defpath}
    done = subprocess.run(
        [sys.executable, "-c", _LOOK, module],
        env={**ENVIRONMENT, **path, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"},
        capture_output=True,
        text=True,
        check=True,
    )
    names: list[str] = json.loads(done.stdout)
    first = {name.partition(".")[0] for name in names}
    libraries = {name for name in first if is_library(name)}
    ours = [name for name in names if name.startswith("pytp_broker")]
    return {
        "libraries": sorted(libraries - {"pytp_broker"}),
        "costly parts of the standard library": sorted(first & COSTLY),
        # Rounded up to ten, so that the list changes with a room, and not with each file.
        "modules of ours, about": -(-len(ours) // 10) * 10,
    }


def is_library(name: str) -> bool:
    """Say whether a name is that of a library, and not of a part of Python or of a library."""
    return name not in sys.stdlib_module_names and not name.startswith("_")


@pytest.mark.parametrize("function", STARTED)
def test_a_function_imports_what_is_listed(function: str) -> None:
    assert imports_of(STARTED[function]) == json.loads(FILE.read_text())[function]


if __name__ == "__main__":
    found = {function: imports_of(handler) for function, handler in STARTED.items()}
    FILE.write_text(json.dumps(found, indent=2) + "\n")
