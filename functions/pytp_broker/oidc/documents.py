"""How an issuer's document is fetched: what a fetcher promises, and how a fetch fails."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from pytp_broker.registries import Access

# Keys as their source publishes them.
RawKeys = Sequence[Mapping[str, Any]]


class FetchError(Exception):
    """A document of the issuer cannot be fetched, or is malformed.

    ``cure`` tells the operator what to do about it, if we know that. Callers see neither text.
    """

    def __init__(self, detail: str, cure: str = "") -> None:
        super().__init__(detail)
        self.cure = cure

    @property
    def explanation(self) -> str:
        """Return what went wrong and what to do, for the operator's log."""
        return f"{self}: {self.cure}" if self.cure else str(self)


class Fetch(Protocol):
    """Get a small document over HTTPS within its own limits of time and size."""

    def __call__(self, url: str) -> bytes:
        """Return the body; raise FetchError."""


Reach = Callable[[Access], Fetch]
