"""The links of a project's page, made offers: what the formats HTML and JSON have in common."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import unquote, urljoin, urlsplit

from pytp_broker.cli.misread import find_misread
from pytp_broker.cli.sources.file_kinds import is_distribution
from pytp_broker.cli.sources.index_credentials import without_credentials
from pytp_broker.index.offers import Offer, OfferedProject
from pytp_broker.names import NormalizedName
from pytp_broker.redaction import legible
from pytp_broker.storage.project_status import ACTIVE, STATUSES, ProjectStatus

# Those of Python whose digests have one length. A digest by another algorithm tells us nothing.
_ALGORITHMS: Final = frozenset(
    name for name in hashlib.algorithms_guaranteed if not name.startswith("shake_")
)
MAX_REASON_CHARACTERS: Final = 200


class UnreadablePageError(Exception):
    """A page is not what its type says; the text says where."""


def name_in(url: str) -> str:
    """Return the file name that a URL ends in."""
    return unquote(url.partition("?")[0].rpartition("/")[2])


def location_of(url: str, base: str) -> str:
    """Return the whole URL of a file, without credentials; empty unless it is http or https."""
    try:
        whole = urljoin(base, url)
        is_known = urlsplit(whole).scheme in {"http", "https"}
        return without_credentials(whole) if is_known else ""
    except ValueError:
        return ""


def known_digests(digests: Mapping[str, object]) -> dict[str, str]:
    """Return those digests that we can compute ourselves."""
    return {
        name: digest
        for name, digest in digests.items()
        if name in _ALGORITHMS and isinstance(digest, str)
    }


def read_status(status: object, reason: object) -> ProjectStatus:
    """Return a project's status, with a reason that we may show; an unknown one is active."""
    if status not in STATUSES or status == ACTIVE.status:
        return ACTIVE
    return ProjectStatus(str(status), read_reason(reason))


def read_reason(reason: object) -> str:
    """Return a reason of one visible line; an empty one if clients would misread it."""
    text = reason if isinstance(reason, str) else ""
    line = legible(" ".join(text.split()), MAX_REASON_CHARACTERS - 1)
    return "" if find_misread(line) else line


def offered(
    project: NormalizedName, offers: Iterable[Offer], status: ProjectStatus
) -> OfferedProject:
    """Return the project without the links to what is no distribution."""
    every = tuple(offers)
    kept = tuple(offer for offer in every if is_distribution(offer.filename))
    return OfferedProject(project, kept, status, left_out=len(every) - len(kept))
