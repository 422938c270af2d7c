"""Changes: the steps of a plan as people review them, with who gains and who loses what.

A publisher whose rules change is removed and added again, because its rules are its identity. Here
that is one change, with the rules that differ.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from pytp_broker.audit.record import hash_prefix
from pytp_broker.registries import Issuer, Registry, Timestamping
from pytp_broker.storage.plan import Kind, Part, Plan, Step, Verb
from pytp_broker.trust.providers import PROVIDERS
from pytp_broker.trust.publishers import TrustedPublisher

# A member of a part that an operator has written: its name, and its value as JSON types.
Members: TypeAlias = dict[str, Any]

_ORDER: Final = (Verb.REMOVE, Verb.CHANGE, Verb.ADD)


@dataclass(frozen=True, slots=True)
class Difference:
    """A member that a change gives another value; None stands for no value."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a plan, for people who review it.

    ``owner`` is the team that owns the registry. ``needs_prune`` says that ``apply`` makes the
    change only with ``--prune``. ``forgets_pins`` says that nobody keeps the ids that were pinned,
    so a later holder of the name would be accepted.
    """

    step: Step
    owner: str
    needs_prune: bool
    forgets_pins: bool

    @property
    def registry(self) -> str:
        """Return the registry that the change is in; empty for what all registries share."""
        return _registry_of(self.step)

    @property
    def gains(self) -> tuple[str, ...]:
        """Return the projects that a publisher may publish from now on."""
        return _projects_beyond(self.step.after, self.step.before)

    @property
    def losses(self) -> tuple[str, ...]:
        """Return the projects that a publisher may not publish any more."""
        return _projects_beyond(self.step.before, self.step.after)

    @property
    def pins(self) -> Mapping[str, str]:
        """Return the pinned ids that the change hands on, or that it removes."""
        return {} if self.step.publisher is None else self.step.publisher.pins

    @property
    def differences(self) -> tuple[Difference, ...]:
        """Return the members that differ; what is added is compared with the defaults."""
        before, after = self.step.before, self.step.after
        if after is None:
            return ()
        old = members_of(_default(after) if before is None else before)
        new = members_of(after)
        names = dict.fromkeys([*new, *old])
        found = (Difference(name, old.get(name), new.get(name)) for name in names)
        return tuple(each for each in found if each.before != each.after)


def list_changes(plan: Plan) -> tuple[Change, ...]:
    """Return the changes of a plan: those of all registries, then those of each registry."""
    lost = {(step.kind, step.key) for step in plan.losses}
    kept = {(p.registry, p.identity_key) for p in plan.outcome.publishers.values()}
    changes = (_change(step, plan, lost, kept) for step in _joined(plan.steps))
    return tuple(sorted(changes, key=_place))


def _place(change: Change) -> tuple[str, bool, int, str]:
    is_inside = change.step.kind is not Kind.REGISTRY
    return change.registry, is_inside, _ORDER.index(change.step.verb), change.step.title


def _change(
    step: Step, plan: Plan, lost: set[tuple[Kind, str]], kept: set[tuple[str, str]]
) -> Change:
    publisher, before = step.publisher, step.before
    key = before.rules_hash if isinstance(before, TrustedPublisher) else step.key
    is_gone = (
        publisher is not None
        and bool(publisher.pins)
        and (publisher.registry, publisher.identity_key) not in kept
    )
    return Change(step, _owner(plan, _registry_of(step)), (step.kind, key) in lost, is_gone)


def _registry_of(step: Step) -> str:
    if step.publisher is not None:
        return step.publisher.registry
    return step.key if step.kind is Kind.REGISTRY else ""


def _owner(plan: Plan, name: str) -> str:
    known = {**plan.present.configuration.registries, **plan.outcome.configuration.registries}
    return known[name].owner if name in known else ""


def _joined(steps: Iterable[Step]) -> Iterator[Step]:
    """Yield the steps; the removal and the addition of one identity become one change."""
    by_identity: dict[tuple[str, str], list[Step]] = {}
    for step in steps:
        publisher = step.publisher
        if publisher is None or not publisher.identity or step.verb is Verb.CHANGE:
            yield step
        else:
            key = (publisher.registry, publisher.identity_key)
            by_identity.setdefault(key, []).append(step)
    for group in by_identity.values():
        yield from _pair(group)


def _pair(group: list[Step]) -> list[Step]:
    if [step.verb for step in group] != [Verb.REMOVE, Verb.ADD]:
        return group  # it is not clear which one takes the place of which
    old, new = group
    return [Step(Verb.CHANGE, new.kind, new.key, old.before, new.after)]


def _projects_beyond(one: Part | None, other: Part | None) -> tuple[str, ...]:
    mine = one.projects if isinstance(one, TrustedPublisher) else ()
    theirs = other.projects if isinstance(other, TrustedPublisher) else ()
    return tuple(sorted({*mine} - {*theirs}))


def members_of(part: Part | None) -> Members:
    """Return the members of a part as JSON types, without secrets and without projects."""
    match part:
        case TrustedPublisher():
            claims = {f"claims.{name}": rule for name, rule in sorted(part.claims.items())}
            return {"issuer": part.issuer, **part.ordered_fields(), **claims}
        case Registry():
            clients = part.introspection_clients.items()
            document = part.document()
            del document["name"], document["every_issuer"]
            issuers = None if part.issuers is None else list(part.issuers)
            shown = {name: hash_prefix(secret) for name, secret in clients}
            return {**document, "issuers": issuers, "introspection_clients": shown}
        case Issuer() | Timestamping():
            document = part.document()
            del document["url"]
            pem = document.pop("ca_pem")
            return {**document, "ca_certificates": pem.count("BEGIN CERTIFICATE"), **_digest(pem)}
        case _:
            return {} if part is None else {"enabled": part}


def _digest(pem: str) -> Members:
    return {"ca_sha256": hashlib.sha256(pem.encode()).hexdigest()} if pem else {}


def _default(part: Part) -> Part | None:
    """Return a part without any setting, to compare one with that is added."""
    match part:
        case Registry():
            return Registry(part.name, None)
        case Issuer():
            provider = PROVIDERS[part.provider]
            return Issuer(part.url, "", provider.algorithms)
        case Timestamping():
            return Timestamping(part.url)
        case _:
            return None
