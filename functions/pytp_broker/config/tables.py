"""Tables of the configuration file, with the keys of each. Any other key is a mistake."""

import re
from collections.abc import Mapping
from functools import cached_property, partial
from typing import Annotated, Any, Final, Optional, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    create_model,
    model_validator,
)

from pytp_broker import registries
from pytp_broker.config.claims import Claims, check_identifying
from pytp_broker.config.issuer_access import CertificatesFile, Proxy
from pytp_broker.config.values import (
    Algorithm,
    Audience,
    ClientId,
    FileSize,
    HostName,
    IssuerUrl,
    JwksHost,
    ProjectName,
    ProviderName,
    ReadAccess,
    RegistryName,
    ReleaseOpenDays,
    Sha256,
    TeamName,
    Text,
    TimestampingUrl,
    is_one_of,
    one_of,
)
from pytp_broker.trust.providers import PROVIDERS
from pytp_broker.trust.providers.model import Field as ProviderField
from pytp_broker.trust.providers.model import Fields, Provider
from pytp_broker.trust.readers import READERS

# PEP 807 sets these bounds for an upload token.
MIN_LIFETIME_SECONDS: Final = 900
MAX_LIFETIME_SECONDS: Final = 21_600
# A read token lives for one job, so half a day is long enough for a build of the largest kind.
MIN_READ_LIFETIME_SECONDS: Final = 60
MAX_READ_LIFETIME_SECONDS: Final = 43_200

_CLAIMS: Final = "claims"
# The member of a publisher's model for each provider's table.
_MEMBERS: Final = {name: name.replace("-", "_") for name in PROVIDERS}
_WORD: Final = re.compile("[A-Za-z_-]+")


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class IssuerModel(_Table):
    """An issuer: the URL that signs identity tokens. Well-known public issuers need no entry."""

    url: IssuerUrl
    provider: ProviderName
    algorithms: Annotated[list[Algorithm], Field(min_length=1)] | None = None
    jwks_hosts: list[JwksHost] = []
    enabled: bool = True
    private: bool = False
    ca_file: CertificatesFile | None = None
    proxy: Proxy = ""


def _field_type(field: ProviderField) -> object:
    # A pattern such as `branch|tag` is also a list of the allowed values.
    words = tuple(field.pattern.split("|"))
    choices = field.choices or (words if all(map(_WORD.fullmatch, words)) else ())
    if choices:
        text: Any = Annotated[Text, AfterValidator(one_of(choices)), is_one_of(choices)]
    else:
        text = Annotated[Text, AfterValidator(partial(_check_field, field))]
    if field.any_of:
        return Annotated[list[text], Field(min_length=1)]
    return text


def _check_field(field: ProviderField, text: str) -> str:
    if field.is_glob and {*text} & {*"?["}:
        raise ValueError("has a `?` or `[`, which no branch or tag has; the wildcard is `*`")
    if not re.fullmatch(field.pattern, text):
        raise ValueError(f"does not look like a `{field.name}`, such as `{field.example}`")
    if field.is_glob and ("**" in text or not text.strip("*/:@#")):
        raise ValueError("must have other characters besides `*`")
    if not field.is_glob and "*" in text:
        raise ValueError("has a `*`, which has no meaning here: the text is compared as it is")
    return text


def _provider_model(provider: Provider, kind: str) -> type[_Table]:
    members: dict[str, Any] = {}
    if provider.is_generic:
        members[_CLAIMS] = (Annotated[Claims, AfterValidator(check_identifying)], ...)
    for field in provider.fields:
        text: Any = _field_type(field)
        optional = Optional[text]  # noqa: UP045 - a type made at run time
        members[field.name] = (text, ...) if field.required else (optional, None)
    title = f"{provider.name.title().replace('-', '')}{kind}"
    return create_model(title, __base__=_Table, __doc__=provider.title, **members)


