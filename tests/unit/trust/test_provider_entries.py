"""Every provider: its entry, its page and its captured claims agree."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytp_broker import config
from pytp_broker.errors import InvalidToken
from pytp_broker.globs import REF_GLOB
from pytp_broker.oidc.identity import verify
from pytp_broker.oidc.jwks import VerificationKey
from pytp_broker.oidc.signed_claims import SignedClaims, TokenForm
from pytp_broker.oidc.unverified import read_unverified
from pytp_broker.registries import Issuer
from pytp_broker.trust.comparisons import is_exact, is_same_ignoring_case
from pytp_broker.trust.job import Job
from pytp_broker.trust.providers import PROVIDERS
from pytp_broker.trust.providers.model import Field, Provider, Role
from tests.support import signing
from tests.support.claims import captured
from tests.support.providers import DOCS, NAMES, TESTS, accepts, blocks, documented, page, signed
from tests.support.signing import NOW

HOST = "packages.example.com"
ROLES = {Role.IDENTITY: "identifies", Role.PIN: "pinned", Role.RULE: "narrows"}
COMPARISONS: dict[Callable[[str, str], bool], str] = {
    is_exact: "exact",
    is_same_ignoring_case: "ignores case",
    REF_GLOB: "glob",
}


@pytest.mark.parametrize("name", NAMES)
def test_the_documented_publisher_accepts_the_captured_claims(name: str) -> None:
    (publisher,) = documented(name).publishers
    claims = captured(name)

    assert publisher.provider is PROVIDERS[name]
    assert publisher.issuer == claims["iss"]
    assert accepts(publisher, claims)


@pytest.mark.parametrize("name", NAMES)
def test_the_captured_claims_are_for_the_documented_audience(name: str) -> None:
    (registry,) = documented(name).configuration.registries.values()
    audience = captured(name)["aud"]

    expected = {registry.audience_on(HOST), HOST}
    assert (audience if isinstance(audience, str) else audience[0]) in expected
    assert isinstance(audience, str) or PROVIDERS[name].token_form.may_list_audience


@pytest.mark.parametrize("name", NAMES)
def test_every_documented_configuration_is_one(name: str) -> None:
    for block in blocks(name, "toml"):
        loaded = config.parse(tomllib.loads(block), allow_loopback=False)
        assert {p.provider.name for p in loaded.publishers} == {name}


@pytest.mark.parametrize("name", NAMES)
def test_every_documented_snippet_is_well_formed(name: str) -> None:
    for block in blocks(name, "yaml"):
        assert isinstance(yaml.safe_load(block), dict)
    for block in blocks(name, "bash"):
        subprocess.run(["bash", "-n"], input=block, text=True, check=True)
    assert blocks(name, "yaml") or blocks(name, "bash")


def test_entry_claims_and_page_exist_together() -> None:
    files = {path.stem for path in (TESTS / "providers").iterdir()}
    pages = {path.stem for path in DOCS.iterdir()} - {"index"}

    assert files == pages == set(NAMES)


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=NAMES)
def test_a_text_from_a_list_or_the_name_of_a_ref_says_not_whose_job_it_is(
    provider: Provider,
) -> None:
    shared = {field.claim for field in provider.fields if field.is_glob or field.choices}

    assert shared <= {*provider.common_claims}


def test_no_other_room_names_a_provider() -> None:
    package = TESTS.parent / "functions" / "pytp_broker"
    allowed = (package / "trust" / "providers", package / "demo")
    files = [f for f in package.rglob("*.py") if not any(f.is_relative_to(a) for a in allowed)]

    named = {(str(f.relative_to(package)), name) for f in files for name in _named(f)}
    assert named <= {
        # The extra with the libraries of AWS, and its command line, have the provider's name too.
        ("cli/__init__.py", "aws"),
        ("client/ambient.py", "aws"),
        # A certificate of Sigstore names the workflows of these two in a way that is Sigstore's.
        ("provenance/identities.py", "github"),
        ("provenance/identities.py", "gitlab"),
        # The client, which knows no provider, reads this one in a receipt.
        ("client/verifying/history.py", "generic"),
    }


def _named(file: Path) -> set[str]:
    """Return the providers that the file names: as a text, in a quoted text, or by an import."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    texts = [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    quoted = {part for text in texts for part in re.findall('"([a-z-]+)"', text)}
    imported = [n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)]
    modules = {m.rpartition(".")[2] for m in imported if ".trust.providers." in m}
    return {*texts, *quoted, *modules} & {*NAMES, *(name.replace("-", "_") for name in NAMES)}


