"""Log lines about clients that are refused before they have sent a request.

A client can connect a thousand times a second, and a line for each refusal would fill the disk. So
a source gets a line at its first refusal, and then one a minute with the number of refusals.
"""

import asyncio
from collections import Counter
from typing import Final

from pytp_broker.budgets import network_of
from pytp_broker.local.log import Log
from pytp_broker.local.measures import UNMEASURED, Measures

SECONDS: Final = 60
# Further sources are counted together, so that the log stays small.
MAX_SOURCES: Final = 500
_OTHERS: Final = "others"


class RefusalLog:
    """The local server's lines about refused connections: a bounded number a minute."""

    def __init__(self, log: Log, measures: Measures = UNMEASURED) -> None:
        self._log = log
        self._measures = measures
        self._unsaid: Counter[tuple[str, str]] = Counter()  # 0: written, nothing since

    def note(self, address: str, reason: str) -> None:
        """Write a line about a refusal, or count it for the next line."""
        self._measures.refused(reason)
        refusal = (network_of(address), reason)
        if refusal not in self._unsaid and len(self._unsaid) >= MAX_SOURCES:
            refusal = (_OTHERS, reason)
        if refusal in self._unsaid:
            self._unsaid[refusal] += 1
        else:
            self._say(refusal, 1)

    def _say(self, refusal: tuple[str, str], count: int) -> None:
        source, reason = refusal
        self._log.write("refused", source_ip=source, reason=reason, count=count)
        self._unsaid[refusal] = 0
        asyncio.get_running_loop().call_later(SECONDS, self._say_again, refusal)

    def _say_again(self, refusal: tuple[str, str]) -> None:
        count = self._unsaid.pop(refusal)
        if count:
            self._say(refusal, count)