class TrustedBase(_Table):
    """The keys of every publisher and every reader, for all providers."""

    issuer: IssuerUrl | None = None
    claims: Claims = {}

    @model_validator(mode="after")
    def _check_one_provider(self) -> Self:
        given = [name for name, member in _MEMBERS.items() if getattr(self, member) is not None]
        if len(given) != 1:
            known = ", ".join(f"`{name}`" for name in PROVIDERS)
            seen = f", and has {' and '.join(f'`{name}`' for name in given)}" if given else ""
            raise ValueError(f"needs exactly one provider's table, one of: {known}{seen}")
        return self

    @model_validator(mode="after")
    def _check_one_rule_for_each_claim(self) -> Self:
        for name in self.claims.keys() & self._table.get(_CLAIMS, {}).keys():
            raise ValueError(f"`claims` has two rules for `{name}`; one would not count")
        return self

    @cached_property
    def provider(self) -> Provider:
        """Return the provider whose table this has."""
        given = (name for name, member in _MEMBERS.items() if getattr(self, member) is not None)
        return PROVIDERS[next(given)]

    @property
    def entry(self) -> Provider:
        """Return the provider's entry that the fields belong to."""
        return self.provider

    @property
    def fields(self) -> Fields:
        """Return the provider's fields that are set."""
        return {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in self._table.items()
            if name != _CLAIMS
        }

    @property
    def all_claims(self) -> dict[str, str]:
        """Return all rules on claims: its own, and those in its generic table."""
        return {**self.claims, **self._table.get(_CLAIMS, {})}

    @cached_property
    def _table(self) -> dict[str, Any]:
        table: BaseModel = getattr(self, _MEMBERS[self.provider.name])
        return table.model_dump(exclude_none=True)


class PublisherBase(TrustedBase):
    """The keys of every publisher."""

    projects: Annotated[list[ProjectName], Field(min_length=1)]


class ReaderBase(TrustedBase):
    """The keys of every reader."""

    @property
    def entry(self) -> Provider:
        """Return the form of the provider's entry for the identity that the reader has."""
        return READERS[self.provider.name].form_for(self.fields)


def _table_in(models: Mapping[str, Any]) -> dict[str, Any]:
    return {
        _MEMBERS[name]: (model | None, Field(default=None, alias=name))
        for name, model in models.items()
    }


def _check_identity(name: str, table: _Table) -> _Table:
    if READERS[name].entry.fields:
        READERS[name].form_for(table.model_dump(exclude_none=True))
    return table


_PUBLISHERS: Final[dict[str, type[_Table]]] = {
    name: _provider_model(provider, "Publisher") for name, provider in PROVIDERS.items()
}
_READERS: Final[dict[str, type[_Table]]] = {
    name: _provider_model(readers.entry, "Reader") for name, readers in READERS.items()
}
PublisherModel = create_model(
    "PublisherModel",
    __base__=PublisherBase,
    __doc__="What may upload to these projects: exactly one provider's table.",
    **_table_in(_PUBLISHERS),
)
ReaderModel = create_model(
    "ReaderModel",
    __base__=ReaderBase,
    __doc__="What may read this registry: exactly one provider's table.",
    **_table_in(
        {
            name: Annotated[model, AfterValidator(partial(_check_identity, name))]
            for name, model in _READERS.items()
        }
    ),
)


class IntrospectionClientModel(_Table):
    """Another index that may ask about this registry's tokens (RFC 7662).

    `pytp-broker secret` makes a secret and prints the hash to write here.
    """

    id: ClientId
    secret_sha256: Sha256


