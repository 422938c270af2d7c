"""Do something once an hour, in a thread that comes by every few seconds."""

from datetime import datetime, timedelta
from typing import Final

EVERY: Final = timedelta(hours=1)


class Hourly:
    """Remembers when something was done for the last time."""

    def __init__(self) -> None:
        self._done_at: datetime | None = None

    def is_due(self, now: datetime) -> bool:
        """Say whether it was not done within the last hour; a clock may be put back."""
        return self._done_at is None or not self._done_at <= now < self._done_at + EVERY

    def done(self, now: datetime) -> None:
        """Remember that it is done; without this call it is due again at once."""
        self._done_at = now
