"""A check as data: its name, what it needs, what it can find, and the function that looks."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from pytp_broker.doctor.findings import Finding, Flaw

if TYPE_CHECKING:
    from pytp_broker.doctor.visit import Visit

# How long a check may take; most need far less.
SECONDS: Final = 60.0
# With `--thorough`, the checks that read everything may take this long.
THOROUGH_SECONDS: Final = 900.0


class Need(StrEnum):
    """What a check looks at. A check whose subject is missing is not made."""

    WEB = "web"
    SETUP = "setup"
    STORE = "store"
    FOLDER = "folder"
    DATABASE = "database"
    CLOUD = "cloud"
    STACK = "stack"
    BUCKET = "bucket"
    CONFIG = "config"


@dataclass(frozen=True, slots=True)
class Entrance:
    """What must be open before any check is made, and what can be wrong with it."""

    name: str
    title: str
    flaws: tuple[Flaw, ...]


Look = Callable[["Visit"], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Check:
    """One check. ``title`` is the question that it answers, and ``flaws`` all that it can find."""

    name: str
    title: str
    needs: tuple[Need, ...]
    flaws: tuple[Flaw, ...]
    look: Look
    seconds: float = SECONDS
