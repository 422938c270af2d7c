"""A plan: the steps from what a store holds to what the operator wants.

A plan is made once, from both. The engines execute it, ``plan`` and ``apply`` show it, and the
operator's records keep its steps. A plan that was made from another state must not be executed, so
a store makes its plan from what it has just read, and ``fingerprints`` tells two states apart.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeAlias

from pytp_broker.audit.record import AuditRecord
from pytp_broker.registries import Configuration, Issuer, Registry, Timestamping
from pytp_broker.trust.built_in import BUILT_IN_ISSUERS
from pytp_broker.trust.publishers import TrustedPublisher

# The part that one step adds, changes or removes; the main switch is a bool.
Part: TypeAlias = bool | Timestamping | Issuer | Registry | TrustedPublisher


class Verb(StrEnum):
    """The verb of a step, in the order in which steps are printed."""

    REMOVE = "remove"
    CHANGE = "change"
    ADD = "add"


class Kind(StrEnum):
    """The kind of part that a step changes."""

    SWITCH = "switch"
    TIMESTAMPING = "timestamping"
    ISSUER = "issuer"
    REGISTRY = "registry"
    PUBLISHER = "publisher"
    READER = "reader"


SIGNS: Final = {Verb.REMOVE: "-", Verb.CHANGE: "~", Verb.ADD: "+"}
_ORDER: Final = tuple(Verb)


@dataclass(frozen=True, slots=True)
class Setup:
    """All that an operator writes: the configuration, with publishers and readers by their rules.

    The issuers that are built in are not part of it.
    """

    configuration: Configuration
    publishers: Mapping[str, TrustedPublisher]

    def parts(self) -> dict[tuple[Kind, str], Part]:
        """Return every part by its kind and its key."""
        main = self.configuration
        return {
            (Kind.SWITCH, "main"): main.enabled,
            **_timestamping_of(main),
            **{(Kind.ISSUER, url): issuer for url, issuer in main.issuers.items()},
            **{(Kind.REGISTRY, name): registry for name, registry in main.registries.items()},
            **{(_kind_of(p), rules): p for rules, p in self.publishers.items()},
        }


def _timestamping_of(main: Configuration) -> dict[tuple[Kind, str], Part]:
    authority = main.timestamping
    return {} if authority is None else {(Kind.TIMESTAMPING, authority.url): authority}


def _kind_of(publisher: TrustedPublisher) -> Kind:
    return Kind.READER if publisher.is_reader else Kind.PUBLISHER


@dataclass(frozen=True, slots=True)
class Step:
    """One change.

    ``key`` is the URL of an issuer or of the time-stamping authority, the name of a registry, or
    the hash of the rules of a publisher or a reader.
    ``before`` is None for what is added, and ``after`` for what is removed.
    """

    verb: Verb
    kind: Kind
    key: str
    before: Part | None
    after: Part | None

    @property
    def publisher(self) -> TrustedPublisher | None:
        """Return the publisher that the step is about; None for another part."""
        part = self.before if self.after is None else self.after
        return part if isinstance(part, TrustedPublisher) else None

    @property
    def line(self) -> str:
        """Return the step as operators read it."""
        return f"{SIGNS[self.verb]} {self.title}"

    @property
    def title(self) -> str:
        """Return what the step is about, as operators read it."""
        part = self.before if self.after is None else self.after
        if isinstance(part, TrustedPublisher):
            return _title_of(part)
        if self.kind is Kind.SWITCH:
            return f"trusted publishing: {'on' if part else 'off'}"
        return f"{self.kind} {self.key}{self._remark}"

    @property
    def _remark(self) -> str:
        if self.after is None and self.kind is Kind.ISSUER and self.key in BUILT_IN_ISSUERS:
            return " (stays known: it is built in)"
        if isinstance(self.after, Registry) and self.after.is_public:
            return " (public: everybody may read it)"
        return ""


def _title_of(publisher: TrustedPublisher) -> str:
    words = [_kind_of(publisher), publisher.registry, publisher.provider.name]
    projects = f" -> {', '.join(publisher.projects)}" if publisher.projects else ""
    return " ".join([*words, *publisher.identity.values()]) + projects


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps that bring a store from what is ``present`` to its ``outcome``."""

    steps: tuple[Step, ...]
    outcome: Setup
    present: Setup = field(compare=False, repr=False)

    @property
    def lines(self) -> tuple[str, ...]:
        """Return the steps as operators read them."""
        return tuple(step.line for step in self.steps)

    @property
    def losses(self) -> tuple[Step, ...]:
        """Return the steps after which a registry, or somebody's right to publish or read, is gone.

        A publisher whose rules change is removed and added again, and that loses nothing.
        """
        if not any(step.verb is Verb.REMOVE for step in self.steps):
            return ()
        kept = {right for p in self.outcome.publishers.values() for right in _rights(p)}
        return tuple(step for step in self.steps if _is_loss(step, kept))

    @property
    def changes_nothing(self) -> bool:
        """Say whether the store is as it should be; a plan without steps may hand pins on."""
        present = self.present.publishers
        return not self.steps and all(
            rules not in present or publisher.pins == present[rules].pins
            for rules, publisher in self.outcome.publishers.items()
        )