class RegistryModel(_Table):
    """One upload destination with its own prefix, audience, issuers, publishers and readers."""

    name: RegistryName
    hosts: list[HostName] = []
    audience: Audience | None = None
    issuers: Annotated[list[IssuerUrl], Field(min_length=1)] | None = None
    token_lifetime: Annotated[int, Field(ge=MIN_LIFETIME_SECONDS, le=MAX_LIFETIME_SECONDS)] = 900
    read_token_lifetime: Annotated[
        int, Field(ge=MIN_READ_LIFETIME_SECONDS, le=MAX_READ_LIFETIME_SECONDS)
    ] = registries.DEFAULT_READ_TOKEN_LIFETIME_SECONDS
    shared_host_exchange: bool = True
    enabled: bool = True
    refusals_per_minute: Annotated[int, Field(ge=10, le=1_000_000)] = (
        registries.DEFAULT_REFUSALS_PER_MINUTE
    )
    release_open_days: ReleaseOpenDays = registries.DEFAULT_RELEASE_OPEN_DAYS
    access: ReadAccess = registries.PRIVATE
    max_file_size: FileSize = registries.DEFAULT_MAX_FILE_SIZE
    require_attestations: bool = False
    owner: TeamName | None = None
    introspection_clients: list[IntrospectionClientModel] = []
    publishers: list[PublisherModel] = []  # type: ignore[valid-type]
    readers: list[ReaderModel] = []  # type: ignore[valid-type]


class TeamModel(_Table):
    """A team, which may own registries, and its files.

    A team's file adds publishers and readers to the registries that the team owns, and nothing
    else. It is named relative to the folder of the file that names it.
    """

    name: TeamName
    include: list[Text] = []


class TimestampingModel(_Table):
    """A time-stamping authority (RFC 3161), which countersigns receipts."""

    url: TimestampingUrl
    ca_file: CertificatesFile | None = None


class BrokerModel(_Table):
    """The configuration of a broker: issuers, registries, and their publishers and readers."""

    enabled: bool = True
    issuers: list[IssuerModel] = []
    registries: list[RegistryModel] = []
    teams: list[TeamModel] = []
    timestamping: TimestampingModel | None = None


# The lists of publishers and readers, each with its providers' tables.
TRUSTED: Final[Mapping[tuple[str, ...], Mapping[str, type[_Table]]]] = {
    ("registries", "publishers"): _PUBLISHERS,
    ("registries", "readers"): _READERS,
}
_MODELS: Final[Mapping[tuple[str, ...], type[BaseModel]]] = {
    (): BrokerModel,
    ("timestamping",): TimestampingModel,
    ("issuers",): IssuerModel,
    ("registries",): RegistryModel,
    ("teams",): TeamModel,
    ("registries", "introspection_clients"): IntrospectionClientModel,
    ("registries", "publishers"): PublisherModel,
    ("registries", "readers"): ReaderModel,
    **{(*path, name): model for path, models in TRUSTED.items() for name, model in models.items()},
}
# The keys of each table, and whether each is required, by the keys that lead to the table.
TABLES: Final[Mapping[tuple[str, ...], Mapping[str, bool]]] = {
    path: {
        member.alias or name: member.is_required() for name, member in model.model_fields.items()
    }
    for path, model in _MODELS.items()
}
_SELF_HOSTED: Final = next(p for p in PROVIDERS.values() if "HOST" in (p.issuer_shape or ""))
# An example value for each required key, as it is written in the file.
EXAMPLES: Final[Mapping[tuple[str, ...], str]] = {
    ("timestamping", "url"): '"https://timestamps.example.com"',
    ("issuers", "url"): f'"{(_SELF_HOSTED.issuer_shape or "").replace("HOST", "ci.example.com")}"',
    ("issuers", "provider"): f'"{_SELF_HOSTED.name}"',
    ("registries", "name"): '"acme"',
    ("teams", "name"): '"data"',
    ("registries", "introspection_clients", "id"): '"devpi"',
    ("registries", "publishers", "projects"): '["widgets"]',
    **{
        (*path, provider.name, field.name): (
            f'["{field.example}"]' if field.any_of else f'"{field.example}"'
        )
        for path in TRUSTED
        for provider in (readers.entry for readers in READERS.values())
        for field in provider.fields
    },
    **{
        (*path, provider.name, _CLAIMS): '{ sub = "project:widgets:release" }'
        for path in TRUSTED
        for provider in PROVIDERS.values()
        if provider.is_generic
    },
}
