"""Finish what `sam build` made: leave out what no function runs, and compile the rest.

Compiled files that carry a hash instead of a date halve the start of a function: Lambda unpacks
the archive with dates that no ordinary compiled file would be valid for, into a folder where none
can be written. Run it with the functions' own minor version of Python.
"""

import compileall
import shutil
import sys
from pathlib import Path
from py_compile import PycInvalidationMode

# The commands, the local server and the embedded store; pydantic and the like are not here anyway.
LEFT_OUT = ("cli", "local", "embedded", "config")


def finish(build: Path) -> None:
    """Finish every function's folder; exit with a message when there is none."""
    packages = sorted(build.glob("*/pytp_broker"))
    if not packages:
        sys.exit(f"{build} has no function; run `sam build` first")
    for package in packages:
        for name in LEFT_OUT:
            path = package / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        if not compileall.compile_dir(
            package.parent,
            quiet=1,
            force=True,
            workers=0,
            invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
        ):
            sys.exit(f"{package.parent} does not compile")


if __name__ == "__main__":
    finish(Path(sys.argv[1]))
