"""The one style sheet of all pages, and its address, which changes with its content."""

import hashlib
from functools import cache
from pathlib import Path

from pytp_broker.http import paths

_PATH = Path(__file__).with_name("style.css")


@cache
def style() -> bytes:
    """Return the style sheet."""
    return _PATH.read_bytes()


@cache
def style_name() -> str:
    """Return the name of the style sheet: another content has another name, so caches keep it."""
    return f"{hashlib.sha256(style()).hexdigest()[:16]}.css"


def style_url() -> str:
    """Return the path of the style sheet, which is the same for every registry of a host."""
    return paths.STYLE.url("", name=style_name())
