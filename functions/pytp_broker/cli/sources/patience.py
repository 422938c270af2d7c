"""Ask a source again when it may answer later."""

from collections.abc import Callable
from typing import Final, TypeVar

from pytp_broker.cli.sources.source import SourceError

# Seconds before the second and the third attempt.
PAUSES: Final = (1.0, 4.0)
# The longest `Retry-After` that we follow; after a longer one, the operator runs the command again.
MAX_PAUSE: Final = 60.0

T = TypeVar("T")


def patiently(ask: Callable[[], T], wait: Callable[[float], object]) -> T:
    """Return what a source answers, at the third attempt at the latest; raise SourceError."""
    for pause in PAUSES:
        try:
            return ask()
        except SourceError as error:
            if not error.may_pass or error.wait_seconds > MAX_PAUSE:
                raise
            wait(max(pause, error.wait_seconds))
    return ask()
