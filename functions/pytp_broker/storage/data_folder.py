"""The data folder of a broker on one machine: its database, and its files beside it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from pytp_broker.storage.file_folder import FolderFiles
from pytp_broker.storage.protocols import Storage
from pytp_broker.storage.sqlite import SqliteStore

DATABASE: Final = "broker.sqlite3"
_FILES: Final = "files"


def has_database(folder: Path) -> bool:
    """Say whether a broker has worked on the folder."""
    return (folder / DATABASE).is_file()


@contextmanager
def open_data_folder(folder: Path) -> Iterator[Storage]:
    """Open the database and the files, and make them if they are missing.

    Raises StoreUnavailable.
    """
    with closing(SqliteStore(folder / DATABASE)) as store:
        yield Storage(store, FolderFiles(folder / _FILES))
