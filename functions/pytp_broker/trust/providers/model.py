"""What a provider is: a kind of CI service as data, with the fields of publishers and readers."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final
from urllib.parse import quote

from pytp_broker.globs import Glob
from pytp_broker.oidc.signed_claims import PLAIN, SignedClaims, TokenForm
from pytp_broker.trust.comparisons import is_exact

_ANY_TEXT: Final = r"[^\x00-\x1f\x7f]{1,255}"

FieldValue = str | tuple[str, ...]
Fields = Mapping[str, FieldValue]

# Returns what to do about a claim that does not match: the text that the publisher expects, the
# text that the claim has (None if it has none), and all claims of the token.
Advise = Callable[[str, str | None, SignedClaims], str]

# Returns the URL of a run's page: takes the issuer's URL, and the repository and the run as they
# are recorded, both quoted for a URL.
RunPage = Callable[[str, str, str], str]


class Role(Enum):
    """The role of a field of a publisher or a reader."""

    IDENTITY = "identity"  # required: the store finds the publisher by these
    PIN = "pin"  # an immutable id: configured, or pinned on first use
    RULE = "rule"  # restricts further which tokens match


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a publisher: the claim that it is compared with, and the comparison.

    ``expand`` turns the configured text into the claim values that it stands for. ``claim_beside``
    names another claim to compare with when that other field is set as well. With ``any_of`` the
    configuration lists several texts. ``pattern`` is what a configured text must look like, in
    full, and ``example`` one that does; ``choices`` lists all possible texts, if they can be
    listed. With ``in_list`` the claim is a list of texts, of which one must match. ``advise`` says
    what to do when none matches.
    """

    name: str
    claim: str
    role: Role = Role.RULE
    required: bool = False
    compare: Callable[[str, str], bool] = is_exact
    expand: Callable[[str, SignedClaims], tuple[str, ...]] | None = None
    claim_beside: Mapping[str, str] = field(default_factory=dict)
    any_of: bool = False
    in_list: bool = False
    pattern: str = _ANY_TEXT
    example: str = ""
    choices: tuple[str, ...] = ()
    advise: Advise | None = None

    @property
    def is_glob(self) -> bool:
        """Say whether ``*`` has a meaning in the configured text."""
        return isinstance(self.compare, Glob)

    @property
    def claims(self) -> tuple[str, ...]:
        """Return every claim that the field may be compared with."""
        return (self.claim, *self.claim_beside.values())

    def claim_for(self, fields: Fields) -> str:
        """Return the claim to compare with, given the publisher's other fields."""
        for other, claim in self.claim_beside.items():
            if other in fields:
                return claim
        return self.claim

    @property
    def its_type(self) -> type:
        """Return the type of its claims, as the provider signs them."""
        return list if self.in_list else str

    def is_of_its_form(self, claims: SignedClaims) -> bool:
        """Say whether the claim, if it is there at all, looks like what the provider signs."""
        text = claims.text(self.claim)
        return text is None or re.fullmatch(self.pattern, text) is not None

    def texts(self, claims: SignedClaims, claim: str) -> tuple[str, ...]:
        """Return what one of the field's claims says: one text, or a list's.

        Nothing if the claim is of another type.
        """
        if not self.in_list:
            text = claims.text(claim)
            return () if text is None else (text,)
        # We refuse a string here, because ``in`` would search for a part of it.
        value = claims.value(claim)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            return ()
        return tuple(value)

    def matches(self, expected: FieldValue, seen: str, claims: SignedClaims) -> bool:
        """Say whether the claim is one of the values that the configured text stands for."""
        if self.expand is None and isinstance(expected, str):
            return self.compare(expected, seen)
        texts = (expected,) if isinstance(expected, str) else expected
        if self.expand is not None:
            texts = tuple(value for text in texts for value in self.expand(text, claims))
        return any(self.compare(text, seen) for text in texts)


@dataclass(frozen=True, slots=True)
class JobRule:
    """A rule that refuses jobs which a stranger can cause, unless the publisher names such jobs.

    A stranger opens a pull request, an issue or a discussion, and a job may run because of it with
    the repository's own identity. ``claim`` is how the provider marks the job. ``expected`` says in
    words what ``is_trusted`` accepts, and ``advice`` what to do when it does not.

    ``field`` is the publisher's field that may name such jobs, and ``is_named`` says whether one of
    its texts does; by default every text does. A provider's older versions may not sign the claim:
    without it the rule is skipped, unless it ``is_required``.

    Readers may read from every kind of job of their own. A rule that ``marks_fork`` holds for them
    too, because the job that it refuses builds a stranger's repository.
    """

    field: str
    claim: str
    expected: str
    is_trusted: Callable[[str], bool]
    advice: str
    is_named: Callable[[str], bool] = bool
    is_required: bool = False
    marks_fork: bool = False

    def is_decided_by(self, fields: Fields) -> bool:
        """Say whether the publisher itself names the jobs that this rule is about."""
        value = fields.get(self.field, ())
        texts = (value,) if isinstance(value, str) else value
        return any(map(self.is_named, texts))


