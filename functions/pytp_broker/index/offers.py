"""What a source of an import offers: files that another index has published, and their states."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from packaging.version import Version

from pytp_broker.errors import InvalidUpload
from pytp_broker.index.distributions import read_as
from pytp_broker.index.releases import key_of
from pytp_broker.names import NormalizedName
from pytp_broker.storage.project_status import ACTIVE, ProjectStatus


@dataclass(frozen=True, slots=True)
class Offer:
    """A file that a source offers, and what the source says about it.

    ``location`` is where the source keeps it, and is never shown. ``digests`` are in hex by the
    algorithm's name. ``yanked`` is why the file is yanked there, or None.
    """

    filename: str
    location: str
    digests: Mapping[str, str]
    size: int | None = None
    uploaded_at: datetime | None = None
    yanked: str | None = None


@dataclass(frozen=True, slots=True)
class OfferedProject:
    """A project as a source has it. ``left_out`` counts the files that are not distributions."""

    project: NormalizedName
    offers: tuple[Offer, ...]
    status: ProjectStatus = ACTIVE
    left_out: int = 0

    def yanked_releases(self) -> dict[str, str]:
        """Return why each release is yanked whose files are all yanked, by the release's key."""
        releases: dict[str, list[str | None]] = {}
        for offer in self.offers:
            if (version := self._version_of(offer)) is not None:
                releases.setdefault(key_of(version), []).append(offer.yanked)
        return {
            key: next(filter(None, reasons), "")
            for key, reasons in releases.items()
            if None not in reasons
        }

    def _version_of(self, offer: Offer) -> Version | None:
        try:
            distribution = read_as(offer.filename, self.project)
        except InvalidUpload:
            return None
        return None if distribution is None else distribution.version
