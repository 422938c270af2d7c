"""Check that a configuration's entries fit together, and turn them into the core's types."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from pytp_broker import registries
from pytp_broker.config.hosts import find_shadows
from pytp_broker.config.issuers import find_doubt, find_mistake
from pytp_broker.config.mistakes import ConfigurationError, Mistake
from pytp_broker.config.positions import KeyPath
from pytp_broker.config.sources import Sources
from pytp_broker.config.tables import (
    BrokerModel,
    IssuerModel,
    PublisherBase,
    RegistryModel,
    TrustedBase,
)
from pytp_broker.grants import Permission
from pytp_broker.names import LOOPBACK_HOSTS
from pytp_broker.nearest import closest
from pytp_broker.trust.built_in import BUILT_IN_ISSUERS
from pytp_broker.trust.providers import PROVIDERS
from pytp_broker.trust.providers.model import FieldValue, Provider, Role
from pytp_broker.trust.publishers import TrustedPublisher


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration as the files give it, in the core's own types.

    ``configuration`` does not have the issuers that are built in; ``with_built_in`` adds them.
    ``remarks`` name what is allowed but the operator should know. ``sources`` are the files.
    """

    configuration: registries.Configuration
    publishers: tuple[TrustedPublisher, ...]
    remarks: tuple[str, ...] = ()
    sources: Sources = field(default_factory=Sources, repr=False, compare=False)

    @property
    def has_own_names(self) -> bool:
        """Say whether a registry names a host or an audience, which may belong to another."""
        known = self.configuration.registries.values()
        return any(registry.hosts or registry.audience is not None for registry in known)

    def check_host(self, shared_host: str) -> None:
        """Check that no registry takes the host that all share, or its audience.

        Raises ConfigurationError.
        """
        registries_in_order = tuple(self.configuration.registries.values())
        mistakes = list(find_shadows(registries_in_order, shared_host))
        if mistakes:
            raise ConfigurationError(self.sources.write(mistakes))


