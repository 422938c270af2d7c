"""Read the rest of a body that was refused, so that the client reads why."""

import asyncio
from contextlib import suppress
from typing import Final

from pytp_broker.local.answers import Receive
from pytp_broker.local.kinds import UPLOAD_SECONDS

# How long a client may pause in the refused body of its last request; then we close the connection.
_PAUSE_SECONDS: Final = 2


async def discard_body(receive: Receive) -> None:
    """Read and drop the rest of a body while it keeps arriving, but not for too long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(UPLOAD_SECONDS):
            while await _is_more_to_come(receive):
                pass


async def _is_more_to_come(receive: Receive) -> bool:
    async with asyncio.timeout(_PAUSE_SECONDS):
        message = await receive()
    return bool(message.get("more_body"))
