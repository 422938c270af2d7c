"""Files without a name: nobody else sees them, and nothing of them is left when a process dies.

Linux has them, and gives such a file a name once it is whole. Elsewhere its bytes must be copied.
"""

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO


def open_unnamed(folder: Path | None) -> IO[bytes]:
    """Return a new file, by default where the system keeps temporary ones; raise OSError."""
    try:
        flags = os.O_TMPFILE | os.O_RDWR
        return os.fdopen(os.open(folder or tempfile.gettempdir(), flags, 0o600), "w+b")
    except (AttributeError, OSError):  # not Linux, or a file system that cannot
        return tempfile.TemporaryFile(dir=folder)


def write_back(file: IO[bytes]) -> None:
    """Wait until the disk has what was flushed to a file, so that giving it a name waits less.

    It promises nothing. A second open file of the same bytes is used, because the system reports a
    failed write to each open file once: ``give_name`` meets the error again.
    """
    with suppress(OSError, ValueError):  # a system without this folder; a file that is closed
        descriptor = os.open(f"/proc/self/fd/{file.fileno()}", os.O_RDONLY)
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)


def give_name(file: IO[bytes], size: int, path: Path) -> bool:
    """Cut a file to its size and give it a name, unless there is a file of that name.

    The bytes are durable then, and the name is not yet. Returns False if the file cannot be named
    there: it is on another disk, or the system cannot do it. Raises OSError if it is not durable.
    """
    file.truncate(size)
    file.flush()
    os.fsync(file.fileno())
    here = file.fileno()
    try:
        # `src_dir_fd` lets Python follow the link, and the path is absolute.
        os.link(f"/proc/self/fd/{here}", path, src_dir_fd=here, follow_symlinks=True)
    except FileExistsError:
        return True
    except (NotImplementedError, OSError):
        return False
    return True
