"""What is inside a distribution, found out without unpacking it.

Nothing here trusts a size, a count or a name that the archive states. Every member is decompressed,
up to a limit, and only the one that holds the metadata is kept.
"""

import struct
import zlib
from typing import Final

from pytp_broker.errors import InvalidUpload
from pytp_broker.index.distributions import WHEEL, Distribution
from pytp_broker.index.tars import read_sdist
from pytp_broker.index.wheels import read_wheel

# What the standard library raises for archives that were made to break it.
_BROKEN: Final = (
    zlib.error,
    struct.error,
    ValueError,
    OSError,
    EOFError,
    RuntimeError,
    ArithmeticError,
    LookupError,
)


def read_metadata_file(distribution: Distribution, content: bytes) -> bytes:
    """Return the METADATA of a wheel or the PKG-INFO of an sdist, the archive being safe.

    Raises InvalidUpload.
    """
    read = read_wheel if distribution.filetype == WHEEL else read_sdist
    try:
        return read(distribution, content)
    except _BROKEN:
        raise InvalidUpload(f"`{distribution.filename}` is not a valid archive") from None
