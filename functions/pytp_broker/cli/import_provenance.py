"""Watch over the provenance of a project while files are imported into it."""

from collections.abc import Iterable
from dataclasses import replace
from threading import Lock

from pytp_broker.cli.operator import Operator
from pytp_broker.index.provenance import list_changes
from pytp_broker.storage.file_records import PublishedFile


class ProvenanceWatch:
    """Keeps a record when an imported file loses the provenance that earlier releases have.

    ``present`` are the visible files of the project before the import. If no job published one of
    them, as is usual, there is nothing to lose.
    """

    def __init__(self, present: Iterable[PublishedFile], operator: Operator) -> None:
        self._present = [*present]
        self._operator = operator
        self._has_any = any("issuer" in file.published_by for file in self._present)
        # Only with these we know the source of a file that a job published.
        self._issuers = operator.store.load_configuration().issuers if self._has_any else {}
        self._lock = Lock()

    def look(self, file: PublishedFile) -> None:
        """Keep a record if the file, which becomes visible now, loses something.

        The record comes first, like that of everything that operators do. Raises StoreUnavailable.
        """
        if not self._has_any:
            return
        with self._lock:
            changes = list_changes(self._present, [file], self._issuers)
            self._present.append(file)
        for change in changes:
            self._operator.record(replace(change, by=self._operator.name).accepted())
