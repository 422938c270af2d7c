"""What the gateway needs to know about uploads, whose bodies are the only large ones."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from pytp_broker.endpoints.events import Event
from pytp_broker.local.objects import Objects

# Returns how large the body of an upload may be, from its event without the body; 0 for none.
Admit = Callable[[Event], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Uploads:
    """Whose uploads are read, and the folder on whose disk a large body waits.

    ``objects`` takes files at signed addresses. There is none where a bucket does that.
    """

    admit: Admit
    folder: Path | None = None
    objects: Objects | None = None
