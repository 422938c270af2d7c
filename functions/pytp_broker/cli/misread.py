"""Find words in a reason that would make clients take a refused upload for a success."""

from typing import Final

# With these, clients recognise that a file is published already: twine, PDM, maturin and Poetry.
_PHRASES: Final = (
    "already exist",
    "already been taken",
    "updating asset",
    "cannot be updated",
    "overwrite artifact",
    "was ever registered",
)


def find_misread(text: str) -> str | None:
    """Return the first such phrase in a text."""
    return next((phrase for phrase in _PHRASES if phrase in text.lower()), None)
