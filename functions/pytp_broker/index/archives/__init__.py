"""Is the archive what it says? Check a wheel or an sdist, and return its metadata file.

Nothing here trusts a size, a count or a name that the archive states. Every member is decompressed
in memory, up to a limit; nothing is written to disk.
"""

import struct
from collections.abc import Callable
from typing import Final

from pytp_broker.content import Content
from pytp_broker.errors import InvalidUpload
from pytp_broker.index.archives.members import InflateError
from pytp_broker.index.archives.sdists import read_sdist
from pytp_broker.index.archives.wheels import read_wheel
from pytp_broker.index.archives.zip_sdists import read_zip_sdist
from pytp_broker.index.distributions import WHEEL, Distribution
from pytp_broker.names import ZIP_SUFFIX

# Errors that are raised for archives that were made to break it.
_BROKEN: Final = (
    InflateError,
    struct.error,
    ValueError,
    OSError,
    EOFError,
    RuntimeError,
    ArithmeticError,
    LookupError,
)


def read_metadata_file(distribution: Distribution, content: Content) -> bytes:
    """Check that the archive is safe; return a wheel's METADATA or an sdist's PKG-INFO.

    Raises InvalidUpload.
    """
    try:
        return _reader_of(distribution)(distribution, content)
    except _BROKEN:
        raise InvalidUpload(f"`{distribution.filename}` is not a valid archive") from None


def _reader_of(distribution: Distribution) -> Callable[[Distribution, Content], bytes]:
    if distribution.filetype == WHEEL:
        return read_wheel
    return read_zip_sdist if distribution.filename.endswith(ZIP_SUFFIX) else read_sdist
