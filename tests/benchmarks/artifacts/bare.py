"""A function that does nothing: what the runtime itself costs."""

from typing import Any


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answer with the event."""
    return event
