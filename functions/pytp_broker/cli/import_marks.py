"""Keep what a source says about a project and its releases: its status, and what is yanked."""

from collections.abc import Mapping
from threading import Lock

from pytp_broker.cli.operator import Operator
from pytp_broker.index.distributions import Distribution
from pytp_broker.index.offers import OfferedProject
from pytp_broker.index.releases import key_of
from pytp_broker.storage.project_status import ACTIVE


class Marks:
    """The status of a project at the source, and the reasons for its yanked releases.

    Each is written once, just before the first file becomes visible that it is about. So installers
    never see the file without it, also if the import is killed. What an operator has decided here
    stays as it is.
    """

    def __init__(
        self,
        offered: OfferedProject,
        registry: str,
        yanked_here: Mapping[str, str],
        operator: Operator,
    ) -> None:
        self._place, self._status = (registry, offered.project), offered.status
        self._yanked, self._yanked_here = offered.yanked_releases(), yanked_here
        self._operator = operator
        self._lock = Lock()
        self._kept: set[str] = set()

    def is_yanked(self, distribution: Distribution) -> bool:
        """Say whether the whole release of a file is yanked at the source."""
        return key_of(distribution.version) in self._yanked

    def keep(self, distribution: Distribution) -> None:
        """Write what is known about a file's project and release; raise StoreUnavailable."""
        with self._lock:
            if not self._kept:
                self._keep_status()
            key = key_of(distribution.version)
            if key in self._yanked.keys() - self._yanked_here.keys() - self._kept:
                self._operator.set_yank(
                    self._place, distribution.spelling, self._yanked[key], yanked=True
                )
            self._kept.add(key)

    def _keep_status(self) -> None:
        wanted = self._status
        if wanted != ACTIVE and self._operator.store.find_status(*self._place) == ACTIVE:
            self._operator.set_status(self._place, wanted, wanted.reason)