@dataclass(frozen=True, slots=True)
class WiderIdentity:
    """An identity that a reader may have in place of a publisher's: an owner, a group, an account.

    All of ``fields`` together identify it, and ``pins`` are its immutable ids. ``is_immutable``
    says that nobody else can get the identity, so that nothing needs to be pinned.
    """

    fields: tuple[Field, ...]
    pins: tuple[Field, ...] = ()
    is_immutable: bool = False


@dataclass(frozen=True, slots=True)
class IssuerForm:
    """The form of an issuer's URL on hosts of the provider's own service.

    ``host`` and ``path`` are patterns, and ``shape`` shows the whole URL to the operator.
    """

    host: str
    path: str
    shape: str

    @classmethod
    def exactly(cls, host: str, path: str = "") -> "IssuerForm":
        """Return the form of the one issuer that this host has."""
        return cls(re.escape(host), re.escape(path), f"https://{host}{path}")

    @classmethod
    def nowhere_on(cls, host: str, shape: str) -> "IssuerForm":
        """Return the form for a host that is the provider's and signs nothing: ``shape`` does."""
        return cls(re.escape(host), "(?!)", shape)


@dataclass(frozen=True, slots=True)
class Provider:
    """A kind of CI service: all that the broker knows about it.

    Its issuers: ``issuer`` is the public one, if there is one for all, and ``issuer_shape`` shows
    what the others look like. ``issuer_forms`` are those of the provider's own hosts. On a host of
    the operator's, an issuer usually ends with ``usual_path``; with ``has_free_issuer`` the
    operator chooses the whole URL. ``token_form`` says how its tokens may differ from the plainest
    form.

    Its claims: ``required_claims`` must be non-empty strings in every token, ``present_claims``
    strings that may be empty, ``constants`` exactly these values, and each of ``agreements`` must
    agree with the claims beside it. ``same_claims`` are pairs that must be equal where a token has
    both. ``recorded`` are the claims kept with tokens and files: our name to theirs, and
    ``run_page`` makes the URL of the run's page from them. Jobs of strangers may share the texts of
    ``common_claims``, so these do not say whose job it is. ``unchecked_claims`` are known, but
    neither compared nor recorded; a ``*`` at the end stands for any text. ``missing_advice`` says
    what to do when a token lacks a claim.

    ``jobs`` are the rules that refuse jobs which a stranger can cause, and ``blind_spot`` says what
    the claims do not tell. ``has_immutable_identity`` says that the identity consists of ids that
    nobody else can get, so that nothing needs to be pinned.

    Its readers: ``wider`` are the identities that they may have beside a publisher's, and
    ``publishing_claims`` are required in the tokens of publishers and not in those of readers.
    ``holder`` is the word for what has these fields.
    """

    name: str
    title: str
    documentation_url: str
    fields: tuple[Field, ...]

    issuer: str | None = None
    issuer_shape: str | None = None
    issuer_forms: tuple[IssuerForm, ...] = ()
    usual_path: str = ""
    has_free_issuer: bool = False
    algorithms: tuple[str, ...] = ("RS256",)
    jwks_hosts: tuple[str, ...] = ()
    token_form: TokenForm = PLAIN

    required_claims: tuple[str, ...] = ()
    publishing_claims: tuple[str, ...] = ()
    present_claims: tuple[str, ...] = ()
    constants: Mapping[str, Any] = field(default_factory=dict)
    agreements: Mapping[str, Callable[[str, SignedClaims], bool]] = field(default_factory=dict)
    same_claims: Mapping[str, str] = field(default_factory=dict)
    recorded: Mapping[str, str] = field(default_factory=dict)
    run_page: RunPage | None = None
    common_claims: tuple[str, ...] = ()
    unchecked_claims: tuple[str, ...] = ()
    missing_advice: Mapping[str, str] = field(default_factory=dict)

    jobs: tuple[JobRule, ...] = ()
    blind_spot: str = ""
    has_immutable_identity: bool = False

    wider: tuple[WiderIdentity, ...] = ()
    holder: str = "publisher"

    # What every exchange asks for: the fields by role, and each claim with its field and its type.
    _by_role: Mapping[Role, tuple[Field, ...]] = field(init=False, compare=False)
    claim_types: tuple[tuple[Field, str, type], ...] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        by_role = {role: tuple(f for f in self.fields if f.role is role) for role in Role}
        object.__setattr__(self, "_by_role", by_role)
        types = tuple((f, claim, f.its_type) for f in self.fields for claim in f.claims)
        object.__setattr__(self, "claim_types", types)

    def __repr__(self) -> str:
        """Return the name alone: an entry is long, and its name says which one it is."""
        return f"Provider({self.name!r})"

    @property
    def is_generic(self) -> bool:
        """Say whether a publisher states all that it expects in its ``claims``."""
        return not self.fields

    def fields_of(self, role: Role) -> tuple[Field, ...]:
        """Return the fields with this role."""
        return self._by_role[role]

    def find_run_url(self, issuer: str, recorded: Mapping[str, str]) -> str | None:
        """Return the URL of the page of a run, from what was recorded; None if we know none."""
        repository, run = recorded.get("repository"), recorded.get("run")
        if self.run_page is None or not repository or not run:
            return None
        return self.run_page(issuer, quote(repository), quote(run, safe=""))
