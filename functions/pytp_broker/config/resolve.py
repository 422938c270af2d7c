"""What a configuration becomes: the core's own types, once its entries fit together."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytp_broker import providers, registries
from pytp_broker.config.tables import BrokerModel, IssuerModel, PublisherBase, RegistryModel
from pytp_broker.providers import PROVIDERS
from pytp_broker.publishers import TrustedPublisher


class ConfigurationError(Exception):
    """The configuration is refused; ``lines`` name each mistake with its dotted path."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a configuration file says, in the core's own types.

    ``remarks`` name what is allowed, but better known. ``sha256`` is the file's.
    """

    configuration: registries.Configuration
    publishers: tuple[TrustedPublisher, ...]
    remarks: tuple[str, ...] = ()
    sha256: str = ""


class Resolver:
    """Resolves what one entry says of another, and collects what does not fit together."""

    def __init__(self, model: BrokerModel) -> None:
        self._model = model
        self._lines: list[str] = []
        self._remarks: list[str] = []
        self._ids: dict[tuple[str, str], tuple[providers.FieldValue, str]] = {}

    def resolve(self) -> Loaded:
        """Return what the model says; raise ConfigurationError."""
        self._check_unique("issuers", "url")
        self._check_unique("registries", "name")
        self._check_hosts()
        self._remark_audiences()
        issuers = {issuer.url: issuer for issuer in self._issuers()}
        known = {registry.name: registry for registry in self._registries(issuers)}
        publishers = tuple(self._publishers(issuers, known))
        if self._lines:
            raise ConfigurationError(self._lines)
        configuration = registries.Configuration(issuers, known, enabled=self._model.enabled)
        return Loaded(configuration, publishers, tuple(self._remarks))

    def _remark_audiences(self) -> None:
        owners: dict[str, int] = {}
        for i, registry in enumerate(self._model.registries):
            hosts = map(registries.default_audience, registry.hosts[:1])
            audience = registry.audience or next(hosts, None)
            if audience is None:
                continue  # the deployment's own host and the registry's name: nobody else's
            first = owners.setdefault(audience, i)
            if first != i:
                self._remarks.append(
                    f"registries[{i}].audience: `{audience}` is registries[{first}]'s too:"
                    " an identity token for one is good at the other"
                )

    def _complain(self, path: str, message: str) -> None:
        self._lines.append(f"{path}: {message}")

    def _check_unique(self, table: str, member: str) -> None:
        first: dict[str, int] = {}
        for i, entry in enumerate(getattr(self._model, table)):
            value = getattr(entry, member)
            if value in first:
                self._complain(f"{table}[{i}].{member}", f"`{value}` is {table}[{first[value]}]'s")
            first.setdefault(value, i)

    def _check_hosts(self) -> None:
        owners: dict[str, int] = {}
        for i, registry in enumerate(self._model.registries):
            for j, host in enumerate(registry.hosts):
                if owners.setdefault(host, i) != i:
                    owner = f"registries[{owners[host]}]"
                    self._complain(f"registries[{i}].hosts[{j}]", f"`{host}` is {owner}'s")

    def _issuers(self) -> Iterator[registries.Issuer]:
        for provider in PROVIDERS.values():
            if provider.issuer is not None:
                yield registries.Issuer(
                    provider.issuer, provider.name, provider.algorithms, provider.jwks_hosts
                )
        for i, model in enumerate(self._model.issuers):
            owner = next((p for p in PROVIDERS.values() if p.issuer == model.url), None)
            if owner is not None and owner.name != model.provider:
                self._complain(f"issuers[{i}].provider", f"`{model.url}` is `{owner.name}`'s")
            if owner is not None and model.private:
                self._complain(f"issuers[{i}].private", f"`{model.url}` is a public issuer")
            yield self._issuer(model)

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
                    self._complain(f"registries[{i}].issuers[{j}]", f"no issuer `{url}` is known")
            yield registries.Registry(
                name=model.name,
                issuers=tuple(issuers if model.issuers is None else model.issuers),
                audience=model.audience,
                hosts=tuple(model.hosts),
                token_lifetime_seconds=model.token_lifetime,
                shared_host_exchange=model.shared_host_exchange,
                enabled=model.enabled,
                introspection_clients=self._introspection_clients(i, model),
                refusals_per_minute=model.refusals_per_minute,
            )

    def _introspection_clients(self, index: int, model: RegistryModel) -> dict[str, str]:
        clients: dict[str, str] = {}
        for j, client in enumerate(model.introspection_clients):
            if client.id in clients:
                path = f"registries[{index}].introspection_clients[{j}].id"
                self._complain(path, f"`{client.id}` is there already")
            clients[client.id] = client.secret_sha256
        return clients

    def _publishers(
        self, issuers: dict[str, registries.Issuer], known: dict[str, registries.Registry]
    ) -> Iterator[TrustedPublisher]:
        for i, registry in enumerate(self._model.registries):
            merged: dict[str, TrustedPublisher] = {}
            for j, model in enumerate(registry.publishers):
                path = f"registries[{i}].publishers[{j}]"
                url = self._issuer_of(model, path, issuers, known[registry.name])
                if url is not None:
                    publisher = _publisher(model, registry.name, url)
                    self._check_ids(publisher, f"{path}.{publisher.provider}")
                    _merge(merged, publisher)
            yield from merged.values()

    def _check_ids(self, publisher: TrustedPublisher, path: str) -> None:
        # A repository has one owner id, whoever else trusts it: of two one is a mistake.
        pins = PROVIDERS[publisher.provider].fields_of(providers.Role.PIN)
        if pins and not any(field.name in publisher.fields for field in pins):
            names = ", ".join(f"`{field.name}`" for field in pins)
            self._remarks.append(f"{path}: {names} will be pinned on first use")
        for field in pins:
            value = publisher.fields.get(field.name)
            if value is None:
                continue
            where = f"{path}.{field.name}"
            key = (publisher.identity_key, field.name)
            first, first_path = self._ids.setdefault(key, (value, where))
            if value != first:
                self._complain(where, f"`{value}` contradicts the `{first}` of {first_path}")

    def _issuer_of(
        self,
        model: PublisherBase,
        path: str,
        issuers: dict[str, registries.Issuer],
        registry: registries.Registry,
    ) -> str | None:
        name = model.provider.name
        here = [u for u in registry.issuers if u in issuers and issuers[u].provider == name]
        if model.issuer is None and len(here) == 1:
            return here[0]
        if model.issuer in here:
            return model.issuer
        choice = f"one of: {', '.join(here)}" if here else f"but none of provider {name} is known"
        self._complain(f"{path}.issuer", f"must name an issuer of this registry, {choice}")
        return None


def _publisher(model: PublisherBase, registry: str, issuer_url: str) -> TrustedPublisher:
    return TrustedPublisher(
        publisher_id=secrets.token_hex(8),
        registry=registry,
        issuer=issuer_url,
        provider=model.provider.name,
        projects=tuple(dict.fromkeys(model.projects)),
        fields=model.fields,
        claims=model.all_claims,
    )


def _merge(merged: dict[str, TrustedPublisher], publisher: TrustedPublisher) -> None:
    # The same rules twice are one publisher of both lists of projects.
    same = merged.get(publisher.rules_hash)
    if same is not None:
        publisher = same.with_projects((*same.projects, *publisher.projects))
    merged[publisher.rules_hash] = publisher
