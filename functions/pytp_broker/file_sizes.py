"""Write a size as people read it."""

from typing import Final

_UNITS: Final = ("kB", "MB", "GB")
_STEP: Final = 1000


def write_size(octets: int) -> str:
    """Return a number of bytes in the unit that fits."""
    size, shown = float(octets), f"{octets} bytes"
    for unit in _UNITS:
        if size < _STEP:
            break
        size /= _STEP
        shown = f"{size:.1f} {unit}"
    return shown
