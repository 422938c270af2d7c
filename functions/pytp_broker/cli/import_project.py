"""Import the files of one project."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pytp_broker.cli.import_delivery import Count, delivered
from pytp_broker.cli.import_marks import Marks
from pytp_broker.cli.import_provenance import ProvenanceWatch
from pytp_broker.cli.import_report import Outcome, Result
from pytp_broker.cli.operator import Operator
from pytp_broker.cli.sources.patience import patiently
from pytp_broker.cli.sources.source import Source, SourceError
from pytp_broker.errors import InvalidUpload
from pytp_broker.index.digests import SHA256
from pytp_broker.index.distributions import Distribution
from pytp_broker.index.importing import (
    Transfer,
    check_digests,
    check_name,
    check_not_deleted,
    check_present,
    commit,
    is_verified,
    store_delivery,
)
from pytp_broker.index.offers import Offer, OfferedProject
from pytp_broker.index.receipts import Notary
from pytp_broker.redaction import printable
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.withdrawals import Tombstone

_PARTLY_YANKED = (
    "yanked at the source, but not its whole release, and this index yanks whole releases: "
    "not yanked here"
)


@dataclass(frozen=True, slots=True)
class Desk:
    """What an import works with: who imports, from where and to where.

    ``count`` is told how many bytes arrive, and ``wait`` lets some seconds pass.
    """

    operator: Operator
    notary: Notary
    source: Source
    transfer: Transfer
    count: Count
    wait: Callable[[float], object]


@dataclass(frozen=True, slots=True)
class ProjectImport:
    """The import of a project; many threads may take its files at the same time.

    ``present`` has the files that were here before by name, and ``deleted`` those of them that an
    operator has deleted.
    """

    desk: Desk
    offered: OfferedProject
    present: Mapping[str, PublishedFile]
    deleted: Mapping[str, Tombstone]
    marks: Marks
    watch: ProvenanceWatch

    def take(self, offer: Offer) -> Outcome:
        """Import a file unless it is here; raise StoreUnavailable."""
        try:
            return self._take(offer)
        except InvalidUpload as problem:
            return self._outcome(offer, Result.REFUSED, problem.detail)
        except SourceError as error:
            why, is_down = str(error), error.may_pass
            return self._outcome(offer, Result.REFUSED, why, is_source_down=is_down)

    def _take(self, offer: Offer) -> Outcome:
        distribution = check_name(offer, self.offered.project)
        check_not_deleted(offer.filename, self.deleted.get(offer.filename))
        existing, sha256 = self.present.get(offer.filename), offer.digests.get(SHA256)
        if existing is not None and sha256 is not None:
            check_present(existing, None, sha256.lower())
            return self._outcome(offer, Result.PRESENT)
        return patiently(lambda: self._fetch(offer, distribution), self.desk.wait)

    def _fetch(self, offer: Offer, distribution: Distribution) -> Outcome:
        desk, existing = self.desk, self.present.get(offer.filename)
        with delivered(offer, desk.source, desk.count) as delivery:
            check_digests(offer, delivery.digests)
            if existing is not None:
                check_present(existing, None, delivery.digests[SHA256])
                return self._outcome(offer, Result.PRESENT)
            file = store_delivery(distribution, delivery, desk.transfer, desk.notary)
        self.marks.keep(distribution)
        self.watch.look(file)
        if not commit(file, desk.operator.store):
            return self._outcome(offer, Result.PRESENT)
        return self._outcome(offer, Result.IMPORTED, self._remark(offer, distribution), file.size)

    def _outcome(
        self, offer: Offer, result: Result, why: str = "", size: int = 0, **more: bool
    ) -> Outcome:
        return Outcome(self.offered.project, printable(offer.filename), result, why, size, **more)

    def _remark(self, offer: Offer, distribution: Distribution) -> str:
        if offer.yanked is not None and not self.marks.is_yanked(distribution):
            return _PARTLY_YANKED
        if self.desk.source.is_index and not is_verified(offer):
            given = " and ".join(sorted(offer.digests)) or "no digest at all"
            return f"not verified by a sha256, because the source gives {given}"
        return ""
