"""Who published a file: what its record says, and the rule by which a publisher was trusted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pytp_broker.index.listings import ListedFile
from pytp_broker.registries import Configuration
from pytp_broker.services import Services
from pytp_broker.trust.providers import PROVIDERS
from pytp_broker.trust.providers.model import Provider
from pytp_broker.trust.publishers import TrustedPublisher, recorded_identity_key

# The files of nearly all releases come from one job. Each further identity costs a round trip.
MAX_IDENTITIES: Final = 3
MAX_PUBLISHERS: Final = 5

_ISSUER, _PUBLISHERS, _RUN, _TOKEN = "issuer", "publishers", "run", "token_hash"
# What a record may hold, in the order of the page.
_LABELS: Final[Mapping[str, str]] = {
    "repository": "Repository",
    "workflow": "Workflow",
    "environment": "Environment",
    "ref": "Branch or tag",
    "sha": "Commit",
    _RUN: "Run",
    "actor": "Started by",
    _ISSUER: "Issuer",
}
# Only an operator can use the ids of publishers: the page shows their rules.
_UNSHOWN: Final = frozenset({_PUBLISHERS})


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that is known of a job, and the address of its page at the CI service."""

    label: str
    text: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Who published some files of a release: a job, and what of it was recorded.

    ``publishers`` are those that gave the right and are still trusted. It is None if the record
    does not tell enough to find them.
    """

    service: str
    facts: tuple[Fact, ...]
    files: tuple[ListedFile, ...]
    publishers: tuple[TrustedPublisher, ...] | None


def find_origins(
    files: Sequence[ListedFile], configuration: Configuration, services: Services
) -> tuple[Origin, ...]:
    """Return who published these files of one project, each job once; files keep their order.

    One round trip for each identity, of which there is nearly always one.
    """
    groups: dict[tuple[tuple[str, str], ...], list[ListedFile]] = {}
    for listed in files:
        recorded = dict(listed.file.published_by)
        recorded.pop(_TOKEN, None)  # one job may use several tokens
        groups.setdefault(tuple(sorted(recorded.items())), []).append(listed)
    known: dict[str, tuple[TrustedPublisher, ...]] = {}
    return tuple(
        _origin(dict(key), tuple(group), configuration, services, known)
        for key, group in groups.items()
    )


def _origin(
    recorded: Mapping[str, str],
    files: tuple[ListedFile, ...],
    configuration: Configuration,
    services: Services,
    known: dict[str, tuple[TrustedPublisher, ...]],
) -> Origin:
    provider = _provider_of(recorded, configuration)
    return Origin(
        service=provider.title if provider else "",
        facts=tuple(_facts(recorded, provider)),
        files=files,
        publishers=_publishers(recorded, files, provider, services, known) if provider else None,
    )


def _provider_of(recorded: Mapping[str, str], configuration: Configuration) -> Provider | None:
    """Return the kind of CI that published; None if the issuer is not configured any more."""
    issuer = configuration.issuers.get(recorded.get(_ISSUER, ""))
    return PROVIDERS.get(issuer.provider) if issuer else None


def _facts(recorded: Mapping[str, str], provider: Provider | None) -> Iterable[Fact]:
    run_url = provider.find_run_url(recorded[_ISSUER], recorded) if provider else None
    others = sorted(recorded.keys() - _LABELS.keys() - _UNSHOWN)
    for name in (*(name for name in _LABELS if name in recorded), *others):
        label = _LABELS.get(name, name.replace("_", " ").capitalize())
        yield Fact(label, recorded[name], run_url if name == _RUN else None)


def _publishers(
    recorded: Mapping[str, str],
    files: Sequence[ListedFile],
    provider: Provider,
    services: Services,
    known: dict[str, tuple[TrustedPublisher, ...]],
) -> tuple[TrustedPublisher, ...] | None:
    """Return the publishers of today by which this identity may upload to the project.

    A record of an older version does not name the publishers that gave the right: then all count.
    """
    key = recorded_identity_key(recorded, provider)
    if key is None or (key not in known and len(known) == MAX_IDENTITIES):
        return None
    if key not in known:
        file = files[0].file
        found = services.store.list_publishers(key)
        here = (p for p in found if p.registry == file.registry and file.project in p.projects)
        known[key] = tuple(here)
    given = recorded.get(_PUBLISHERS, "").split(", ")
    still = (p for p in known[key] if _PUBLISHERS not in recorded or p.publisher_id in given)
    return tuple(still)[:MAX_PUBLISHERS]
