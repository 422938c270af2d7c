"""A process of its own in which ``apply`` is killed before each statement of SQLite in turn.

``python -m tests.faults.killed_apply FOLDER`` prints, for each, what the file then holds.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from pytp_broker.cli.applying import apply
from pytp_broker.cli.operator import Operator
from pytp_broker.config import Loaded, parse
from pytp_broker.storage.sqlite import SqliteStore
from tests.faults.statements import StoreOnLine, make_line

KILLED: Final = 9
FILES: Final = ("broker.db", "broker.db-wal", "broker.db-shm")


def configuration(*projects: str) -> Loaded:
    """Return a registry with a publisher for each project."""
    github = {"repository": "octo-org/widgets", "repository_owner_id": "1", "workflow": "w.yml"}
    publishers = [
        {"projects": [name], "github": {**github, "repository": f"octo-org/{name}"}}
        for name in projects
    ]
    registry = {"name": "acme", "publishers": publishers}
    return parse({"registries": [registry]}, allow_loopback=False)


BEFORE: Final = configuration("widgets", "tools")
AFTER: Final = configuration("tools", "gadgets", "gizmos")


def main(folder: Path) -> None:
    """Print what each killed process has left, and what one left that was not killed."""
    start = folder / "start"
    start.mkdir()
    with closing(SqliteStore(start / FILES[0])) as store:
        store.apply(BEFORE.configuration, BEFORE.publishers)
    outcomes: list[dict[str, Any]] = []
    was_killed = True
    while was_killed:
        copy = folder / str(len(outcomes))
        shutil.copytree(start, copy)
        was_killed = _run(copy / FILES[0], len(outcomes))
        outcomes.append(_look(copy / FILES[0]))
    print(json.dumps(outcomes))


def _run(path: Path, number: int) -> bool:
    """Apply in a child process, and kill it before this statement; say whether it came so far."""
    child = os.fork()
    if not child:
        _apply(path, lambda: os._exit(KILLED), number)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == KILLED


def _apply(path: Path, die: Callable[[], object], number: int) -> None:
    line = make_line()
    store = StoreOnLine(path, line)
    line.meet_at(number, die)
    apply(Operator(store, "olive"), AFTER, prune=True)


def _look(path: Path) -> dict[str, Any]:
    with closing(SqliteStore(path)) as store:
        return {
            "projects": sorted(
                n for p in store.load_setup().publishers.values() for n in p.projects
            ),
            "changes": [r["change"] for r in store.list_operator_records() if "change" in r],
            "ends": [r["outcome"] for r in store.list_operator_records() if r["event"] == "apply"],
        }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
