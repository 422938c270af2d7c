"""The listing of a project, which is written with each change of its files.

A writer leaves a mark, makes its change, replaces the listing by one that has the change, and takes
its mark off. While there is a mark, readers also read the rows of the files that it names, or of
all files, and rows are always right. So a writer that dies makes a page slower until the next
change, and never wrong.

A writer that replaces the listing also includes what others have changed, and takes their marks
off. So of many writers at once a few do the work of all.
"""

import secrets
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final

from pytp_broker.aws.dynamodb.file_rows import (
    deleted_key,
    file_key,
    read_document,
    read_status,
    status_key,
)
from pytp_broker.aws.dynamodb.listing_rows import ListingRows, listing_keys
from pytp_broker.aws.dynamodb.listing_state import (
    ANY_FILE,
    Announced,
    Content,
    ListingState,
    Mark,
    changing,
)
from pytp_broker.aws.dynamodb.reservations import Row, is_whole
from pytp_broker.aws.dynamodb.table import attributes
from pytp_broker.errors import StoreUnavailable
from pytp_broker.provenance.attester import AttestationState
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.project_files import Announcement, ProjectFiles
from pytp_broker.storage.project_status import ACTIVE, ProjectStatus
from pytp_broker.storage.protocols import AlreadyPublishedError, Place, ReservedError

# A writer whose change names its files loses at most twice: the second winner includes the change.
# Another one leaves its marks when it has lost so often.
_ATTEMPTS: Final = 8
# After this time the writer of a mark is dead: a function ends sooner, and AWS refuses a call that
# was signed five minutes ago.
ABANDONED_SECONDS: Final = 15 * 60
# A change of more files has one mark that names none of them, and the listing is made anew.
_MAX_NAMED: Final = 50
# BatchGetItem takes 100 keys, and we ask for the file and its tombstone.
_NAMES_OF_A_CALL: Final = 50


