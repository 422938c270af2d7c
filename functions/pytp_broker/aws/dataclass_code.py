"""The methods of our dataclasses, compiled when the functions were built.

A dataclass writes the source of its methods and compiles it each time that its module is imported.
That takes half a millisecond for a class, and a function has a hundred and fifty of them. The build
keeps what the compiler made, under the hash of the source (`infra/dataclass_code.py`). The same
source gives the same code, so a class is the same with it and without it: source that the build did
not see, or all of it where there is no such file, is compiled as always.
"""

import dataclasses
import marshal
import os
import sys
from hashlib import sha256
from typing import Any, Final

# As in the name of a .pyc file: code for another version of Python is not found.
FILE: Final = f"{os.path.dirname(__file__)}/dataclass_code.{sys.implementation.cache_tag}"  # noqa: PTH120 - pathlib takes 8 ms to import


def key_of(source: str) -> bytes:
    """Return under which key the code of this source is kept."""
    return sha256(source.encode()).digest()


def use_kept_code(file: str = FILE) -> None:
    """Let dataclasses take their methods from the file, if it is there."""
    try:
        with open(file, "rb") as opened:  # noqa: PTH123 - as above
            kept: dict[bytes, bytes] = marshal.load(opened)  # noqa: S302 - a file of ours, as a .pyc is
    except FileNotFoundError:
        return

    def execute(source: str, module: dict[str, Any], names: dict[str, Any]) -> None:
        code = kept.get(key_of(source))
        exec(source if code is None else marshal.loads(code), module, names)  # noqa: S102, S302 - as dataclasses does

    # dataclasses calls the builtin by this name: its own module is where it looks first.
    dataclasses.exec = execute  # type: ignore[attr-defined]
