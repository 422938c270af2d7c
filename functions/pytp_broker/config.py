"""The configuration file: its model, what it refuses, and what it becomes.

One TOML file describes issuers, registries and publishers. It is read by the commands and the
local server, never in a function of the deployment: those read what ``apply`` stored. Each mistake
is named with its dotted path, and unknown keys are mistakes.
"""

import re
import secrets
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Optional, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import (  # noqa: TID251 - the TOML model is pydantic's
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    create_model,
    model_validator,
)

from pytp_broker import providers, registries
from pytp_broker.keysets import ASYMMETRIC_ALGORITHMS
from pytp_broker.providers import PROVIDERS, Provider
from pytp_broker.publishers import TrustedPublisher
from pytp_broker.registries import CLIENT_ID

ALLOW_LOOPBACK: Final = "allow_loopback"
MIN_LIFETIME_SECONDS: Final = 900
MAX_LIFETIME_SECONDS: Final = 21_600

_MAX_PORT: Final = 65_535
# What an own host of a registry serves at its root; a prefix of that name would be ambiguous.
_RESERVED_NAMES: Final = frozenset({"simple", "legacy", "files"})
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_LABEL: Final = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
# The dot between labels is not optional, or a long name with a mistake in it takes for ever.
_HOST_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")
_CLAIMS: Final = "claims"
_OPEN_WILDCARD: Final = re.compile(r"[^/:@#]\*")
# Claims that are the name of a branch or a tag, by how they are called; `workflow_ref` and the like
# begin with a repository.
_REF_CLAIM: Final = re.compile(r"(?!.*workflow)(.*[._/>-])?(ref|branch|tag)([._-]?[nN]ame|_path)?")
# Every token of an issuer has these, or any job can bring them about.
_COMMON_CLAIMS: Final = {
    *(f.claim for p in PROVIDERS.values() for f in p.fields if f.is_glob),
    *("ref", "ref_path", "base_ref", "head_ref", "branch", "tag"),
    *("iss", "aud", "azp", "exp", "iat", "nbf", "typ", "jti"),
    *("ref_type", "ref_protected", "environment", "environment_protected", "event_name"),
    *("runner_environment", "pipeline_source", "build_source", "job_type", "step_key"),
}
_SWITCH_VALUES: Final = frozenset({"true", "false"})
_PROJECT_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,198}[A-Za-z0-9])?")


class ConfigurationError(Exception):
    """The configuration is refused; ``lines`` name each mistake with its dotted path."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a configuration file says, in the core's own types.

    ``remarks`` name what is allowed, but better known.
    """

    configuration: registries.Configuration
    publishers: tuple[TrustedPublisher, ...]
    remarks: tuple[str, ...] = ()


def load(path: Path, *, allow_loopback: bool) -> Loaded:
    """Return what the file says; raise ConfigurationError.

    ``allow_loopback`` lets issuers on this machine be plain http: for local use only.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError([f"{path}: {error.strerror}"]) from None
    except (ValueError, RecursionError) as error:  # also for numbers and nesting without end
        raise ConfigurationError([f"{path}: not TOML: {error}"]) from None
    return parse(document, allow_loopback=allow_loopback)


def parse(document: dict[str, Any], *, allow_loopback: bool) -> Loaded:
    """Return what a parsed document says; raise ConfigurationError."""
    try:
        model = BrokerModel.model_validate(document, context={ALLOW_LOOPBACK: allow_loopback})
    except ValidationError as error:
        raise ConfigurationError([_line(e["loc"], e["msg"]) for e in error.errors()]) from None
    return _Resolver(model).resolve()


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the configuration file, for editors."""
    return BrokerModel.model_json_schema()


def _line(location: Sequence[str | int], message: str) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return f"{path.removeprefix('.') or 'configuration'}: {message.removeprefix('Value error, ')}"


# --- values -------------------------------------------------------------------------------------


