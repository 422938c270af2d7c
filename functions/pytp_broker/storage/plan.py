"""What ``apply`` changes: the present and the wanted configuration compared."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Self

from pytp_broker.registries import Configuration
from pytp_broker.trust.providers.model import Role
from pytp_broker.trust.publishers import TrustedPublisher


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
