"""Shared by all commands: the error of a failed command, and reading the configuration."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from pytp_broker.redaction import legible

if TYPE_CHECKING:
    from pytp_broker.config import Loaded

FAILED: Final = 1
MISUSED: Final = 2
# What a shell reports of a command that Ctrl-C has ended.
INTERRUPTED: Final = 130


class CommandError(Exception):
    """A command cannot do what it was asked for; its lines say why and what to do."""

    def __init__(self, lines: Sequence[str] | str, status: int = FAILED) -> None:
        self.lines = [lines] if isinstance(lines, str) else list(lines)
        self.status = status
        super().__init__("\n".join(self.lines))


def add_config_argument(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Declare the configuration; several files are one."""
    parser.add_argument(
        "--config",
        type=Path,
        action="append",
        required=required,
        metavar="FILE",
        help="a configuration file in TOML; repeat the option for further files",
    )


def load_configuration(paths: Sequence[Path], *, allow_loopback: bool) -> "Loaded":
    """Return what the configuration files say; print what the operator should know to stderr.

    Raises CommandError with a line for each mistake.
    """
    from pytp_broker.config import ConfigurationError, load

    try:
        loaded = load(*paths, allow_loopback=allow_loopback)
    except ConfigurationError as error:
        raise CommandError(error.lines, MISUSED) from None
    note(*loaded.remarks)
    return loaded


def check_host(loaded: "Loaded", host: str | None) -> None:
    """Check a configuration against the host that its registries share, or note that it cannot.

    Raises CommandError with a line for each mistake.
    """
    from pytp_broker.config import ConfigurationError

    if host is None:
        if loaded.has_own_names:
            note(
                "without --host, `hosts` and `audience` are not compared with the deployment's host"
            )
        return
    try:
        loaded.check_host(host)
    except ConfigurationError as error:
        raise CommandError(error.lines, MISUSED) from None


def note(*remarks: str) -> None:
    """Print remarks to stderr: what they name is allowed, but the operator should know it."""
    say(*(f"note: {remark}" for remark in remarks), file=sys.stderr)


def say(*lines: str, file: TextIO | None = None) -> None:
    """Print lines that may quote arguments, a configuration or claims, made safe for a terminal."""
    for line in lines:
        print(legible(line, len(line)), file=file)