def _strip(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


def _blank_is_absent(value: object) -> object:
    return None if _strip(value) == "" else value


def _check_issuer_url(text: str, info: ValidationInfo) -> str:
    loopback = bool(info.context and info.context[ALLOW_LOOPBACK])
    if not text.isascii() or not text.isprintable() or any(c in text for c in " ?#@\\%"):
        raise ValueError("must be a plain URL: no query, fragment, user name or escapes")
    url = urlsplit(text)
    host = url.hostname or ""
    is_here = loopback and host in _LOOPBACK
    if url.scheme != "https" and not (is_here and url.scheme == "http"):
        raise ValueError("must be https (http only for an issuer on this machine, in `serve`)")
    if not is_here and not _is_public_name(host):
        raise ValueError("must name its host by a fully qualified name, not by an address")
    if text != f"{url.scheme}://{_plain_authority(url)}{url.path}":
        raise ValueError("must be written as the issuer signs it: all in lower case up to the path")
    *inner, last = url.path.split("/")[1:] or [""]
    if "" in inner or {".", ".."} & {*inner, last}:
        raise ValueError("must be written as the issuer signs it, with a plain path")
    return text


def _plain_authority(url: SplitResult) -> str:
    """Return host and port as they are written plainly; raise ValueError for what is no port."""
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    return f"{host}:{url.port}" if url.port else f"{host}"


def _is_public_name(host: str) -> bool:
    # 0x7f.1 and 2130706433 are addresses to a resolver: a last label that begins with a digit.
    last_label = host.rpartition(".")[2]
    return bool(_HOST_NAME.fullmatch(host)) and "." in host and not last_label[0].isdigit()


def _check_host(text: str) -> str:
    if not _HOST_NAME.fullmatch(text):
        raise ValueError("must be a host name in lower case, without scheme, port or path")
    return text


def _check_jwks_host(text: str, info: ValidationInfo) -> str:
    loopback = bool(info.context and info.context[ALLOW_LOOPBACK])
    host, colon, port = text.partition(":")
    if not _is_public_name(_check_host(host)) and not (loopback and host in _LOOPBACK):
        raise ValueError("must be a fully qualified name, not an address")
    if colon and not (re.fullmatch(r"[1-9][0-9]{0,4}", port) and int(port) <= _MAX_PORT):
        raise ValueError("must have a port from 1 to 65535 behind the colon")
    return text


def _check_audience(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z][!-~]{0,254}", text):
        raise ValueError(
            "must start with a letter and have no blanks: CI systems make a variable's name of it"
        )
    return text


def _check_registry_name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", text):
        raise ValueError("must match [a-z0-9][a-z0-9-]{0,62}: it is the URL prefix")
    if text in _RESERVED_NAMES:
        raise ValueError(f"`{text}` is reserved")
    return text


def _normalize_project(text: str) -> str:
    if not _PROJECT_NAME.fullmatch(text):
        raise ValueError("must be a project name: letters, digits, `.`, `_`, `-` (PEP 508)")
    return re.sub(r"[-_.]+", "-", text).lower()  # PEP 503


def _check_claim_name(text: str) -> str:
    if not re.fullmatch(r"[!-~]{1,255}", text):
        raise ValueError("must be the name of a claim")
    return text


def _check_claim_rule(text: str) -> str:
    if not re.fullmatch(r"[^\x00-\x1f\x7f]{1,255}", text):
        raise ValueError("must be 1 to 255 printable characters")
    if "**" in text or "?*" in text or not text.strip("*/:@#"):
        raise ValueError("must hold more than wildcards; `*` stands for one stretch of text")
    return text


def _check_wildcards(claims: dict[str, str]) -> dict[str, str]:
    # `my-org*` is meant to be one organisation and also lets `my-org-evil` in. The name of a
    # branch or a tag is its owner's, so that `refs/tags/v*` is what it looks like.
    for name, rule in claims.items():
        guarded = "" if _REF_CLAIM.fullmatch(name) else rule.partition("@refs/")[0]
        if _OPEN_WILDCARD.search(guarded):
            raise ValueError(f"`{name}`: a `*` must follow one of / : @ #, or begin the text")
    return claims


def _check_identifying(claims: dict[str, str]) -> dict[str, str]:
    if not any(_is_identifying(name, rule) for name, rule in claims.items()):
        raise ValueError("needs a claim without `*` that says whose job it is, such as `sub`")
    return claims


def _is_identifying(name: str, rule: str) -> bool:
    return "*" not in rule and rule.lower() not in _SWITCH_VALUES and name not in _COMMON_CLAIMS


def _one_of(choices: Iterable[str]) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in choices:
            raise ValueError(f"`{text}` is not one of: {', '.join(choices)}")
        return text

    return check


def _choices(choices: Iterable[str]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": list(choices)})


Text = Annotated[str, BeforeValidator(_strip)]
IssuerUrl = Annotated[Text, Field(max_length=255), AfterValidator(_check_issuer_url)]
HostName = Annotated[Text, AfterValidator(_check_host)]
JwksHost = Annotated[Text, AfterValidator(_check_jwks_host)]
Audience = Annotated[Text, AfterValidator(_check_audience)]
RegistryName = Annotated[Text, AfterValidator(_check_registry_name)]
ProjectName = Annotated[Text, AfterValidator(_normalize_project)]
# As it is: of two names that differ by a blank, one rule would vanish.
ClaimName = Annotated[str, AfterValidator(_check_claim_name)]
ClaimRule = Annotated[Text, AfterValidator(_check_claim_rule)]
Claims = Annotated[dict[ClaimName, ClaimRule], AfterValidator(_check_wildcards)]
ClientId = Annotated[Text, Field(pattern=f"^{CLIENT_ID}$")]
Sha256 = Annotated[Text, Field(pattern=r"^[0-9a-f]{64}$")]
ProviderName = Annotated[str, AfterValidator(_one_of(PROVIDERS)), _choices(PROVIDERS)]
Algorithm = Annotated[
    str, AfterValidator(_one_of(ASYMMETRIC_ALGORITHMS)), _choices(ASYMMETRIC_ALGORITHMS)
]


# --- tables -------------------------------------------------------------------------------------


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class IssuerModel(_Table):
    """A URL that signs identity tokens. The public, well-known ones need no entry."""

    url: IssuerUrl
    provider: ProviderName
    algorithms: Annotated[list[Algorithm], Field(min_length=1)] | None = None
    jwks_hosts: list[JwksHost] = []
    enabled: bool = True


def _field_type(field: providers.Field) -> object:
    def check(text: str) -> str:
        if not re.fullmatch(field.pattern, text):
            raise ValueError(f"does not look like a `{field.name}`, such as `{field.example}`")
        if field.is_glob and ("**" in text or not text.strip("*/:@#")):
            raise ValueError("must hold more than wildcards")
        if not field.is_glob and "*" in text:
            raise ValueError("`*` has no meaning here: the text is compared as it is")
        return text

    text = Annotated[Text, AfterValidator(check)]
    if field.any_of:
        return Annotated[list[text], Field(min_length=1)]
    return text


def _provider_model(provider: Provider) -> type[_Table]:
    members: dict[str, Any] = {}
    if not provider.fields:  # what is generic is known by its claims alone
        members[_CLAIMS] = (Annotated[Claims, AfterValidator(_check_identifying)], ...)
    for field in provider.fields:
        kind: Any = _field_type(field)
        optional = Annotated[Optional[kind], BeforeValidator(_blank_is_absent)]  # noqa: UP045
        members[field.name] = (kind, ...) if field.required else (optional, None)
    title = f"{provider.name.title().replace('-', '')}Publisher"
    return create_model(title, __base__=_Table, __doc__=provider.title, **members)


class _PublisherBase(_Table):
    projects: Annotated[list[ProjectName], Field(min_length=1)]
    issuer: IssuerUrl | None = None
    claims: Claims = {}

    @model_validator(mode="after")
    def _check_one_provider(self) -> Self:
        given = [name for name in PROVIDERS if getattr(self, _member(name)) is not None]
        if len(given) != 1:
            known = ", ".join(f"`{name}`" for name in PROVIDERS)
            raise ValueError(f"needs exactly one provider's table, one of: {known}")
        return self

    @model_validator(mode="after")
    def _check_one_rule_for_each_claim(self) -> Self:
        for name in self.claims.keys() & self._table().get(_CLAIMS, {}).keys():
            raise ValueError(f"`claims` has two rules for `{name}`; one would not count")
        return self

    @property
    def provider(self) -> Provider:
        """Return the provider whose table is given."""
        return next(p for n, p in PROVIDERS.items() if getattr(self, _member(n)) is not None)

    @property
    def fields(self) -> providers.Fields:
        """Return the provider's fields that are set."""
        return {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in self._table().items()
            if name != _CLAIMS
        }

    @property
    def all_claims(self) -> dict[str, str]:
        """Return the rules on claims, the publisher's own and those of the generic table."""
        return {**self.claims, **self._table().get(_CLAIMS, {})}

    def _table(self) -> dict[str, Any]:
        table: BaseModel = getattr(self, _member(self.provider.name))
        return table.model_dump(exclude_none=True)


def _member(provider_name: str) -> str:
    return provider_name.replace("-", "_")


_PROVIDER_TABLES: Final[dict[str, Any]] = {
    _member(name): (_provider_model(provider) | None, Field(default=None, alias=name))
    for name, provider in PROVIDERS.items()
}
PublisherModel = create_model(
    "PublisherModel",
    __base__=_PublisherBase,
    __doc__="What may upload to these projects: exactly one provider's table.",
    **_PROVIDER_TABLES,
)


class IntrospectionClientModel(_Table):
    """Another index that may ask about this registry's tokens (RFC 7662).

    `pytp-broker secret` makes a secret and prints its hash for here.
    """

    id: ClientId
    secret_sha256: Sha256


class RegistryModel(_Table):
    """One upload destination with its own prefix, audience, issuers and publishers."""

    name: RegistryName
    hosts: list[HostName] = []
    audience: Audience | None = None
    issuers: Annotated[list[IssuerUrl], Field(min_length=1)] | None = None
    token_lifetime: Annotated[int, Field(ge=MIN_LIFETIME_SECONDS, le=MAX_LIFETIME_SECONDS)] = 900
    shared_host_exchange: bool = True
    enabled: bool = True
    refusals_per_minute: Annotated[int, Field(ge=10, le=1_000_000)] = (
        registries.DEFAULT_REFUSALS_PER_MINUTE
    )
    introspection_clients: list[IntrospectionClientModel] = []
    publishers: list[PublisherModel] = []  # type: ignore[valid-type]


class BrokerModel(_Table):
    """The configuration of a broker: issuers, registries and their publishers."""

    enabled: bool = True
    issuers: list[IssuerModel] = []
    registries: list[RegistryModel] = []


# --- from the model to the core's own types -------------------------------------------------------


class _Resolver:
    """Resolves what one entry says of another, and collects what does not fit together."""

    def __init__(self, model: BrokerModel) -> None:
        self._model = model
        self._lines: list[str] = []
        self._remarks: list[str] = []
        self._ids: dict[tuple[str, str], tuple[providers.FieldValue, str]] = {}

    def resolve(self) -> Loaded:
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
            yield self._issuer(model)

    def _issuer(self, model: IssuerModel) -> registries.Issuer:
        provider = PROVIDERS[model.provider]
        is_public = model.url == provider.issuer
        hosts = tuple(model.jwks_hosts) or (provider.jwks_hosts if is_public else ())
        algorithms = tuple(model.algorithms or provider.algorithms)
        return registries.Issuer(model.url, model.provider, algorithms, hosts, model.enabled)

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
        model: _PublisherBase,
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


def _publisher(model: _PublisherBase, registry: str, issuer_url: str) -> TrustedPublisher:
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
