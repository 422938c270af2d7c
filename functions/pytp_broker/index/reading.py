"""Read what is published: a project's files, and the bytes of each.

A registry that the operator has switched off can still be read: the switch ends publishing, not
installing.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress

from packaging.version import Version

from pytp_broker.content import Content, Lent, read_all
from pytp_broker.errors import InvalidUpload, NotFound, StoreUnavailable, Withheld
from pytp_broker.index.distributions import read_filename
from pytp_broker.index.listings import FileState, ListedFile, ProjectListing
from pytp_broker.index.releases import key_of
from pytp_broker.redaction import printable
from pytp_broker.services import Index
from pytp_broker.storage.file_records import Entry, PublishedFile
from pytp_broker.storage.file_store import keys_of, receipt_key


def find_listing(registry: str, project: str, index: Index) -> ProjectListing:
    """Return the listing of a project; raise NotFound if the project never had a file.

    The listing of a quarantined project has no files, and no listing has a deleted file.
    """
    found = index.store.find_files(registry, project)
    if found is None:
        raise NotFound(f"there is no project `{printable(project)}` in this registry")
    offered = found.files if found.status.offers_files else ()
    listed = tuple(_listed(file, found.yanked) for file in offered)
    return ProjectListing(project, listed, found.status, found.edition)


def _listed(file: PublishedFile, yanked: Mapping[str, str]) -> ListedFile:
    """Return a file with its state; ``yanked`` has the reasons by keys of releases."""
    # Nearly all projects have no yanked release; then we need not read versions.
    reason = yanked.get(key_of(Version(file.version))) if yanked else None
    return ListedFile(file, FileState(reason))


def find_file(registry: str, sha256: str, filename: str, index: Index) -> PublishedFile:
    """Return the published file of this name and hash; raise NotFound.

    Only visible files are found, though the file store may keep others. If an operator has
    withdrawn the file, the error says why.
    """
    entry = _find_entry(registry, filename, index)
    if entry is None or entry.file is None or entry.file.sha256 != sha256:
        raise NotFound("there is no such file in this registry")
    return _offered(entry.file, entry)


def find_file_of_release(
    registry: str, project: str, version: str, filename: str, index: Index
) -> PublishedFile:
    """Return the published file of this name in a release, however the version is spelled.

    Raises NotFound; if an operator has withdrawn the file, the error says why.
    """
    entry = _find_entry(registry, filename, index)
    file = None if entry is None else entry.file
    if entry is None or file is None or not _is_of_release(file, project, version):
        raise NotFound("there is no such file in this registry")
    return _offered(file, entry)


def _is_of_release(file: PublishedFile, project: str, version: str) -> bool:
    try:
        return file.project == project and Version(file.version) == Version(version)
    except ValueError:  # also for a number of thousands of digits
        return False


def _offered(file: PublishedFile, entry: Entry) -> PublishedFile:
    """Return the file of an entry; raise Withheld if an operator has withdrawn it."""
    if entry.tombstone is not None:
        raise Withheld(
            f"the registry's operator has deleted `{file.filename}`: {entry.tombstone.reason}"
        )
    if not entry.status.offers_files:
        raise Withheld(
            f"the registry's operator has quarantined the project `{file.project}`, so its "
            f"files cannot be downloaded: {entry.status.reason}"
        )
    return file


def _find_entry(registry: str, filename: str, index: Index) -> Entry | None:
    """Return what the index has under a name, which nearly always says one project."""
    with suppress(InvalidUpload):
        for reading in read_filename(filename):
            entry = index.store.find_entry(registry, reading.project, filename)
            if entry.file is not None:
                return entry
    return None


def find_download_url(file: PublishedFile, index: Index) -> str | None:
    """Return a URL that leads to the file's bytes for a short time; None if they are read here."""
    content, _ = keys_of(file)
    return index.files.download_url(content, file.filename)


def open_content(file: PublishedFile, index: Index) -> Lent:
    """Return the file's bytes, which the caller must close; raise StoreUnavailable."""
    content, _ = keys_of(file)
    with ExitStack() as stack:
        opened = stack.enter_context(_opened(content, index))
        return Lent(opened, stack.pop_all().close)


def read_metadata(file: PublishedFile, index: Index) -> bytes:
    """Return the file's METADATA or PKG-INFO; raise StoreUnavailable."""
    _, metadata = keys_of(file)
    with _opened(metadata, index) as content:
        return read_all(content)


def read_receipt(file: PublishedFile, index: Index) -> bytes:
    """Return the file's receipt; raise NotFound if it has none, or StoreUnavailable."""
    if file.receipt_sha256 is None:
        raise NotFound(
            f"`{file.filename}` has no receipt: it was published before this registry made them"
        )
    with _opened(receipt_key(file.registry, file.receipt_sha256, file.filename), index) as content:
        return read_all(content)


@contextmanager
def _opened(key: str, index: Index) -> Iterator[Content]:
    try:
        with index.files.open(key) as content:
            yield content
    except KeyError:
        raise StoreUnavailable("the content of this file is missing from the file store") from None
