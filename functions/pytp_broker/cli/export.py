"""Write the configuration that a broker holds as a file, which `apply` takes without a change."""

import argparse
import os
from pathlib import Path

from pytp_broker.cli import target
from pytp_broker.cli.command import CommandError, note


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write the file, and the certificates that it names beside it (default: print it)",
    )
    target.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the configuration, or write it to a file that is not there yet; raise CommandError."""
    from pytp_broker.config.export import export

    out: Path | None = arguments.out
    with target.opened(arguments, "export", is_for_writing=False) as operator:
        setup = operator.store.load_setup()
    exported = export(setup, "" if out is None else f"{out.stem}-")
    if out is None:
        if exported.certificates:
            raise CommandError(
                "the configuration needs files with certificates: name a file with --out, and they "
                "are written beside it"
            )
        print(exported.text, end="")
        return 0
    for name, text in {**exported.certificates, out.name: exported.text}.items():
        _write(out.with_name(name), text)
    if not setup.configuration.registries:
        note("the broker has no registry")
    return 0


def _write(path: Path, text: str) -> None:
    """Write a file that its owner alone may read, because the names in it may be confidential."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise CommandError(f"{path} is there already; name another file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise CommandError(f"cannot write {path}: {reason}") from None
