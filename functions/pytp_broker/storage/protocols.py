"""What the broker and the index ask of a store, in the words of the field.

Every method is one round trip unless it says otherwise, and raises StoreUnavailable when the store
does not answer. Two stores fulfil it today: SQLite (``sqlite``) and DynamoDB (``aws``); one
contract test suite holds them together.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Protocol, Self, TypeAlias

from pytp_broker.audit import AuditRecord
from pytp_broker.oidc.keysets import KeySetStore
from pytp_broker.registries import Configuration
from pytp_broker.tokens import TokenRecord, Trust
from pytp_broker.trust.providers import Role
from pytp_broker.trust.publishers import TrustedPublisher

# A registry and one project in it.
Place: TypeAlias = tuple[str, str]


class AlreadyExchangedError(Exception):
    """The identity token behind this record has been exchanged before."""


class AlreadyPublishedError(Exception):
    """The file name is taken in this registry."""


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """One visible file of the index; it never changes.

    ``project`` is the normalised name that ``filename`` begins with. ``published_by`` keeps who
    published: issuer and signed claims (repository, run, …). ``has_static_dependencies`` says that
    the dependencies in an sdist's PKG-INFO hold for every wheel built from it (PEP 643). Records of
    older versions lack it, and then nothing is known.
    """

    registry: str
    project: str
    version: str
    filename: str
    sha256: str
    size: int
    metadata_sha256: str
    requires_python: str | None
    uploaded_at: datetime
    published_by: Mapping[str, str]
    has_static_dependencies: bool = False

    @property
    def advertises_metadata(self) -> bool:
        """Say whether installers may rely on the metadata beside the file (PEP 658).

        They take the dependencies from there and never look inside: a wheel's are final, an
        sdist's only if they are static.
        """
        return self.filename.endswith(".whl") or self.has_static_dependencies

    def document(self) -> dict[str, Any]:
        """Return the file as JSON types."""
        return {
            "registry": self.registry,
            "project": self.project,
            "version": self.version,
            "filename": self.filename,
            "sha256": self.sha256,
            "size": self.size,
            "metadata_sha256": self.metadata_sha256,
            "requires_python": self.requires_python,
            "uploaded_at": self.uploaded_at.isoformat(),
            "published_by": dict(self.published_by),
            "has_static_dependencies": self.has_static_dependencies,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Return the file that ``document()`` described."""
        uploaded_at = datetime.fromisoformat(document["uploaded_at"])
        return cls(**{**document, "uploaded_at": uploaded_at})


