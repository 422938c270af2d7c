"""Finish what `sam build` made: leave out what no function runs, and compile the rest.

The built template is left with the architecture that was built, and takes no other.

Compiled files that carry a hash instead of a date halve the start of a function: Lambda unpacks
the archive with dates that no ordinary compiled file would be valid for, into a folder where none
can be written. The methods of dataclasses are compiled as well. Run it with the functions' own
minor version of Python.
"""

import compileall
import re
import shutil
import subprocess
import sys
from pathlib import Path
from py_compile import PycInvalidationMode

# The commands, the client, the local server and its store. Their dependencies, such as pydantic,
# are not in the build. The linter's rules for each room go too.
LEFT_OUT = (
    *("cli", "client", "config", "demo", "doctor", "local"),
    *("storage/file_folder", "storage/sqlite"),
)

KEEPER = Path(__file__).with_name("dataclass_code.py")

# ELF's e_machine, and Lambda's name for it.
MACHINES = {0x3E: "x86_64", 0xB7: "arm64"}
# The parameter, as `sam build` writes it or as template.yaml has it.
PARAMETER = re.compile(
    r"(\n  Architecture:\n(?:    .*\n)*?    Default: )\w+"
    r"(\n    AllowedValues:)(?: \[.*\]|(?:\n +- \w+)+)(?=\n)"
)


def finish(build: Path) -> None:
    """Finish every function's folder; exit with a message when there is none."""
    packages = sorted(build.glob("*/pytp_broker"))
    if not packages:
        sys.exit(f"{build} has no function; run `sam build` first")
    for package in packages:
        for name in LEFT_OUT:
            shutil.rmtree(package / name, ignore_errors=True)
            (package / f"{name}.py").unlink(missing_ok=True)
        for rules in package.rglob("ruff.toml"):
            rules.unlink()
        # `sam build` copies the checkout, with the byte code of the Python that ran there.
        for cache in [*package.rglob("__pycache__")]:
            shutil.rmtree(cache)
        compile_all(package.parent)
    keep_dataclass_code(packages)
    for layer in build.glob("*/python"):
        leave_out(layer, packages[0].parent)
        compile_all(layer)
    architectures = {a for a in map(architecture_of, build.rglob("*.so*")) if a is not None}
    if architectures:
        pin(build / "template.yaml", architectures)


def leave_out(layer: Path, function: Path) -> None:
    """Remove from a layer what every function has itself; the two were locked together."""
    for entry in layer.iterdir():
        if (function / entry.name).is_dir():
            shutil.rmtree(entry)
        elif (function / entry.name).exists():
            entry.unlink()


def compile_all(folder: Path) -> None:
    """Compile a folder for any date; exit with a message when something does not compile."""
    if not compileall.compile_dir(
        folder,
        quiet=1,
        force=True,
        workers=0,
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    ):
        sys.exit(f"{folder} does not compile")


def keep_dataclass_code(packages: list[Path]) -> None:
    """Compile the methods of the dataclasses of the packages, which are copies of one."""
    first, *others = packages
    subprocess.run([sys.executable, "-I", "-S", KEEPER, first], check=True)  # noqa: S603 - all ours
    (kept,) = first.glob("aws/dataclass_code.cpython-*")
    for other in others:
        shutil.copy(kept, other / "aws")


def architecture_of(library: Path) -> str | None:
    """Return Lambda's name for the processor of a compiled library."""
    with library.open("rb") as file:
        head = file.read(20)
    return MACHINES.get(int.from_bytes(head[18:20], "little")) if head[:4] == b"\x7fELF" else None


def pin(template: Path, architectures: set[str]) -> None:
    """Allow only the built architecture in the built template.

    A function that is deployed for another architecture does not start, and `sam deploy` does not
    report that.
    """
    if len(architectures) > 1:
        names = " and ".join(sorted(architectures))
        sys.exit(f"{template.parent} holds libraries for {names}; run `make clean` and build again")
    (architecture,) = architectures
    text, count = PARAMETER.subn(
        rf"\g<1>{architecture}\g<2>\n    - {architecture}", template.read_text()
    )
    if count != 1:
        sys.exit(f"{template} has no parameter Architecture with a default and allowed values")
    template.write_text(text)
    print(f"built for {architecture}; it can be deployed for no other Architecture")  # noqa: T201


if __name__ == "__main__":
    finish(Path(sys.argv[1]))
