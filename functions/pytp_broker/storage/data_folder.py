"""The data folder of a broker on one machine: its database, and its files beside it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from pytp_broker.errors import StoreUnavailable
from pytp_broker.storage.file_folder import FolderFiles
from pytp_broker.storage.protocols import Storage
from pytp_broker.storage.sqlite import SqliteStore

DATABASE: Final = "broker.sqlite3"
FILES: Final = "files"
# A restore that is not complete has left this file; nobody may work on half of a broker.
RESTORING: Final = "restore.incomplete"


def has_database(folder: Path) -> bool:
    """Say whether a broker has worked on the folder."""
    return (folder / DATABASE).is_file()


@contextmanager
def open_data_folder(folder: Path) -> Iterator[Storage]:
    """Open the database and the files, and make them if they are missing.

    Raises StoreUnavailable, also for a folder that was not restored completely.
    """
    if (folder / RESTORING).exists():
        raise StoreUnavailable(
            f"{folder} was not restored completely: run `pytp-broker restore` again"
        )
    with closing(SqliteStore(folder / DATABASE)) as store:
        yield Storage(store, FolderFiles(folder / FILES))