@dataclass(frozen=True, slots=True)
class Release:
    """The record of a release, which decides what further files the release takes.

    All spellings of a version have the same ``key``. ``filename`` is the release's first file, and
    its spelling of the version is the first of ``spellings``. Further spellings come from files
    that were published before releases had records. ``claimed_at`` is when the record was last
    written for a file that was about to become visible.
    """

    registry: str
    project: str
    key: str
    spellings: tuple[str, ...]
    filename: str
    sdist: str | None
    opened_at: datetime
    claimed_at: datetime

    def document(self) -> dict[str, Any]:
        """Return the release as JSON types."""
        return {
            "registry": self.registry,
            "project": self.project,
            "key": self.key,
            "spellings": list(self.spellings),
            "filename": self.filename,
            "sdist": self.sdist,
            "opened_at": self.opened_at.isoformat(),
            "claimed_at": self.claimed_at.isoformat(),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Return the release that ``document()`` described."""
        times = {name: datetime.fromisoformat(document[name]) for name in _TIMES_OF_RELEASE}
        return cls(**{**document, **times, "spellings": tuple(document["spellings"])})


_TIMES_OF_RELEASE: Final = ("opened_at", "claimed_at")


class ConfigurationStore(Protocol):
    """What the operator writes and every function reads."""

    def load_configuration(self) -> Configuration:
        """Return the issuers, registries and the main switch."""

    def apply(
        self,
        configuration: Configuration,
        publishers: Sequence[TrustedPublisher],
        approve: "Approve | None" = None,
    ) -> "Changes":
        """Bring the store to this configuration; may be repeated, and resumed after a crash.

        ``approve`` is shown the changes before the first write; when it returns false, nothing is
        written. Not one round trip. Publishers that are there already (same registry and rules)
        keep their id and pins; rights are taken away before new ones are given.
        """


def carry_over(
    present: Iterable[TrustedPublisher], wanted: Iterable[TrustedPublisher]
) -> dict[str, TrustedPublisher]:
    """Return the wanted publishers by their rules, with ids and pins of those already present.

    Two publishers with the same rules become one, for the projects of both. A publisher with new
    rules takes over the pins of its identity in the registry, because adding an environment must
    not let a new holder in. A publisher that gets further projects begins a new generation, which
    live tokens do not cover.
    """
    known = {publisher.rules_hash: publisher for publisher in present}
    pins = _pins_by_identity(known.values())
    found: dict[str, TrustedPublisher] = {}
    for publisher in wanted:
        key = publisher.rules_hash
        twin = found.get(key)
        origin = known.get(key, twin or publisher)
        projects = (twin.projects if twin else ()) + publisher.projects
        found[key] = replace(
            publisher.with_projects(projects),
            publisher_id=origin.publisher_id,
            pins={**pins.get((publisher.registry, publisher.identity_key), {}), **origin.pins},
        )
    return {key: _with_generation(publisher, known.get(key)) for key, publisher in found.items()}


def _with_generation(
    publisher: TrustedPublisher, present: TrustedPublisher | None
) -> TrustedPublisher:
    if present is None:
        return publisher
    is_larger = not set(publisher.projects) <= set(present.projects)
    return replace(publisher, generation=present.generation + is_larger)


def _pins_by_identity(
    publishers: Iterable[TrustedPublisher],
) -> dict[tuple[str, str], dict[str, str]]:
    pins: dict[tuple[str, str], dict[str, str]] = {}
    for publisher in publishers:
        pins.setdefault((publisher.registry, publisher.identity_key), {}).update(publisher.pins)
    return pins


@dataclass(frozen=True, slots=True)
class Setup:
    """All that ``apply`` writes: the configuration, and the publishers by their rules."""

    configuration: Configuration
    publishers: Mapping[str, TrustedPublisher]

    def parts(self) -> dict[tuple[str, str], tuple[str, object]]:
        """Return every part under its own key, as its title and its content."""
        main = self.configuration
        found: dict[tuple[str, str], tuple[str, object]] = {
            ("", "main"): (f"trusted publishing: {'on' if main.enabled else 'off'}", main.enabled)
        }
        for issuer in main.issuers.values():
            found["issuer", issuer.url] = f"issuer {issuer.url}", issuer
        for registry in main.registries.values():
            found["registry", registry.name] = f"registry {registry.name}", registry
        for key, publisher in self.publishers.items():
            found["publisher", key] = _title(publisher), frozenset(publisher.projects)
        return found


def _title(publisher: TrustedPublisher) -> str:
    identifying = publisher.provider.fields_of(Role.IDENTITY)
    names = [str(publisher.fields[f.name]) for f in identifying]
    words = ["publisher", publisher.registry, publisher.provider.name, *names]
    return f"{' '.join(words)} -> {', '.join(publisher.projects)}"


@dataclass(frozen=True, slots=True)
class Changes:
    """What ``apply`` changes, as one line a change: ``-`` removed, ``~`` changed, ``+`` added.

    ``losses`` are those lines that remove a registry, or a publisher whose projects its identity
    may not publish any more. A publisher whose rules change is removed and added again, and that
    loses nothing.
    """

    lines: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()

    @classmethod
    def between(cls, before: Setup, after: Setup) -> Self:
        """Return the changes that lead from one to the other."""
        old, new = before.parts(), after.parts()
        removed = [f"- {title}" for key, (title, _) in old.items() if key not in new]
        changed = [
            f"~ {title}"
            for key, (title, content) in new.items()
            if key in old and old[key][1] != content
        ]
        added = [f"+ {title}" for key, (title, _) in new.items() if key not in old]
        lines = (*sorted(removed), *sorted(changed), *sorted(added))
        return cls(lines, tuple(sorted(_losses(before, after))))


Approve = Callable[[Changes], bool]


def _losses(before: Setup, after: Setup) -> Iterable[str]:
    registries = after.configuration.registries
    yield from (
        f"- registry {name}" for name in before.configuration.registries if name not in registries
    )
    rights = {right for kept in after.publishers.values() for right in _rights(kept)}
    for key, publisher in before.publishers.items():
        if key not in after.publishers and not rights.issuperset(_rights(publisher)):
            yield f"- {_title(publisher)}"


def _rights(publisher: TrustedPublisher) -> Iterable[tuple[str, str, str]]:
    identity = publisher.identity_key
    return ((publisher.registry, identity, project) for project in publisher.projects)


class TokenStore(KeySetStore, Protocol):
    """What the exchange and the token check need."""

    def list_publishers(self, identity_key: str) -> Sequence[TrustedPublisher]:
        """Return every publisher of all registries with this identity key, in one query."""

    def pin_publisher(
        self, publisher: TrustedPublisher, pins: Mapping[str, str]
    ) -> Mapping[str, str] | None:
        """Pin immutable ids on first use; return the pins now in force.

        The first of two racing writers wins, and both get the winner's pins. None when the
        publisher has been removed.
        """

    def add_token(self, record: TokenRecord) -> None:
        """Store the record and so mark its identity token used, in one conditional write.

        Raise AlreadyExchangedError when its lookup id is taken, unless by an earlier attempt of
        this very write (same token hash).
        """

    def find_token(
        self, lookup_id: str, registry: str, project: str
    ) -> tuple[TokenRecord, Trust] | None:
        """Return the record and the publishers that the project trusts now.

        One round trip for both. None when there is no such record; the caller checks expiry.
        """

    def list_trust(self, places: Sequence[Place]) -> Mapping[Place, Trust]:
        """Return the publishers that each of these projects trusts now.

        One round trip for every hundred; a project that trusts nobody may be left out.
        """

    def use_token(self, record: TokenRecord, file: str) -> bool:
        """Mark a live single-use token used for a file; say whether it may be.

        True for the first file and again for that same one, so that a lost answer can be asked for
        again; False for any other. Two at once: one wins.
        """

    def burn_token(
        self, lookup_id: str, token_hash: str, registry: str | None, now: datetime
    ) -> bool:
        """End a token early; say whether there was one to end.

        Only a record with this hash, and with ``registry`` in its scope unless that is None.
        """


def unexpired(records: Iterable[TokenRecord], now: datetime) -> list[TokenRecord]:
    """Return the records whose tokens have not expired, by time of issue."""
    live = (record for record in records if now < record.expires_at)
    return sorted(live, key=lambda record: (record.issued_at, record.lookup_id))


class FileRecordStore(Protocol):
    """What the index needs."""

    def find_file(self, registry: str, project: str, filename: str) -> PublishedFile | None:
        """Return the file of this name in a project."""

    def add_file(self, file: PublishedFile) -> None:
        """Make the file visible; raise AlreadyPublishedError when the name is taken."""

    def find_release(
        self, registry: str, project: str, key: str
    ) -> tuple[Release | None, datetime | None]:
        """Return the record of a release, and until when the operator has reopened it.

        Each is None when there is none. One round trip for both.
        """

    def save_release(self, release: Release, present: Release | None) -> bool:
        """Replace the present record, or None, by this one; say whether it is stored now.

        False when another one is there: of two writers at the same time one wins.
        """

    def list_files(self, registry: str, project: str) -> Sequence[PublishedFile]:
        """Return the files of a project, ordered by name."""

    def list_projects(self, registry: str) -> Sequence[str]:
        """Return the normalised names of all projects with a file, ordered."""


class OperatorStore(Protocol):
    """What only the operator's commands may call; no function of the deployment may."""

    def list_tokens(self, now: datetime) -> Sequence[TokenRecord]:
        """Return every token that has not expired, also burned and used ones, by time of issue.

        Not one round trip: it reads everything there is.
        """

    def add_operator_record(self, record: AuditRecord, at: datetime) -> None:
        """Keep an audit record of what an operator does; it is never removed."""

    def reopen_release(self, registry: str, project: str, key: str, until: datetime) -> None:
        """Let a release take files until then, whatever its record says."""

    def list_operator_records(self) -> Sequence[Mapping[str, Any]]:
        """Return those records in their order, each with its ``time``. Not one round trip."""


class Store(ConfigurationStore, TokenStore, FileRecordStore, OperatorStore, Protocol):
    """A complete store."""
