"""Listen on the addresses that an operator names for ``serve``."""

import argparse
import os
import re
import socket
from contextlib import ExitStack

from pytp_broker.cli.command import CommandError
from pytp_broker.redaction import printable


def port(text: str) -> int:
    """Return the port that an option names, for argparse."""
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) >= 1 << 16:
        raise argparse.ArgumentTypeError(f"{printable(text)} is not between 0 and 65535")
    return int(text)


def listen_on(host: str, number: int, stack: ExitStack) -> socket.socket:
    """Return a socket bound to an address, which the stack closes; raise CommandError."""
    from pytp_broker.local.deployment import listen

    try:
        return stack.enter_context(listen(host, number))
    except OSError as error:
        place = f"{host}:{number}"
        raise CommandError(f"cannot listen on {place}: {words_of(error)}") from None


def words_of(error: OSError) -> str:
    """Return what went wrong, in the system's words."""
    # The `strerror` of a failed bind repeats the address, so we use the errno's text. A failed
    # look-up has no errno.
    errno = error.errno or 0
    return os.strerror(errno) if errno > 0 else error.strerror or str(error)
