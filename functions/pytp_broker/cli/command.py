"""What the commands share: how one fails, and how each reads the configuration."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from pytp_broker.display import legible

if TYPE_CHECKING:
    from pytp_broker.config import Loaded

FAILED: Final = 1
MISUSED: Final = 2


class CommandError(Exception):
    """A command cannot do what it was asked for; its lines say why and what to do."""

    def __init__(self, lines: Sequence[str] | str, status: int = FAILED) -> None:
        self.lines = [lines] if isinstance(lines, str) else list(lines)
        self.status = status
        super().__init__("\n".join(self.lines))


def load_configuration(path: Path, *, allow_loopback: bool) -> "Loaded":
    """Return what the configuration file says, and note on stderr what is better known.

    Raises CommandError with a line for each mistake.
    """
    from pytp_broker.config import ConfigurationError, load

    try:
        loaded = load(path, allow_loopback=allow_loopback)
    except ConfigurationError as error:
        raise CommandError(error.lines, MISUSED) from None
    say(*(f"note: {remark}" for remark in loaded.remarks), file=sys.stderr)
    return loaded


def say(*lines: str, file: TextIO | None = None) -> None:
    """Print lines that may quote arguments, a configuration or claims, fit to be shown."""
    for line in lines:
        print(legible(line, len(line)), file=file)
