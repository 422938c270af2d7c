"""Remove the bytes of deleted files, some time after an operator has deleted them."""

from collections.abc import Sequence
from datetime import datetime

from pytp_broker.local.hourly import Hourly
from pytp_broker.storage.file_folder import FolderFiles
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.file_store import keys_of
from pytp_broker.storage.sqlite import SqliteStore
from pytp_broker.storage.withdrawals import GRACE


class DeletedFiles:
    """The deleted files of a data folder.

    Their tombstones say what is due, so it does not matter when the command ran, or whether the
    last removal was interrupted.
    """

    def __init__(self, store: SqliteStore, files: FolderFiles) -> None:
        self._store = store
        self._files = files
        # Nobody waits for it, and each time reads every deleted file.
        self._hourly = Hourly()

    def remove_bytes(self, now: datetime) -> Sequence[PublishedFile]:
        """Remove what is due, and return the files whose bytes were there; raise StoreUnavailable.

        If we have looked a moment ago, nothing is removed.
        """
        if not self._hourly.is_due(now):
            return []
        due = self._store.list_deleted_before(now - GRACE)
        removed = [file for file in due if self._remove(file)]
        self._hourly.done(now)
        return removed

    def _remove(self, file: PublishedFile) -> bool:
        content, metadata = keys_of(file)
        had_metadata = self._files.remove(metadata)
        return self._files.remove(content) or had_metadata