@pytest.mark.parametrize("name", NAMES)
def test_a_page_lists_the_fields(name: str) -> None:
    rows = re.findall(r"^\| (`.*) \|$", page(name), re.MULTILINE)

    assert rows == [_field_row(field) for field in PROVIDERS[name].fields]


def _field_row(field: Field) -> str:
    comparison = "see below" if field.expand else COMPARISONS.get(field.compare, "see below")
    star, several = " *" if field.required else "", ", one of a list" if field.any_of else ""
    columns = (f"`{field.name}`{star}", f"`{field.claim}`", ROLES[field.role], comparison + several)
    return " | ".join(columns)


def test_the_index_lists_the_providers() -> None:
    rows = re.findall(r"^\| (\[.*) \|$", page("index"), re.MULTILINE)

    assert rows == [_provider_row(provider) for provider in PROVIDERS.values()]


def _provider_row(provider: Provider) -> str:
    issuers = [f"`{url}`" for url in (provider.issuer, provider.issuer_shape) if url]
    by_role = (
        ", ".join(f"`{f.name}`" for f in provider.fields_of(role)) or "none"
        for role in (Role.IDENTITY, Role.PIN, Role.RULE)
    )
    link = f"[{provider.title}]({provider.name}.md)"
    return " | ".join((link, f"`{provider.name}`", " or ".join(issuers), *by_role))


@pytest.mark.parametrize("name", [n for n in NAMES if PROVIDERS[n].recorded])
def test_what_is_recorded_is_in_the_captured_claims(name: str) -> None:
    claims = signed(captured(name))
    ours = {"repository", "run", "sha", "ref", "workflow", "environment", "actor", "project_id"}

    assert PROVIDERS[name].recorded.keys() <= ours
    assert all(claims.text(claim) for claim in PROVIDERS[name].recorded.values())


GITHUB_RUN = "octo-org/widgets/actions/runs/11855712345"


@pytest.mark.parametrize(
    ("name", "issuer", "url"),
    [
        (
            "github",
            "https://token.actions.githubusercontent.com",
            f"https://github.com/{GITHUB_RUN}",
        ),
        (
            "github",
            "https://token.actions.githubusercontent.com/octo-enterprise",
            f"https://github.com/{GITHUB_RUN}",
        ),
        (
            "github",
            "https://token.actions.octo.ghe.com",
            f"https://octo.ghe.com/{GITHUB_RUN}",
        ),
        (
            "github",
            "https://ghes.example.com/_services/token",
            f"https://ghes.example.com/{GITHUB_RUN}",
        ),
        ("gitlab", "https://gitlab.com", "https://gitlab.com/group/sub/gadgets/-/pipelines/574"),
        (
            "gitlab",
            "https://example.com/gitlab/",
            "https://example.com/gitlab/group/sub/gadgets/-/pipelines/574",
        ),
    ],
)
def test_the_page_of_a_run_is_found_from_what_is_recorded(name: str, issuer: str, url: str) -> None:
    recorded = Job.of(signed(captured(name)), PROVIDERS[name]).identity

    assert PROVIDERS[name].find_run_url(issuer, recorded) == url


def test_what_a_run_is_called_cannot_lead_elsewhere() -> None:
    recorded = {"repository": "octo org/x?y", "run": "1/../2#\n"}

    assert PROVIDERS["github"].find_run_url(
        "https://token.actions.githubusercontent.com", recorded
    ) == ("https://github.com/octo%20org/x%3Fy/actions/runs/1%2F..%2F2%23%0A")


