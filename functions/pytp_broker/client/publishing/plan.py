"""Compare the files with what is published already, before anything is sent."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from pytp_broker.client.publishing.checks import Release
from pytp_broker.client.publishing.destination import Destination
from pytp_broker.client.publishing.outcome import PublishError
from pytp_broker.client.uploads import pages
from pytp_broker.client.uploads.answers import origin_of
from pytp_broker.client.uploads.api import Clock, patiently, send_once
from pytp_broker.client.uploads.local_files import LocalFile
from pytp_broker.client.uploads.wire import Request, Send
from pytp_broker.redaction import Hidden

_NOBODY: Final = Hidden("")


@dataclass(frozen=True, slots=True)
class Planned:
    """A release, and which of its files are published already; the others are to be sent."""

    release: Release
    present: tuple[LocalFile, ...]
    missing: tuple[LocalFile, ...]


@dataclass(frozen=True, slots=True)
class Index:
    """The index that shows what is published; it gets our token only at the registry itself."""

    destination: Destination
    send: Send
    authorize: Callable[[], Hidden]
    clock: Clock

    def digests(self, project: str) -> Mapping[str, str]:
        """Return the sha256 of each published file, as far as the index tells; raise UploadError.

        An index that tells nothing is asked again by the upload itself.
        """
        if self.destination.index_url is None:
            return {}
        url = f"{self.destination.index_url}{project}/"
        is_ours = origin_of(url) == self.destination.origin
        # A cache on the way may have an older page.
        headers = {"Accept": pages.ACCEPT, "Accept-Encoding": "gzip", "Cache-Control": "no-cache"}
        token = self.authorize() if is_ours else _NOBODY
        request = Request("GET", url, headers, None, token, pages.MAX_BYTES)
        return pages.digests_in(patiently(lambda: send_once(self.send, request), self.clock.wait))


def make_plan(releases: Iterable[Release], index: Index) -> list[Planned]:
    """Return what is to be sent; raise PublishError if another file of a name is published.

    Raises UploadError if the index does not answer.
    """
    planned, problems = [], []
    for release in releases:
        published = index.digests(release.project)
        problems += [
            f"{file.filename} is published already with other contents, and a published file never "
            "changes: publish a new version"
            for file in release.files
            if published.get(file.filename, file.sha256) != file.sha256
        ]
        present = tuple(file for file in release.files if file.filename in published)
        missing = tuple(file for file in release.files if file.filename not in published)
        planned.append(Planned(release, present, missing))
    if problems:
        raise PublishError(problems)
    return planned
