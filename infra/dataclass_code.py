"""Compile the methods of all dataclasses of a built package, for `aws/dataclass_code.py` in it.

The package may be built for another processor, so its libraries are not imported: in their place
stands something that has every name. The source of a dataclass's methods depends on the names of
its fields and not on their types, so it is the same. What cannot be imported like this is left
out, and compiled when a function starts.

Run it with the functions' own minor version of Python, without its libraries: `python -I -S`.
"""

import dataclasses
import importlib
import marshal
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock


class Alone(MetaPathFinder, Loader):
    """Finds the package in a folder, and a stand-in for every library."""

    def __init__(self, package: Path) -> None:
        self._folder = str(package.parent)

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the package or a stand-in, but nothing for what the package does not have."""
        if fullname == "pytp_broker":
            return PathFinder.find_spec(fullname, [self._folder])
        is_ours = fullname.startswith("pytp_broker.")
        return None if is_ours else ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return a module that has every name."""
        return StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Add nothing."""


class StandIn(ModuleType):
    """A module that has every name but those that Python itself looks for."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return MagicMock()


def keep(package: Path) -> None:
    """Write the code of the dataclasses of a package beside what uses it."""
    sys.meta_path.append(Alone(package))
    ours: Any = importlib.import_module("pytp_broker.aws.dataclass_code")
    kept: dict[bytes, bytes] = {}

    def execute(source: str, module: dict[str, Any], names: dict[str, Any]) -> None:
        code = compile(source, "<dataclass>", "exec")
        kept[ours.key_of(source)] = marshal.dumps(code)
        exec(code, module, names)  # noqa: S102 - as dataclasses does

    dataclasses.exec = execute  # type: ignore[attr-defined]
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        # An entry point needs the environment of its function.
        with suppress(Exception):
            importlib.import_module(".".join(parts))
    Path(ours.FILE).write_bytes(marshal.dumps(kept))


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