class Resolver:
    """Resolves references between entries, and collects those that do not fit together."""

    def __init__(self, model: BrokerModel, sources: Sources) -> None:
        self._model = model
        self._sources = sources
        self._mistakes: list[Mistake] = []
        self._remarks: list[Mistake] = []
        self._ids: dict[tuple[str, str], tuple[FieldValue, KeyPath]] = {}

    def resolve(self) -> Loaded:
        """Return what the model says; raise ConfigurationError."""
        self._check_unique("issuers", "url")
        self._check_unique("registries", "name")
        self._check_unique("teams", "name")
        self._check_owners()
        self._check_hosts()
        self._remark_audiences()
        own = {issuer.url: issuer for issuer in self._issuers()}
        issuers = {**BUILT_IN_ISSUERS, **own}
        known = {registry.name: registry for registry in self._registries(issuers)}
        publishers = tuple(self._publishers(issuers, known))
        if not self._mistakes:  # each registry is known by its name
            self._mistakes += find_shadows(tuple(known.values()), None)
        if self._mistakes:
            raise ConfigurationError(self._sources.write(self._mistakes))
        configuration = registries.Configuration(
            own, known, enabled=self._model.enabled, timestamping=self._timestamping()
        )
        return Loaded(
            configuration, publishers, tuple(self._sources.write(self._remarks)), self._sources
        )

    def _timestamping(self) -> registries.Timestamping | None:
        model = self._model.timestamping
        return None if model is None else registries.Timestamping(model.url, model.ca_file or "")

    def _complain(self, path: KeyPath, text: str) -> None:
        self._mistakes.append(Mistake(path, text))

    def _remark(self, path: KeyPath, text: str) -> None:
        self._remarks.append(Mistake(path, text))

    def _check_unique(self, table: str, member: str) -> None:
        first: dict[str, KeyPath] = {}
        for i, entry in enumerate(getattr(self._model, table)):
            value, path = getattr(entry, member), (table, i, member)
            if value in first:
                place = self._sources.place(first[value])
                self._complain(path, f"`{value}` was given before, at {place}")
            first.setdefault(value, path)

    def _check_owners(self) -> None:
        teams, owners = [team.name for team in self._model.teams], set[str]()
        for i, registry in enumerate(self._model.registries):
            if registry.owner is not None and registry.owner not in teams:
                meant = closest(registry.owner, teams)
                advice = f"did you mean `{meant}`?" if meant else "add it as a `[[teams]]` table"
                text = f"no team is called `{registry.owner}`; {advice}"
                self._complain(("registries", i, "owner"), text)
            owners.add(registry.owner or "")
        for i, name in enumerate(teams):
            if name not in owners:
                self._remark(("teams", i), f"the team `{name}` owns no registry")

    def _check_hosts(self) -> None:
        owners: dict[str, int] = {}
        for i, registry in enumerate(self._model.registries):
            for j, host in enumerate(registry.hosts):
                owner = self._model.registries[owners.setdefault(host, i)]
                if owner is not registry:
                    text = f"`{host}` is a host of registry `{owner.name}` already"
                    self._complain(("registries", i, "hosts", j), text)

    def _remark_audiences(self) -> None:
        owners: dict[str, str] = {}
        for i, registry in enumerate(self._model.registries):
            audience = registry.audience
            if audience is not None and owners.setdefault(audience, registry.name) != registry.name:
                text = (
                    f"`{audience}` is the audience of registry `{owners[audience]}` too: an "
                    "identity token for one is accepted at the other"
                )
                self._remark(("registries", i, "audience"), text)
        if not self._model.registries:
            self._remark(("registries",), "there is no registry in this configuration")

    def _issuers(self) -> Iterator[registries.Issuer]:
        for i, model in enumerate(self._model.issuers):
            built_in = BUILT_IN_ISSUERS.get(model.url)
            if built_in is not None and built_in.provider != model.provider:
                owner = built_in.provider
                text = f'`{model.url}` is `{owner}`\'s: write `provider = "{owner}"`'
                self._complain(("issuers", i, "provider"), text)
            else:
                self._check_form(("issuers", i, "url"), model)
            if built_in is not None and model.private:
                self._complain(("issuers", i, "private"), f"`{model.url}` is a public issuer")
            yield self._issuer(model)

    def _check_form(self, path: KeyPath, model: IssuerModel) -> None:
        provider, host = PROVIDERS[model.provider], urlsplit(model.url).hostname
        if host in LOOPBACK_HOSTS:  # a stand-in for a provider may sign any URL
            return
        mistake, doubt = find_mistake(model.url, provider), find_doubt(model.url, provider)
        if mistake is not None:
            self._complain(path, mistake)
        elif doubt is not None:
            self._remark(path, doubt)

    def _issuer(self, model: IssuerModel) -> registries.Issuer:
        provider = PROVIDERS[model.provider]
        is_public = model.url == provider.issuer
        hosts = tuple(model.jwks_hosts) or (provider.jwks_hosts if is_public else ())
        algorithms = tuple(model.algorithms or provider.algorithms)
        access = registries.Access(model.private, model.ca_file or "", model.proxy)
        return registries.Issuer(
            model.url, model.provider, algorithms, hosts, model.enabled, access
        )

    def _registries(self, issuers: dict[str, registries.Issuer]) -> Iterator[registries.Registry]:
        for i, model in enumerate(self._model.registries):
            for j, url in enumerate(model.issuers or ()):
                if url not in issuers:
                    text = f"no issuer `{url}` is known; {_advise_issuer(url, issuers)}"
                    self._complain(("registries", i, "issuers", j), text)
            yield registries.Registry(
                name=model.name,
                issuers=None if model.issuers is None else tuple(model.issuers),
                audience=model.audience,
                hosts=tuple(model.hosts),
                token_lifetime_seconds=model.token_lifetime,
                read_token_lifetime_seconds=model.read_token_lifetime,
                shared_host_exchange=model.shared_host_exchange,
                enabled=model.enabled,
                introspection_clients=self._introspection_clients(i, model),
                refusals_per_minute=model.refusals_per_minute,
                release_open_days=model.release_open_days,
                access=model.access,
                max_file_size=model.max_file_size,
                require_attestations=model.require_attestations,
                owner=model.owner or "",
            )

    def _introspection_clients(self, index: int, model: RegistryModel) -> dict[str, str]:
        clients: dict[str, str] = {}
        for j, client in enumerate(model.introspection_clients):
            if client.id in clients:
                path = ("registries", index, "introspection_clients", j, "id")
                self._complain(path, f"`{client.id}` was given before")
            clients[client.id] = client.secret_sha256
        return clients

    def _publishers(
        self, issuers: dict[str, registries.Issuer], known: dict[str, registries.Registry]
    ) -> Iterator[TrustedPublisher]:
        for i, registry in enumerate(self._model.registries):
            if registry.readers and known[registry.name].is_public:
                text = "everybody may install from a public registry, so its readers give no right"
                self._remark(("registries", i, "readers"), text)
            for path, model in _list_trusted(i, registry):
                url = self._issuer_of(model, path, issuers, known[registry.name])
                if url is not None:
                    publisher = _publisher(model, registry.name, url)
                    self._check_ids(publisher, (*path, publisher.provider.name))
                    yield publisher

    def _check_ids(self, publisher: TrustedPublisher, path: KeyPath) -> None:
        # A repository has one owner id. If a file has two, one is a mistake.
        pins = publisher.provider.fields_of(Role.PIN)
        if pins and not any(pin.name in publisher.fields for pin in pins):
            names = ", ".join(f"`{pin.name}`" for pin in pins)
            self._remark(path, f"{names} will be pinned on first use")
        for pin in pins:
            value = publisher.fields.get(pin.name)
            if value is None:
                continue
            where = (*path, pin.name)
            key = (publisher.identity_key, pin.name)
            first, first_path = self._ids.setdefault(key, (value, where))
            if value != first:
                place = self._sources.place(first_path)
                self._complain(where, f"`{value}` contradicts the `{first}` at {place}")

    def _issuer_of(
        self,
        model: TrustedBase,
        path: KeyPath,
        issuers: dict[str, registries.Issuer],
        registry: registries.Registry,
    ) -> str | None:
        provider = model.provider
        here = [
            url
            for url, issuer in issuers.items()
            if registry.accepts(url) and issuer.provider == provider.name
        ]
        if model.issuer is None and len(here) == 1:
            return here[0]
        if model.issuer in here:
            return model.issuer
        self._complain((*path, "issuer"), _explain_issuer(model.issuer, here, provider))
        return None