class Listings(ListingRows):
    """Published files whose projects have listings."""

    def find_files(self, registry: str, project: str) -> ProjectFiles | None:
        """Return what a project's page shows; None if the project never had a file."""
        place = (registry, project)
        keys = (*listing_keys(place), status_key(*place))
        rows = {row["sk"]: row for row in self._read_items([attributes(**key) for key in keys])}
        status, state = rows.pop("STATUS", None), ListingState.read(rows.values())
        content, found = self._make_content(place, state, state.marks), read_status(status)
        if content is None:
            return None
        is_settled = not state.marks and not content.is_new
        edition = _edition_of(content.stored_hash, found) if is_settled else None
        return ProjectFiles(content.files, content.yanked, found, edition)

    def find_edition(self, registry: str, project: str) -> str | None:
        """Return the edition that ``find_files`` would return now, from the row of the marks.

        That row says which content has every change, and whether there ever was a status.
        """
        key, _ = listing_keys((registry, project))
        row = self._find(**key)
        state = ListingState.read([] if row is None else [row])
        if not state.settled_hash:
            return None
        status = self.find_status(registry, project) if state.has_status else ACTIVE
        return _edition_of(state.settled_hash, status)

    def announce_file(self, registry: str, project: str, filename: str) -> Announced:
        """Mark the listing, list the project, and read the listing, all at the same time."""
        place = (registry, project)
        with self._side_by_side() as begin:
            marking = begin(partial(self._begin_file, place, filename))
            reading = begin(partial(self._read_listing, place))
            marks, found = marking.result(), reading.result()
        state = replace(found, marks=found.marks - marks)
        content = self._make_content(place, state, state.marks)
        return Announced(content.files if content else [], marks, state, content)

    def _begin_file(self, place: Place, filename: str) -> AbstractSet[Mark]:
        """List a project of which a file is about to become visible; return the file's mark."""
        with self._side_by_side() as begin:
            marking = begin(partial(self._mark, place, [filename]))
            listing = begin(partial(self._list_project, *place))
            marks = marking.result()
            listing.result()
        return marks

    def add_file(self, file: PublishedFile, announcement: Announcement | None = None) -> None:
        """Make the file visible; raise AlreadyPublishedError or ReservedError."""
        place, announced = (file.registry, file.project), announcement
        if not isinstance(announced, Announced):
            announced = Announced([], self._begin_file(place, file.filename))
        try:
            is_new = self._show_file(file)
        except (AlreadyPublishedError, ReservedError):
            self._update_listing(place, announced.marks)
            raise
        if not is_new or not self._extend(file, announced):
            self._include(place, [file.filename], announced.marks)

    def save_attestation_state(
        self, registry: str, project: str, filename: str, state: AttestationState
    ) -> None:
        """Keep what is known now of a file's attestations."""
        with self._announced((registry, project), [changing(filename)]):
            super().save_attestation_state(registry, project, filename, state)

    @contextmanager
    def _announced(self, place: Place, filenames: Sequence[str] = ()) -> Iterator[None]:
        """Change the files of a project in the ``with`` block, and then the listing.

        If the change fails and we do not know whether it was made, its marks stay.
        """
        marks = self._mark(place, filenames)
        yield
        self._include(place, filenames, marks)

    def _mark(self, place: Place, filenames: Sequence[str]) -> AbstractSet[Mark]:
        names = filenames if 0 < len(filenames) <= _MAX_NAMED else [ANY_FILE]
        began_at, writer = int(self._now()), secrets.token_hex(8)
        marks = {Mark(began_at, writer, name) for name in names}
        self._add_marks(place, marks)
        return marks

    def _is_abandoned(self, mark: Mark) -> bool:
        return self._now() - mark.began_at > ABANDONED_SECONDS

    def _extend(self, file: PublishedFile, announced: Announced) -> bool:
        """Add a visible file to the listing as it was read before; say whether it is done.

        It is not if anybody else changes the project at this time, or did and left a mark.
        """
        base, state = announced.base, announced.state
        if base is None or any(map(self._is_abandoned, announced.marks)):
            return False
        place = (file.registry, file.project)
        content = base.with_files({file.filename: file.document()})
        with suppress(StoreUnavailable):  # the change is made already; the marks stay
            stored_hash = self._replace_content(place, state, content)
            if stored_hash is None:
                return False
            self._remove_marks(place, announced.marks, state.revision + 1, stored_hash)
        return True

    def _include(self, place: Place, filenames: Sequence[str], marks: AbstractSet[Mark]) -> None:
        """Include a change that was made in the listing."""
        if any(map(self._is_abandoned, marks)):
            # Others may have taken the marks off.
            marks = self._mark(place, filenames)
        self._update_listing(place, marks)

    def _update_listing(self, place: Place, marks: AbstractSet[Mark]) -> None:
        """Bring the listing up to date, unless another writer does.

        The change is made already. So if this fails, the marks stay, and the caller need not know.
        """
        with suppress(StoreUnavailable):
            for _ in range(_ATTEMPTS):
                state = self._read_listing(place)
                if not marks & state.marks or self._renew(place, state, marks):
                    return

    def _renew(self, place: Place, state: ListingState, mine: AbstractSet[Mark]) -> bool:
        """Include every change that was made; say whether no other writer was faster."""
        over = mine | set(filter(self._is_abandoned, state.marks))
        content, revision = self._make_content(place, state, over), state.revision
        stored_hash = content.stored_hash if content else ""
        if content is not None and content.is_new:
            replaced = self._replace_content(place, state, content)
            if replaced is None:
                return False
            stored_hash, revision = replaced, revision + 1
        visible = content.documents if content else {}
        done = {mark for mark in state.marks if mark in over or mark.filename in visible}
        self._remove_marks(place, done, revision, stored_hash)
        return True

    def _make_content(
        self, place: Place, state: ListingState, over: AbstractSet[Mark]
    ) -> Content | None:
        """Return the stored content with every change that was made; None without a file.

        Marks that name files cost a look at these files. The others may stand for anything: if one
        of them is over, the content is made anew.
        """
        present = self._find_content(state)
        if present is None or any(mark.filename == ANY_FILE for mark in over):
            return self._list_content(place)
        marks = (m for m in state.marks if m.changes_listed or m.filename not in present.documents)
        names = {mark.row_name for mark in marks} - {ANY_FILE}
        documents = self._find_documents(place, sorted(names))
        return self._list_content(place) if documents is None else present.with_files(documents)

    def _list_content(self, place: Place) -> Content | None:
        """Return the content as the rows of the files have it; None without a file."""
        files, withdrawn = self.list_files(*place), self.list_withdrawn(*place)
        visible = (file for file in files if file.filename not in withdrawn.deleted)
        documents = {file.filename: file.document() for file in visible}
        return Content(documents, withdrawn.yanked) if files else None

    def _find_documents(
        self, place: Place, names: Sequence[str]
    ) -> dict[str, dict[str, Any]] | None:
        """Return the documents of those of these files that are visible, by name.

        None if some of them were published together with others that are missing.
        """
        rows = [row for part in _parts_of(names) for row in self._find_named(place, part)]
        kept: dict[str, list[Row]] = {"FILE": [], "DELETED": []}
        for row in rows:
            kept[row["sk"].partition("#")[0]].append(row)
        deleted = {_name_in(row) for row in kept["DELETED"]}
        visible = self._visible(kept["FILE"])
        if not is_whole(visible):
            return None
        found = {_name_in(row): row for row in visible}
        return {name: read_document(found[name]) for name in found.keys() - deleted}

    def _find_named(self, place: Place, names: Sequence[str]) -> list[Row]:
        keys = [key(*place, name) for name in names for key in (file_key, deleted_key)]
        return self._read_items([attributes(**key) for key in keys])


def _edition_of(stored_hash: str, status: ProjectStatus) -> str:
    return f"{stored_hash}#{status.status}#{status.reason}"


def _name_in(row: Row) -> str:
    """Return the name of the file that a row is about."""
    name: str = row["sk"].partition("#")[2]
    return name


def _parts_of(names: Sequence[str]) -> list[Sequence[str]]:
    return [names[i : i + _NAMES_OF_A_CALL] for i in range(0, len(names), _NAMES_OF_A_CALL)]