@pytest.mark.parametrize(
    ("name", "recorded"),
    [
        ("github", {"repository": "octo-org/widgets"}),
        ("github", {"run": "1"}),
        ("forgejo", {"repository": "acme/widgets", "run": "43"}),
    ],
)
def test_a_run_without_a_page_has_no_url(name: str, recorded: dict[str, str]) -> None:
    assert PROVIDERS[name].find_run_url("https://codeberg.org/api/actions", recorded) is None


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=NAMES)
def test_an_entry_fits_what_relies_on_it(provider: Provider) -> None:
    identifying = provider.fields_of(Role.IDENTITY)

    assert provider.issuer or provider.issuer_shape
    assert provider.required_claims, "a token without any required claim says nothing"
    assert all(f.required and not f.any_of and not f.expand for f in identifying)
    assert {f.claim for f in identifying} <= set(provider.required_claims)
    assert all(re.fullmatch(f.pattern, f.example) for f in provider.fields)
    # Compared without case at the lookup, so no comparison may be wider than that.
    assert all(f.compare in {is_exact, is_same_ignoring_case} for f in identifying)


@pytest.mark.promise("untold-strangers")
@pytest.mark.parametrize("name", NAMES)
def test_a_page_says_which_jobs_a_stranger_can_cause(name: str) -> None:
    section = page(name).partition("\n## Jobs that a stranger can cause\n")[2].partition("\n## ")[0]
    provider = PROVIDERS[name]

    assert section.strip()
    assert provider.jobs or provider.blind_spot
    for rule in provider.jobs:
        assert all(f"`{word}`" in section for word in rule.expected.split(", ") if " " not in word)
        assert f"`{rule.field}" in section


@pytest.mark.parametrize(
    ("name", "field"),
    [(name, rule.field) for name, p in PROVIDERS.items() for rule in p.jobs],
)
def test_the_field_that_names_such_jobs_is_one_of_the_publishers(name: str, field: str) -> None:
    assert field in {f.name for f in PROVIDERS[name].fields}


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize(
    ("audience", "is_ours"),
    [
        ("acme", True),
        (["acme"], "listed"),
        (["acme", "other"], False),
        (["acme", "acme"], False),
        (["other"], False),
        ([["acme"]], False),
        ([], False),
        ({"acme": 1}, False),
    ],
)
def test_a_list_of_our_audience_alone_is_ours_where_the_provider_signs_lists(
    audience: Any, is_ours: bool | str, listed: bool
) -> None:
    signer = signing.Issuer()
    unverified = read_unverified(signer.token(aud=audience))
    key = VerificationKey(signer.keys["key-1"].public_key(), ("RS256",))
    issuer = Issuer(signer.url, "kubernetes", ("RS256",))

    def check() -> SignedClaims:
        form = TokenForm(may_list_audience=listed)
        return verify(unverified, key, issuer, "acme", NOW, form=form)

    if is_ours is True or (is_ours == "listed" and listed):
        assert check().claims["aud"] == audience
    else:
        with pytest.raises(InvalidToken):
            check()


@pytest.mark.parametrize(
    ("provider", "hours"), [("github", 25), ("azure-devops", 25), ("generic", 25), ("gitlab", 744)]
)
def test_a_token_lives_for_as_long_as_its_kind_of_ci_signs(provider: str, hours: int) -> None:
    signer = signing.Issuer()
    key = VerificationKey(signer.keys["key-1"].public_key(), ("RS256",))
    issuer = Issuer(signer.url, provider, ("RS256",))
    form = PROVIDERS[provider].token_form

    def check(seconds: int) -> SignedClaims:
        begun = int(NOW.timestamp())
        unverified = read_unverified(signer.token(iat=begun, exp=begun + seconds))
        return verify(unverified, key, issuer, "acme", NOW, form=form)

    assert check(hours * 3600).issuer == signer.url
    with pytest.raises(InvalidToken, match=f"at most {hours} h"):
        check(hours * 3600 + 1)
