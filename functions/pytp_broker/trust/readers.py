"""Readers: a provider's entry as those have it who only install.

A reader needs nothing but an identity: a publisher's, or a wider one, such as the owner of many
repositories. Which immutable ids belong to it depends on the identity, so an entry for readers has
a form for each one. A reader may read from every kind of job; only those that build a stranger's
fork are refused, where a claim says so.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from pytp_broker.trust.providers import PROVIDERS
from pytp_broker.trust.providers.model import Field, Provider, Role, WiderIdentity

_READER: Final = "reader"
_BLIND_SPOT: Final = (
    "Jobs of every kind may read. If the CI gives an identity token to a job that a stranger can "
    "cause, that job may read too."
)


class NoIdentityError(ValueError):
    """The fields of a reader do not identify it; the text says what would."""


@dataclass(frozen=True, slots=True)
class Readers:
    """A provider's entry for readers: with every field, and in its forms.

    Each form has one identity with its pins. The narrowest comes first.
    """

    entry: Provider
    forms: tuple[Provider, ...]

    @classmethod
    def of(cls, provider: Provider) -> "Readers":
        """Return the entry for the readers of a provider."""
        entry = _as_for_readers(provider)
        forms = tuple(_form(entry, identity) for identity in _identities(provider))
        return cls(replace(entry, fields=tuple(_each_once(forms))), forms)

    def form_for(self, names: Iterable[str]) -> Provider:
        """Return the form of a reader that has the fields of these names; raise NoIdentityError."""
        given = frozenset(names)
        form = next((form for form in self.forms if given.issuperset(_identifying(form))), None)
        if form is None:
            raise NoIdentityError(f"needs what identifies a reader: {self._choices()}")
        foreign = given.difference(f.name for f in form.fields)
        if foreign:
            beside = _all_of(_identifying(form))
            raise NoIdentityError(
                f"has {_all_of(sorted(foreign))} beside {beside}; "
                f"a reader is identified by {self._choices()}"
            )
        return form

    def _choices(self) -> str:
        return ", or ".join(_all_of(_identifying(form)) for form in self.forms)


def _as_for_readers(provider: Provider) -> Provider:
    # What the advice says is about publishing.
    return replace(
        provider,
        holder=_READER,
        blind_spot=_BLIND_SPOT,
        publishing_claims=(),
        fields=tuple(replace(f, required=False, advise=None) for f in provider.fields),
        jobs=tuple(replace(rule, advice="") for rule in provider.jobs if rule.marks_fork),
    )


def _identities(provider: Provider) -> tuple[WiderIdentity, ...]:
    own = WiderIdentity(
        provider.fields_of(Role.IDENTITY),
        provider.fields_of(Role.PIN),
        is_immutable=provider.has_immutable_identity,
    )
    return (own, *provider.wider)


def _form(entry: Provider, identity: WiderIdentity) -> Provider:
    """Return the form for readers of one identity; every field that is not part of any narrows."""
    own = (*identity.fields, *identity.pins)
    taken = {f.name for f in own} | {f.name for each in _identities(entry) for f in each.fields}
    further = (*entry.fields, *(f for each in entry.wider for f in each.pins))
    narrowing = {f.name: f for f in further if f.name not in taken}
    fields = (
        *(replace(f, role=Role.IDENTITY, required=False) for f in identity.fields),
        *(replace(f, role=Role.PIN, required=False) for f in identity.pins),
        *(replace(f, role=Role.RULE) for f in narrowing.values()),
    )
    return replace(entry, fields=fields, has_immutable_identity=identity.is_immutable)


def _each_once(forms: Iterable[Provider]) -> Iterator[Field]:
    """Yield the fields of all forms, each once: what identifies, then what is pinned, the rest."""
    fields = [f for form in forms for f in form.fields]
    names: set[str] = set()
    for role in Role:
        for f in fields:
            if f.role is role and f.name not in names:
                names.add(f.name)
                yield f


def _identifying(form: Provider) -> list[str]:
    return [f.name for f in form.fields_of(Role.IDENTITY)]


def _all_of(names: Iterable[str]) -> str:
    *others, last = (f"`{name}`" for name in names)
    return f"{', '.join(others)} and {last}" if others else last


READERS: Final[Mapping[str, Readers]] = {
    name: Readers.of(provider) for name, provider in PROVIDERS.items()
}