Approve = Callable[[Plan], bool]

# The records of a plan's steps, each with its time. They depend on nothing but the plan.
Describe: TypeAlias = Callable[[Plan], Iterable[tuple[AuditRecord, datetime]]]


def no_records(_plan: Plan) -> Iterable[tuple[AuditRecord, datetime]]:
    """Return no records, for those who keep none."""
    return ()


# A registry, an identity, and a project that the identity may publish there, or all that it reads.
_Right: TypeAlias = tuple[str, str, str]


def make_plan(
    present: Setup, configuration: Configuration, publishers: Iterable[TrustedPublisher]
) -> Plan:
    """Return the plan that leads from what is present to this configuration."""
    outcome = Setup(configuration, _carry_over(present.publishers, merge(publishers)))
    return Plan(tuple(_steps(present.parts(), outcome.parts())), outcome, present)


def _steps(
    before: Mapping[tuple[Kind, str], Part], after: Mapping[tuple[Kind, str], Part]
) -> Iterable[Step]:
    removed = (Step(Verb.REMOVE, *at, old, None) for at, old in before.items() if at not in after)
    changed = (
        Step(Verb.CHANGE, *at, before[at], new)
        for at, new in after.items()
        if at in before and not _is_same(before[at], new)
    )
    added = (Step(Verb.ADD, *at, None, new) for at, new in after.items() if at not in before)
    return sorted((*removed, *changed, *added), key=lambda s: (_ORDER.index(s.verb), s.line))


def _is_same(before: Part, after: Part) -> bool:
    if isinstance(before, TrustedPublisher) and isinstance(after, TrustedPublisher):
        # Pins are not the operator's: exchanges make them, and a plan only hands them on.
        return set(before.projects) == set(after.projects)
    return before == after


def _is_loss(step: Step, kept: set[_Right]) -> bool:
    if step.verb is not Verb.REMOVE:
        return False
    if isinstance(step.before, TrustedPublisher):
        return not kept.issuperset(_rights(step.before))
    return step.kind is Kind.REGISTRY


def _rights(publisher: TrustedPublisher) -> Iterable[_Right]:
    identity = publisher.identity_key
    # A reader has no projects, and its one right is to the registry as a whole.
    return ((publisher.registry, identity, project) for project in publisher.projects or ("",))


def _carry_over(
    present: Mapping[str, TrustedPublisher], wanted: Mapping[str, TrustedPublisher]
) -> dict[str, TrustedPublisher]:
    """Return the wanted publishers; those already present keep their id and their pins.

    A publisher with new rules takes over the pins of its identity in the registry, because adding
    an environment must not let a new holder in.
    """
    pins = _pins_by_identity(present.values())
    found: dict[str, TrustedPublisher] = {}
    for rules, publisher in wanted.items():
        origin = present.get(rules)
        mine = publisher if origin is None else _with_projects(origin, publisher.projects)
        found[rules] = _with_pins(mine, pins) if pins else mine
    return found


def _with_pins(
    publisher: TrustedPublisher, pins: Mapping[tuple[str, str], Mapping[str, str]]
) -> TrustedPublisher:
    of_identity = pins.get((publisher.registry, publisher.identity_key), {})
    return publisher.with_pins({**of_identity, **publisher.pins}) if of_identity else publisher


def merge(publishers: Iterable[TrustedPublisher]) -> dict[str, TrustedPublisher]:
    """Return publishers by their rules; those with the same rules become one, for all projects."""
    merged: dict[str, TrustedPublisher] = {}
    for publisher in publishers:
        rules = publisher.rules_hash
        twin = merged.get(rules)
        projects = publisher.projects if twin is None else (*twin.projects, *publisher.projects)
        merged[rules] = (twin or publisher).with_projects(projects)
    return merged


def _with_projects(present: TrustedPublisher, projects: tuple[str, ...]) -> TrustedPublisher:
    """Return a publisher for these projects.

    One that gets further projects begins a new generation, which live tokens do not cover.
    """
    if set(projects) == set(present.projects):
        return present
    is_larger = not set(projects) <= set(present.projects)
    return replace(present.with_projects(projects), generation=present.generation + is_larger)


def _pins_by_identity(
    publishers: Iterable[TrustedPublisher],
) -> dict[tuple[str, str], dict[str, str]]:
    pins: dict[tuple[str, str], dict[str, str]] = {}
    for publisher in publishers:
        if publisher.pins:  # to find the identity takes longer than all else
            identity = (publisher.registry, publisher.identity_key)
            pins.setdefault(identity, {}).update(publisher.pins)
    return pins
