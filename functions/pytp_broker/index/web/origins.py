"""Who published a file: what its record says, and the rule by which a publisher was trusted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pytp_broker.index.listings import ListedFile
from pytp_broker.registries import Configuration
from pytp_broker.services import Services
from pytp_broker.storage.file_records import RECORDED, PublishedFile
from pytp_broker.trust.providers import provider_at
from pytp_broker.trust.providers.model import Provider
from pytp_broker.trust.publishers import TrustedPublisher, recorded_identity_key

# The files of nearly all releases come from one job. Each further identity costs a round trip.
MAX_IDENTITIES: Final = 3
MAX_PUBLISHERS: Final = 5

_ISSUER, _PUBLISHERS, _RUN, _TOKEN = "issuer", "publishers", "run", "token_hash"
_OPERATOR, _REASON = "operator", "reason"
# The other members are shown under their names.
_LABELS: Final[Mapping[str, str]] = {
    "ref": "Branch or tag",
    "sha": "Commit",
    "actor": "Started by",
    _REASON: "Because",
}
# Only an operator can use the ids of publishers: the page shows their rules. The heading has the
# provider.
_UNSHOWN: Final = frozenset({_PUBLISHERS, "provider"})


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that is known of a job, and the address of its page at the CI service."""

    label: str
    text: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Who published some files of a release: a job or an operator, and what of it was recorded.

    ``publishers`` are those that gave the right and are still trusted. It is None if the record
    does not tell enough to find them, or if the reader may be a stranger.
    """

    heading: str
    facts: tuple[Fact, ...]
    files: tuple[ListedFile, ...]
    publishers: tuple[TrustedPublisher, ...] | None


def find_origins(
    files: Sequence[ListedFile], configuration: Configuration, services: Services
) -> tuple[Origin, ...]:
    """Return who published these files of one project, each job once; files keep their order.

    In a private registry it takes a round trip for each identity, of which there is nearly always
    one. Everybody reads a public one, and no stranger learns what a publisher expects.
    """
    groups: dict[tuple[tuple[str, str], ...], list[ListedFile]] = {}
    for listed in files:
        recorded = dict(listed.file.published_by)
        recorded.pop(_TOKEN, None)  # one job may use several tokens
        groups.setdefault(tuple(sorted(recorded.items())), []).append(listed)
    finder = _PublisherFinder(files[0].file, configuration, services)
    return tuple(
        _origin(dict(key), tuple(group), configuration, finder) for key, group in groups.items()
    )


def _origin(
    recorded: Mapping[str, str],
    files: tuple[ListedFile, ...],
    configuration: Configuration,
    finder: "_PublisherFinder",
) -> Origin:
    provider = provider_at(recorded.get(_ISSUER, ""), configuration.issuers)
    # An operator's name, and an index or a folder inside the company, are not for strangers. An
    # operator wrote a reason for everybody.
    is_shown = _ISSUER in recorded or not finder.is_public
    shown = recorded if is_shown else {n: t for n, t in recorded.items() if n == _REASON}
    return Origin(
        heading=_heading(recorded, provider),
        facts=tuple(_facts(shown, provider)),
        files=files,
        publishers=finder.find(recorded, provider) if provider else None,
    )


def _heading(recorded: Mapping[str, str], provider: Provider | None) -> str:
    if provider is not None:
        return f"Published by a job of {provider.title}"
    if _ISSUER in recorded:
        return "Published by a job of an issuer that the registry does not know now"
    if _OPERATOR in recorded:
        return "Published by the operator of this registry, not by a trusted publisher"
    return "Put here by an operator"


def _facts(recorded: Mapping[str, str], provider: Provider | None) -> Iterable[Fact]:
    run_url = provider.find_run_url(recorded[_ISSUER], recorded) if provider else None
    others = sorted(recorded.keys() - _UNSHOWN - {*RECORDED})
    for name in (*(name for name in RECORDED if name in recorded), *others):
        label = _LABELS.get(name, name.replace("_", " ").capitalize())
        yield Fact(label, recorded[name], run_url if name == _RUN else None)


class _PublisherFinder:
    """Finds the publishers of a project by recorded identities, and asks for each identity once."""

    def __init__(
        self, file: PublishedFile, configuration: Configuration, services: Services
    ) -> None:
        self.is_public = configuration.registries[file.registry].is_public
        self._left = 0 if self.is_public else MAX_IDENTITIES
        self._place = (file.registry, file.project)
        self._store = services.store
        self._known: dict[str, tuple[TrustedPublisher, ...]] = {}

    def find(
        self, recorded: Mapping[str, str], provider: Provider
    ) -> tuple[TrustedPublisher, ...] | None:
        """Return the publishers of today that gave the right, or None if that is not known.

        A record of an older version does not name the publishers that gave it: then all count.
        """
        key = recorded_identity_key(recorded, provider)
        publishers = None if key is None else self._find_all(key)
        if publishers is None or _PUBLISHERS not in recorded:
            return publishers
        given = recorded[_PUBLISHERS].split(", ")
        return tuple(each for each in publishers if each.publisher_id in given)

    def _find_all(self, key: str) -> tuple[TrustedPublisher, ...] | None:
        """Return the publishers of the project with this identity, if we may still ask."""
        if key not in self._known:
            if not self._left:
                return None
            self._left -= 1
            registry, project = self._place
            found = self._store.list_publishers(key)
            here = (p for p in found if p.registry == registry and project in p.projects)
            self._known[key] = tuple(here)[:MAX_PUBLISHERS]
        return self._known[key]