def _explain_issuer(url: str | None, here: list[str], provider: Provider) -> str:
    if not here:
        return (
            f"no issuer of provider {provider.name} is known in this registry; add one as an "
            "`[[issuers]]` table, and to the registry's `issuers` if it has that list"
        )
    seen = "it has several" if url is None else f"`{url}` is not one"
    return (
        f"must name an issuer of this registry, and {seen} of provider {provider.name}; "
        f"{_choose(url, here)}"
    )


def _choose(url: str | None, known: list[str]) -> str:
    meant = closest(url, known) if url else None
    return f"did you mean `{meant}`?" if meant else f"expected one of: {', '.join(known)}"


def _advise_issuer(url: str, issuers: dict[str, registries.Issuer]) -> str:
    meant = closest(url, list(issuers))
    return f"did you mean `{meant}`?" if meant else "add it as an `[[issuers]]` table"


def _list_trusted(number: int, registry: RegistryModel) -> Iterator[tuple[KeyPath, TrustedBase]]:
    """Yield the publishers and the readers of a registry, each with its path."""
    for name in ("publishers", "readers"):
        for j, model in enumerate(getattr(registry, name)):
            yield ("registries", number, name, j), model


def _publisher(model: TrustedBase, registry: str, issuer_url: str) -> TrustedPublisher:
    projects = tuple(dict.fromkeys(model.projects)) if isinstance(model, PublisherBase) else ()
    return TrustedPublisher(
        publisher_id=secrets.token_hex(8),
        registry=registry,
        issuer=issuer_url,
        provider=model.entry,
        projects=projects,
        fields=model.fields,
        claims=model.all_claims,
        permission=Permission.UPLOAD if projects else Permission.READ,
    )
