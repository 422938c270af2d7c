"""Write a size as people read it, and read one as people write it."""

import re
from collections.abc import Mapping
from typing import Final

_UNITS: Final = ("kB", "MB", "GB")
_STEP: Final = 1000
_FACTORS: Final[Mapping[str, int]] = {
    "kB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}
SIZE: Final = rf"([1-9][0-9]{{0,11}}) ?({'|'.join(_FACTORS)})"


def write_size(octets: int) -> str:
    """Return a number of bytes in the unit that fits."""
    size, shown = float(octets), f"{octets} bytes"
    for unit in _UNITS:
        if size < _STEP:
            break
        size /= _STEP
        shown = f"{size:.1f} {unit}"
    return shown


def read_size(text: str) -> int | None:
    """Return the bytes in a text such as `1 GiB` or `500 MB`, or None if it is not a size."""
    match = re.fullmatch(SIZE, text)
    return int(match[1]) * _FACTORS[match[2]] if match else None
