"""Every provider: its entry, its documentation and a claim set as it signs them agree.

The cases in ``tests/cases`` were observed from PyPI's implementation; where ours differs on
purpose, the case says so.
"""

import ast
import copy
import json
import re
import subprocess
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytp_broker import config
from pytp_broker.config import ConfigurationError, Loaded
from pytp_broker.errors import ChangedIdentity, InvalidPublisher, InvalidToken
from pytp_broker.oidc.identity import SignedClaims, TokenForm, verify
from pytp_broker.oidc.jwks import VerificationKey
from pytp_broker.oidc.unverified import read_unverified
from pytp_broker.registries import Issuer
from pytp_broker.trust.comparisons import REF_GLOB, fold, is_exact, is_led_by, is_same_ignoring_case
from pytp_broker.trust.findings import compare
from pytp_broker.trust.matching import find_matching
from pytp_broker.trust.providers import PROVIDERS
from pytp_broker.trust.providers.actions import EVENTS as GITHUB_EVENTS
from pytp_broker.trust.providers.gitlab import SOURCES as GITLAB_SOURCES
from pytp_broker.trust.providers.gitlab import TRUSTED_SOURCES as GITLAB_TRUSTED
from pytp_broker.trust.providers.model import Field, FieldValue, Provider, Role
from pytp_broker.trust.publishers import TrustedPublisher, identity_key, unpinned
from tests.support import signing
from tests.support.signing import ABSENT, NOW

TESTS = Path(__file__).parents[2]
DOCS = TESTS.parent / "docs" / "providers"
HOST = "packages.example.com"
NAMES = tuple(PROVIDERS)
WRONG_TYPES = [None, "", 5, True, 1.5, ["x"], [], {"x": "y"}]
ROLES = {Role.IDENTITY: "identifies", Role.PIN: "pinned", Role.RULE: "narrows"}
COMPARISONS: dict[Callable[[str, str], bool], str] = {
    is_exact: "exact",
    is_same_ignoring_case: "ignores case",
    REF_GLOB: "glob",
}


# --- what the files say ---------------------------------------------------------------------------


@cache
def page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page(name), re.MULTILINE | re.DOTALL)


@cache
def documented(name: str) -> Loaded:
    return config.parse(tomllib.loads(blocks(name, "toml")[0]), allow_loopback=False)


def captured(name: str) -> dict[str, Any]:
    text = (TESTS / "providers" / f"{name}.json").read_text(encoding="utf-8")
    claims: dict[str, Any] = json.loads(text)
    return claims


def signed(claims: Mapping[str, Any]) -> SignedClaims:
    return SignedClaims(str(claims["iss"]), "0" * 32, NOW, claims)


def changed(claims: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return the claims with one of them changed, also inside an object."""
    result = copy.deepcopy(dict(claims))
    *outer, name = path.split(">")
    members = result
    for step in outer:
        members = members[step]
    if value is ABSENT:
        del members[name]
    else:
        members[name] = value
    return result


def accepts(publisher: TrustedPublisher, claims: Mapping[str, Any]) -> bool:
    """Say whether the publisher is found by these claims, and matches them."""
    return publisher in accepted([publisher], signed(claims))


def accepted(
    publishers: list[TrustedPublisher], claims: SignedClaims
) -> tuple[TrustedPublisher, ...]:
    provider = publishers[0].provider
    key = identity_key(claims, provider)
    candidates = [p for p in publishers if p.identity_key == key]  # as a store does
    try:
        return find_matching(candidates, claims, provider)
    except InvalidPublisher:
        return ()


def refusal(publisher: TrustedPublisher, claims: Mapping[str, Any]) -> str:
    with pytest.raises(InvalidPublisher) as caught:
        find_matching([publisher], signed(claims), publisher.provider)
    return caught.value.detail


def publisher_of(name: str, **fields: FieldValue) -> TrustedPublisher:
    """Return a publisher for the captured claims."""
    issuer, provider = captured(name)["iss"], PROVIDERS[name]
    return TrustedPublisher("id", "acme", issuer, provider, ("widgets",), fields)


def strict(name: str) -> TrustedPublisher:
    """Return a publisher with every field: what the entries give as examples fits together."""
    examples = {f.name: example(f) for f in PROVIDERS[name].fields if f.name != "reusable_workflow"}
    claims = {} if examples else {"sub": captured(name)["sub"]}
    return replace(publisher_of(name, **examples), claims=claims)


def example(field: Field) -> FieldValue:
    return (field.example,) if field.any_of else field.example


every_field = pytest.mark.parametrize(
    ("name", "field"),
    [
        pytest.param(name, field, id=f"{name}-{field.name}")
        for name, provider in PROVIDERS.items()
        for field in provider.fields
        if field.name != "reusable_workflow"
    ],
)


# --- documentation and captured claims ------------------------------------------------------------


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

    assert {(f.name, name) for f in files for name in _named(f)} == set()


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
    ours = {"repository", "run", "sha", "ref", "workflow", "environment", "actor"}

    assert PROVIDERS[name].recorded.keys() <= ours
    assert all(claims.text(claim) for claim in PROVIDERS[name].recorded.values())


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


# --- each rule ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_publisher_with_every_field_accepts_the_captured_claims(name: str) -> None:
    assert accepts(strict(name), captured(name))


@every_field
def test_any_other_value_of_a_field_is_refused(name: str, field: Field) -> None:
    publisher = strict(name)
    for wrong in ("other", f"{field.example}x", f"x{field.example}", field.example[:-1], "*"):
        value: FieldValue = (wrong,) if field.any_of else wrong
        other = replace(publisher, fields={**publisher.fields, field.name: value})
        if not (field.is_glob and REF_GLOB(wrong, str(captured(name)[field.claim]))):
            assert not accepts(other, captured(name)), wrong


@every_field
def test_case_counts_unless_the_provider_ignores_it(name: str, field: Field) -> None:
    publisher = strict(name)
    swapped = field.example.swapcase()
    value: FieldValue = (swapped,) if field.any_of else swapped
    other = replace(publisher, fields={**publisher.fields, field.name: value})

    folds = field.compare is is_same_ignoring_case or swapped == field.example
    assert accepts(other, captured(name)) is folds


@every_field
@pytest.mark.parametrize("value", [ABSENT, *WRONG_TYPES])
def test_a_claim_that_is_amiss_never_matches(name: str, field: Field, value: Any) -> None:
    assert not accepts(strict(name), changed(captured(name), field.claim, value))


@every_field
def test_a_known_claim_of_a_wrong_type_refuses_the_token(name: str, field: Field) -> None:
    (publisher,) = documented(name).publishers

    assert not accepts(publisher, changed(captured(name), field.claim, 5))


@pytest.mark.parametrize(
    ("name", "claim"), [(n, c) for n, p in PROVIDERS.items() for c in p.required_claims]
)
@pytest.mark.parametrize("value", [ABSENT, *WRONG_TYPES])
def test_a_required_claim_must_be_a_text(name: str, claim: str, value: Any) -> None:
    (publisher,) = documented(name).publishers
    claims = changed(captured(name), claim, value)

    assert not accepts(publisher, claims)
    assert f"claim `{claim}` is missing or not a string" in refusal(publisher, claims)


@pytest.mark.parametrize(
    ("name", "claim"), [(n, c) for n, p in PROVIDERS.items() for c in p.present_claims]
)
@pytest.mark.parametrize("value", [ABSENT, None, 5, True, ["x"], {"x": "y"}])
def test_a_present_claim_must_be_a_text_or_empty(name: str, claim: str, value: Any) -> None:
    (publisher,) = documented(name).publishers
    claims = captured(name)

    assert not accepts(publisher, changed(claims, claim, value))


@pytest.mark.parametrize(
    ("name", "claim", "constant"),
    [(n, c, v) for n, p in PROVIDERS.items() for c, v in p.constants.items()],
)
def test_a_constant_is_that_value_of_that_type(name: str, claim: str, constant: Any) -> None:
    (publisher,) = documented(name).publishers
    others = [ABSENT, None, "", 0, 1, 1.0, "true", "false", [constant], not constant, "pypi"]

    for other in others:
        assert not accepts(publisher, changed(captured(name), claim, other)), other


@pytest.mark.parametrize(
    ("name", "claim"), [(n, c) for n, p in PROVIDERS.items() for c in p.agreements]
)
def test_a_claim_that_contradicts_the_others_refuses_the_token(name: str, claim: str) -> None:
    claims = captured(name)
    if name == "circleci":
        claims["iss"] = "https://oidc.circleci.com/org/99999999-0000-4000-8000-000000000009"
    else:
        text = signed(claims).text(claim)
        assert text is not None
        claims = changed(claims, claim, text[:11] + ("x" if not text.isdigit() else "0"))
    (publisher,) = documented(name).publishers

    assert f"claim `{claim}` contradicts the others" in refusal(publisher, claims)


@pytest.mark.parametrize("name", NAMES)
def test_a_publisher_matches_its_own_issuer_only(name: str) -> None:
    claims = {**captured(name), "iss": "https://other.example.com"}

    assert not accepts(strict(name), claims)


@pytest.mark.parametrize("name", NAMES)
def test_ids_that_are_not_given_are_pinned_and_then_count(name: str) -> None:
    pinned = {f.name: f.example for f in PROVIDERS[name].fields_of(Role.PIN)}
    fields = {k: v for k, v in strict(name).fields.items() if k not in pinned}
    publisher = replace(strict(name), fields=fields)

    assert unpinned(publisher, signed(captured(name))) == pinned
    assert accepts(publisher.with_pins(pinned), captured(name))
    for field in PROVIDERS[name].fields_of(Role.PIN):
        assert not accepts(publisher.with_pins({**pinned, field.name: "1"}), captured(name))


# --- jobs that a stranger can cause ---------------------------------------------------------------

TRUSTED_EVENTS = (
    *("push", "release", "workflow_dispatch", "schedule"),
    *("create", "deployment", "merge_group", "repository_dispatch"),
)
OTHER_EVENTS = sorted(set(GITHUB_EVENTS) - {*TRUSTED_EVENTS})


@pytest.mark.parametrize("name", ["github", "forgejo"])
@pytest.mark.parametrize("event", TRUSTED_EVENTS)
def test_events_that_need_rights_in_the_repository_publish(name: str, event: str) -> None:
    (publisher,) = documented(name).publishers

    assert accepts(publisher, {**captured(name), "event_name": event})


@pytest.mark.parametrize("name", ["github", "forgejo"])
@pytest.mark.parametrize("event", OTHER_EVENTS)
def test_other_events_publish_only_where_the_publisher_lists_them(name: str, event: str) -> None:
    (publisher,) = documented(name).publishers
    listing = replace(publisher, fields={**publisher.fields, "events": (event, "push")})
    claims = {**captured(name), "event_name": event}

    assert not accepts(publisher, claims)
    assert accepts(listing, claims)
    assert not accepts(listing, {**claims, "event_name": "release"})


@pytest.mark.parametrize("name", ["github", "forgejo"])
@pytest.mark.parametrize(
    "event",
    [
        ABSENT,
        None,
        "",
        " push",
        "push ",
        "Push",
        "PUSH",
        "push,release",
        "*",
        "new_event",
        5,
        ["push"],
    ],
)
def test_an_event_that_is_unknown_or_missing_publishes_nothing(name: str, event: Any) -> None:
    (publisher,) = documented(name).publishers

    assert not accepts(publisher, changed(captured(name), "event_name", event))


GITLAB_MARKS: list[dict[str, Any]] = [
    *({"pipeline_source": source} for source in GITLAB_SOURCES if source not in GITLAB_TRUSTED),
    *({"pipeline_source": source} for source in ("", "Push", " push", "new_source", 5, ["push"])),
    {"ref_path": "refs/merge-requests/7/head"},
    {"ref_path": "refs/merge-requests/7/merge", "pipeline_source": ABSENT},
]
VCS_REF = "oidc.circleci.com/vcs-ref"
MARKS: dict[str, list[dict[str, Any]]] = {
    "buildkite": [{"build_branch": branch} for branch in ("stranger:main", ":main", "a:b:c")],
    "gitlab": GITLAB_MARKS,
    "semaphore": [
        *({"ref_type": kind} for kind in ("pull-request", "pr", "Tag", "", 5)),
        *(
            {"ref": f"refs/{ref}"}
            for ref in ("pull/7/head", "pull/7/merge", "merge-requests/7/head")
        ),
        *({"pr": "7"}, {"pr": "12345", "ref_type": "branch"}),
        *({"job_type": kind} for kind in ("debug_job", "project_debug_job", "new_job", "", 5)),
    ],
    "azure-devops": [
        *({"rpo_ref": f"refs/{ref}"} for ref in ("pull/7/merge", "pull/7/head", "pull/x")),
    ],
    "circleci": [
        *({VCS_REF: f"refs/{ref}"} for ref in ("pull/7/head", "pull/7/merge", "pull/7")),
        *({VCS_REF: f"refs/heads/pull/{ref}"} for ref in ("7", "123", "7/head")),
        *({VCS_REF: "pull/7"}, {VCS_REF: "pull/7/head"}),
    ],
}
NAMED: list[tuple[str, dict[str, FieldValue], dict[str, Any]]] = [
    (
        "gitlab",
        {"pipeline_sources": ("merge_request_event",)},
        {"pipeline_source": "merge_request_event", "ref_path": "refs/merge-requests/7/head"},
    ),
    (
        "semaphore",
        {"ref_type": "pull-request"},
        {"ref_type": "pull-request", "ref": "refs/pull/7/head", "pr": "7"},
    ),
    ("semaphore", {"job_type": "debug_job"}, {"job_type": "debug_job"}),
    ("buildkite", {"branch": "friend:main"}, {"build_branch": "friend:main"}),
    ("azure-devops", {"ref": "refs/pull/*/merge"}, {"rpo_ref": "refs/pull/7/merge"}),
    ("circleci", {"vcs_ref": "refs/pull/*/head"}, {VCS_REF: "refs/pull/7/head"}),
    ("circleci", {"vcs_ref": "refs/heads/pull/*"}, {VCS_REF: "refs/heads/pull/7"}),
]


def plainest(name: str) -> TrustedPublisher:
    """Return the publisher with its required fields only."""
    required = {f.name: example(f) for f in PROVIDERS[name].fields if f.required}
    return publisher_of(name, **required)


def marked(name: str, marks: Mapping[str, Any]) -> dict[str, Any]:
    """Return the captured claims with these changed, and GitLab's file where its ref is."""
    claims = captured(name)
    for claim, value in marks.items():
        claims = changed(claims, claim, value)
    if "ref_path" in marks:
        file, _, _ = claims["ci_config_ref_uri"].partition("@")
        claims["ci_config_ref_uri"] = f"{file}@{claims['ref_path']}"
    return claims


@pytest.mark.parametrize(
    ("name", "marks"), [(name, marks) for name, each in MARKS.items() for marks in each]
)
def test_a_job_that_a_stranger_can_cause_publishes_nothing(
    name: str, marks: dict[str, Any]
) -> None:
    assert accepts(plainest(name), captured(name))
    assert not accepts(plainest(name), marked(name, marks))


@pytest.mark.parametrize(("name", "fields", "marks"), NAMED)
def test_a_publisher_may_name_the_jobs_that_a_stranger_can_cause(
    name: str, fields: dict[str, FieldValue], marks: dict[str, Any]
) -> None:
    publisher = plainest(name)
    naming = replace(publisher, fields={**publisher.fields, **fields})

    assert accepts(naming, marked(name, marks))


@pytest.mark.parametrize("source", GITLAB_SOURCES)
def test_a_gitlab_publisher_may_list_any_source(source: str) -> None:
    publisher = plainest("gitlab")
    listing = replace(publisher, fields={**publisher.fields, "pipeline_sources": (source,)})

    assert accepts(listing, {**captured("gitlab"), "pipeline_source": source})
    assert not accepts(listing, {**captured("gitlab"), "pipeline_source": "other"})


@pytest.mark.parametrize(
    ("name", "fields", "marks"),
    [
        ("gitlab", {"pipeline_sources": ("push",)}, {"ref_path": "refs/merge-requests/7/head"}),
        ("semaphore", {"ref_type": "tag"}, {"pr": "7"}),
        ("semaphore", {"ref_type": "tag"}, {"ref": "refs/pull/7/head"}),
        ("semaphore", {"ref": "refs/pull/*/head"}, {"ref": "refs/pull/7/head"}),
        ("buildkite", {"branch": "*main"}, {"build_branch": "stranger:main"}),
        ("azure-devops", {"ref": "refs/*/*/merge"}, {"rpo_ref": "refs/pull/7/merge"}),
        ("circleci", {"vcs_ref": "refs/*/*/head"}, {VCS_REF: "refs/pull/7/head"}),
        ("circleci", {"vcs_ref": "refs/heads/*/7"}, {VCS_REF: "refs/heads/pull/7"}),
    ],
)
def test_a_rule_that_does_not_name_such_jobs_lets_none_in(
    name: str, fields: dict[str, FieldValue], marks: dict[str, Any]
) -> None:
    publisher = plainest(name)

    narrowed = replace(publisher, fields={**publisher.fields, **fields})

    assert not accepts(narrowed, marked(name, marks))


@pytest.mark.parametrize(
    ("name", "marks"),
    [
        *(("gitlab", {"pipeline_source": source}) for source in (*GITLAB_TRUSTED, ABSENT, None)),
        *(("gitlab", {"ref_path": f"refs/heads/{name}"}) for name in ("main", "merge-requests/7")),
        ("gitlab", {"job_project_id": ABSENT}),
        ("gitlab", {"project_id": ABSENT}),
        *(("semaphore", {claim: ABSENT}) for claim in ("ref_type", "ref", "pr", "job_type")),
        ("semaphore", {"ref_type": "branch", "ref": "refs/heads/main"}),
        *(("azure-devops", {"rpo_ref": ref}) for ref in ("refs/heads/pull/7", "refs/heads/main")),
        ("azure-devops", {"rpo_ref": ABSENT}),
        *(("buildkite", {"build_branch": ref}) for ref in ("main", "a/b", "", ABSENT, None)),
        *(("circleci", {VCS_REF: ref}) for ref in ("refs/heads/pull/x", "refs/tags/pull/7", "")),
        ("circleci", {VCS_REF: ABSENT}),
    ],
)
def test_a_job_without_such_a_mark_publishes(name: str, marks: dict[str, Any]) -> None:
    assert accepts(plainest(name), marked(name, marks))


@pytest.mark.parametrize("project_id", ["21", "", 20, None, ["20"], "020"])
def test_a_gitlab_job_in_another_project_than_it_speaks_for_is_refused(project_id: Any) -> None:
    claims = {**captured("gitlab"), "job_project_id": project_id}

    assert accepts(plainest("gitlab"), claims) is (project_id is None)
    if project_id is not None:
        detail = refusal(strict("gitlab"), claims)
        assert "the job runs in another project than the one that its token names" in detail


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


@pytest.mark.parametrize(
    ("name", "field", "wrong"),
    [
        ("github", "events", ["pushes"]),
        ("github", "events", ["push", "pull-request"]),
        ("github", "events", ["workflow_call"]),
        ("forgejo", "events", ["Push"]),
        ("gitlab", "pipeline_sources", ["merge_request"]),
        ("buildkite", "build_sources", ["web"]),
        ("semaphore", "job_type", "pipeline"),
        ("semaphore", "ref_type", "pr"),
    ],
)
def test_an_event_that_does_not_exist_is_a_mistake(name: str, field: str, wrong: Any) -> None:
    document = tomllib.loads(blocks(name, "toml")[0])
    document["registries"][0]["publishers"][0][name][field] = wrong

    with pytest.raises(ConfigurationError, match=f"{name}.{field}"):
        config.parse(document, allow_loopback=False)


@pytest.mark.parametrize(
    "value",
    [
        "44444444-0000-4000-8000-000000000004",
        "x44444444-0000-4000-8000-000000000004y",
        ["44444444-0000-4000-8000-000000000004", 5],
        [["44444444-0000-4000-8000-000000000004"]],
        {"44444444-0000-4000-8000-000000000004": True},
        ["x44444444-0000-4000-8000-000000000004y"],
        ["44444444-0000-4000-8000", "000000000004"],
    ],
)
def test_a_context_is_a_member_of_a_list_of_texts(value: Any) -> None:
    claims = changed(captured("circleci"), "oidc.circleci.com/context-ids", value)

    assert not accepts(strict("circleci"), claims)


def test_any_of_the_contexts_is_enough() -> None:
    publisher = strict("circleci")
    contexts = ("99999999-0000-4000-8000-000000000009", *publisher.fields["context_ids"])
    several = replace(publisher, fields={**publisher.fields, "context_ids": contexts})
    claims = changed(
        captured("circleci"),
        "oidc.circleci.com/context-ids",
        ["88888888-0000-4000-8000-000000000008", publisher.fields["context_ids"][0]],
    )

    assert accepts(publisher, claims)
    assert accepts(several, claims)


@pytest.mark.parametrize(
    ("reusable", "called", "is_accepted"),
    [
        ("o/w/.github/workflows/p.yml", "o/w/.github/workflows/p.yml@refs/tags/v1", True),
        ("o/w/.github/workflows/p.yml", "o/w/.github/workflows/p.yml@refs/heads/main", True),
        ("o/w/.github/workflows/p.yml", "o/w/.github/workflows/p.yml@refs/heads/a/b@c", True),
        *(
            ("o/w/.github/workflows/p.yml", f"o/w/.github/workflows/p.yml@{point}", False)
            for point in (
                *("refs/pull/7/head", "refs/pull/7/merge", "refs/merge-queue/x", "refs/stash"),
                *(
                    "a" * 40,
                    "0" * 64,
                    "a" * 7,
                    "main",
                    "v1",
                    "heads/main",
                    "",
                    "refs/",
                    "refs/tags",
                ),
                *("refs/heads", "refs/heads/", "refs/tags/", "REFS/HEADS/main", "refs/Heads/main"),
                *("refs/remotes/origin/main", "xrefs/heads/main", " refs/heads/main", "refs//main"),
                *("refs/headsx/main", "refs/pull/heads/7", "@refs/heads/main", "refs/refs/heads/x"),
            )
        ),
        (
            f"o/w/.github/workflows/p.yml@{'a' * 40}",
            f"o/w/.github/workflows/p.yml@{'a' * 40}",
            True,
        ),
        (f"o/w/.github/workflows/p.yml@{'a' * 40}", "o/w/.github/workflows/p.yml@refs/tags/v1", 0),
        ("o/w/.github/workflows/p.yml@refs/tags/v1", "o/w/.github/workflows/p.yml@refs/tags/v1", 1),
        ("o/w/.github/workflows/p.yml@refs/tags/v1", "o/w/.github/workflows/p.yml@refs/tags/v2", 0),
        ("o/w/.github/workflows/p.yml", "o/w/.github/workflows/q.yml@refs/tags/v1", False),
        ("o/w/.github/workflows/p.yml", "x/w/.github/workflows/p.yml@refs/tags/v1", False),
        ("o/w/.github/workflows/p.yml", "o/w/.github/workflows/p.yml@e.yml@refs/tags/v1", False),
        ("o/w/.github/workflows/p.yml", "o/w/.github/workflows/p.yml", False),
        ("o/w/.github/workflows/p.yml", "O/W/.github/workflows/p.yml@refs/tags/v1", True),
        ("o/w/.github/workflows/p.yml", "o/w/.GitHub/workflows/p.yml@refs/tags/v1", False),
        ("o/w/.github/workflows/p.yml", "o/w/.github/workflows/P.yml@refs/tags/v1", False),
        ("o/w/.github/workflows/p.yml@refs/tags/v1", "o/w/.github/workflows/p.yml@refs/tags/V1", 0),
        (
            "o/w/.github/workflows/p.yml@refs/tags/p@1.0",
            "o/w/.github/workflows/p.yml@refs/tags/p@1.0",
            True,
        ),
        ("o/w/.github/workflows/p.yml", "\u212a/w/.github/workflows/p.yml@refs/tags/v1", False),
        ("o/w/.github/workflows/p.yml", "o", False),
    ],
)
def test_a_reusable_workflow_is_named_beside_its_caller(
    reusable: str, called: str, is_accepted: bool
) -> None:
    (publisher,) = documented("github").publishers
    fields = {**publisher.fields, "reusable_workflow": reusable}
    claims = {**captured("github"), "job_workflow_ref": called}
    other_caller = {**claims, "workflow_ref": claims["workflow_ref"].replace("release", "ci")}

    assert accepts(replace(publisher, fields=fields), claims) == is_accepted
    assert not accepts(replace(publisher, fields=fields), other_caller)
    assert not accepts(publisher, claims)


PLACES = ["repository", "repository_owner", "the repository in the workflow's"]


@pytest.mark.parametrize("name", ["github", "forgejo"])
@pytest.mark.parametrize("where", PLACES)
def test_an_owner_and_a_repository_are_the_same_in_any_case_wherever_they_are(
    name: str, where: str
) -> None:
    (publisher,) = documented(name).publishers
    claims = captured(name)
    claim = where
    if where not in claims:
        claim = "job_workflow_ref" if name == "github" else "workflow_ref"
    owner, *rest = claims[claim].split("/")
    head, tail = [owner, *rest][:2], rest[1:]

    assert accepts(publisher, {**claims, claim: "/".join([*(h.upper() for h in head), *tail])})


@pytest.mark.parametrize("part", ["workflows", "release", "refs/"])
@pytest.mark.parametrize("name", ["github", "forgejo"])
def test_the_rest_of_a_workflow_has_its_case(name: str, part: str) -> None:
    (publisher,) = documented(name).publishers
    claims = captured(name)
    claim = "job_workflow_ref" if name == "github" else "workflow_ref"
    assert part in claims[claim]

    other = claims[claim].replace(part, part.upper())

    assert not accepts(publisher, {**claims, claim: other})


@pytest.mark.parametrize("folder", [".forgejo", ".gitea", ".github"])
@pytest.mark.parametrize("point", ["ref", "sha"])
def test_forgejo_finds_workflows_in_three_folders(folder: str, point: str) -> None:
    claims = captured("forgejo")
    claims["workflow_ref"] = f"acme/widgets/{folder}/workflows/release.yml@{claims[point]}"

    assert accepts(strict("forgejo"), claims)
    claims["workflow_ref"] = claims["workflow_ref"].replace(folder, ".other")
    assert not accepts(strict("forgejo"), claims)


@pytest.mark.parametrize("point", ["ref_path", "sha"])
@pytest.mark.parametrize("spelling", ["group/sub/gadgets", "Group/SUB/gadgets"])
def test_a_gitlab_project_in_other_case_is_the_same(point: str, spelling: str) -> None:
    claims = captured("gitlab")
    claims["ci_config_ref_uri"] = f"gitlab.com/group/sub/gadgets//.gitlab-ci.yml@{claims[point]}"
    publisher = replace(
        strict("gitlab"), fields={**strict("gitlab").fields, "project_path": spelling}
    )

    assert accepts(publisher, claims)


@pytest.mark.parametrize(
    ("subject", "is_accepted"),
    [
        ("project_path:group/sub/gadgets", True),
        ("project_path:Group/Sub/gadgets:ref_type:tag:ref:v1.2.0", True),
        ("ref_type:tag:project_path:group/sub/gadgets:ref:v1.2.0", True),
        ("project_id:20:environment:release", True),
        ("namespace_path:group/sub:project_path:group/sub/gadgets", True),
        ("environment_protected:true", True),
        ("absent_claim::project_path:group/sub/gadgets", True),
        ("project_path:group/sub/gadgets-evil", False),
        ("project_path:evil/gadgets:ref_type:tag", False),
        ("project_path::ref_type:tag", False),
        ("project_path:", False),
        ("project_path", False),
        ("ref_type:branch:project_path:group/sub/gadgets", False),
        ("project_id:21", False),
        ("project_id:200", False),
        ("absent_claim:group/sub/gadgets", False),
        (":project_path:group/sub/gadgets", False),
        ("groups_direct:group", False),
        ("group/sub/gadgets", False),
    ],
)
def test_a_gitlab_subject_begins_with_a_claim_of_the_token(subject: str, is_accepted: bool) -> None:
    claims = {**captured("gitlab"), "sub": subject}

    assert accepts(strict("gitlab"), claims) is is_accepted


def test_letters_beyond_ascii_do_not_fold() -> None:
    claims = captured("github")
    kelvin = {**claims, "repository": "octo-org/wid\N{KELVIN SIGN}ets"}
    publisher = replace(
        strict("github"), fields={**strict("github").fields, "repository": "octo-org/widkets"}
    )

    assert not accepts(publisher, kelvin)


def test_a_publisher_without_any_rule_matches_nobody() -> None:
    publisher = publisher_of("generic")
    claims = captured("generic")

    assert compare(publisher, signed(claims)) == ()
    assert not accepts(publisher, claims)


def test_claims_of_any_publisher_reach_into_objects() -> None:
    publisher = replace(
        strict("google"), claims={"google>compute_engine>project_id": "acme", "azp": "1112*"}
    )

    assert accepts(publisher, captured("google"))
    assert not accepts(publisher, changed(captured("google"), "google", ["project_id", "acme"]))


@pytest.mark.parametrize("name", ["circleci", "azure-devops", "github", "gitlab"])
def test_who_holds_the_identity_and_its_ids_is_told_what_is_wrong(name: str) -> None:
    rule = PROVIDERS[name].fields_of(Role.RULE)[0]
    publisher = replace(strict(name), fields={**strict(name).fields, rule.name: "expected"})

    assert "`expected`" in refusal(publisher, captured(name))


PINS = [(name, f) for name, p in PROVIDERS.items() for f in p.fields_of(Role.PIN)]


@pytest.mark.parametrize(("name", "pin"), PINS, ids=[f"{n}-{f.name}" for n, f in PINS])
@pytest.mark.parametrize("is_pinned", [False, True], ids=["given", "pinned"])
def test_a_wrong_immutable_id_is_told_and_never_the_right_one(
    name: str, pin: Field, is_pinned: bool
) -> None:
    wrong = pin.example[:-1] + ("0" if pin.example[-1] != "0" else "1")
    if name == "bitbucket":
        wrong = pin.example.replace("5", "6", 1)
    ids = {f.name: f.example for f in PROVIDERS[name].fields_of(Role.PIN)} | {pin.name: wrong}
    publisher = replace(strict(name), fields={**strict(name).fields, **ids})
    if is_pinned:
        others = {k: v for k, v in publisher.fields.items() if k not in ids}
        publisher = replace(publisher, fields=others).with_pins(ids)

    with pytest.raises(ChangedIdentity) as caught:
        find_matching([publisher], signed(captured(name)), PROVIDERS[name])

    assert f"claim `{pin.claim}` is `{pin.example}`, which is not the id" in caught.value.detail
    assert wrong not in caught.value.detail
    assert f"expects `{wrong}`" in caught.value.operator_detail


@pytest.mark.parametrize("name", ["buildkite", "forgejo", "gitlab", "github"])
def test_an_id_that_a_token_lacks_is_missing_and_not_changed(name: str) -> None:
    (pin, *_) = (f for f in PROVIDERS[name].fields_of(Role.PIN) if f.claim != "repository_owner_id")

    claims = signed(changed(captured(name), pin.claim, ABSENT))

    with pytest.raises(InvalidPublisher) as caught:
        find_matching([strict(name)], claims, PROVIDERS[name])

    detail = caught.value.detail
    assert not isinstance(caught.value, ChangedIdentity)
    assert f"claim `{pin.claim}` is missing, and the publisher has an id for it" in detail
    assert "Let the job ask its CI for a token with this claim" in detail


def test_a_wrong_id_of_one_publisher_does_not_hide_the_rule_of_another() -> None:
    publisher = strict("github")
    other = {"repository_owner_id": "1111", "workflow": "other.yml"}
    stale = replace(publisher, fields={**publisher.fields, **other})
    claims = signed({**captured("github"), "environment": "staging"})

    with pytest.raises(InvalidPublisher) as caught:
        find_matching([stale, publisher], claims, PROVIDERS["github"])

    assert not isinstance(caught.value, ChangedIdentity)
    assert "expects `release`" in caught.value.detail
    assert "other.yml" not in caught.value.detail


def test_who_may_be_a_stranger_is_told_nothing() -> None:
    publisher = replace(strict("generic"), claims={"sub": "expected"})

    assert "expected" not in refusal(publisher, captured("generic"))


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
    with pytest.raises(InvalidToken, match=f"not within {hours} h"):
        check(hours * 3600 + 1)


# --- cases observed from PyPI's implementation ----------------------------------------------------

LEFT_OUT: dict[str, str] = json.loads((TESTS / "cases" / "left_out.json").read_text("utf-8"))
CASES: list[dict[str, Any]] = json.loads((TESTS / "cases" / "claims.json").read_text("utf-8"))


def cases(level: str) -> list[Any]:
    found = [c for c in CASES if c["level"] == level and c["id"] not in LEFT_OUT]
    return [pytest.param(case, id=case["id"]) for case in found]


def is_accepted(case: Mapping[str, Any]) -> bool:
    """Say what we expect: what was observed, or where we differ on purpose, what we want."""
    return bool(case.get("ours", case)["expect"] == "accept")


def adapt(case: Mapping[str, Any], theirs: Mapping[str, Any]) -> TrustedPublisher:
    """Return a publisher of the case in our words."""
    name = case["provider"]
    given = {**_fields[name](theirs), **_variant_fields(case)}
    fields = {name: value for name, value in given.items() if value}
    issuer = {
        "gitlab": theirs.get("issuer_url"),
        "semaphore": f"https://{theirs.get('organization')}.semaphoreci.com",
    }.get(name, PROVIDERS[name].issuer)
    issuer = case.get("ours", {}).get("issuer", issuer)
    provider = PROVIDERS[name]
    return TrustedPublisher(str(theirs), "acme", issuer or "", provider, ("widgets",), fields)


def _variant_fields(case: Mapping[str, Any]) -> dict[str, FieldValue]:
    # There the publisher trusts its caller with whatever it calls; ours names what may be called.
    called = case["claims"].get("job_workflow_ref") or "octo-org/widgets/.github/workflows/x.yml@"
    return {"reusable_workflow": called.partition("@")[0]} if "variant" in case else {}


_fields: dict[str, Any] = {
    "github": lambda p: {
        "repository": f"{p['repository_owner']}/{p['repository_name']}",
        "repository_owner_id": p["repository_owner_id"],
        "workflow": p["workflow_filename"],
        "environment": p["environment"],
    },
    "gitlab": lambda p: {
        "project_path": f"{p['namespace']}/{p['project']}",
        "workflow": p["workflow_filepath"],
        "environment": p["environment"],
    },
    "google": lambda p: {"email": p["email"], "sub": p["sub"]},
    "activestate": lambda p: {
        "organization": p["organization"],
        "project": p["activestate_project_name"],
        "actor_id": p["actor_id"],
    },
    "circleci": lambda p: {
        "organization_id": p["circleci_org_id"],
        "project_id": p["circleci_project_id"],
        "pipeline_definition_id": p["pipeline_definition_id"],
        "context_ids": tuple(filter(None, [p["context_id"]])),
        "vcs_ref": p["vcs_ref"],
        "vcs_origin": p["vcs_origin"],
    },
    "semaphore": lambda p: {
        "organization": p["organization"],
        "organization_id": p["semaphore_organization_id"],
        "project": p["project"],
        "project_id": p["semaphore_project_id"],
        "repository": p["repo_slug"],
    },
}


@pytest.mark.parametrize("case", cases("find_publisher"))
def test_claims_find_the_publisher_or_are_refused(case: dict[str, Any]) -> None:
    publisher = adapt(case, case["publisher"])
    others = [adapt(case, theirs) for theirs in case.get("other_publishers", ())]
    claims = signed(case["claims"])

    assert (publisher in accepted([*others, publisher], claims)) is is_accepted(case)


@pytest.mark.parametrize(
    "case", [c for c in cases("find_publisher") if "unless" in c.values[0].get("ours", {})]
)
def test_a_publisher_may_decide_otherwise(case: dict[str, Any]) -> None:
    publisher = adapt(case, case["publisher"])
    further = {
        name: value if isinstance(value, str) else tuple(value)
        for name, value in case["ours"]["unless"].items()
    }
    publisher = replace(publisher, fields={**publisher.fields, **further})

    assert accepts(publisher, case["claims"]) is not is_accepted(case)


@pytest.mark.parametrize(
    "case", [c for c in cases("find_publisher") if "pins" in c.values[0].get("ours", {})]
)
def test_an_id_is_pinned_instead(case: dict[str, Any]) -> None:
    publisher = adapt(case, case["publisher"])

    assert unpinned(publisher, signed(case["claims"])) == case["ours"]["pins"]


@pytest.mark.parametrize("case", cases("check"))
def test_one_rule_alone(case: dict[str, Any]) -> None:
    name, claims = case["check"], signed({"iss": "https://ci.example.com", **case["claims"]})
    expected = case["publisher"][name]
    if name == "sub":  # ours is built from the claims beside it; the comparison is the same
        outcome = is_led_by(fold(expected), fold(claims.text("sub") or ""))
    else:
        field = next(f for f in PROVIDERS[case["provider"]].fields if f.name == name)
        is_asked = expected or field.role is Role.IDENTITY
        texts = field.texts(claims, {})
        outcome = not is_asked or any(field.matches(expected, text, claims) for text in texts)

    assert outcome is is_accepted(case)


@pytest.mark.parametrize("case", cases("extract"))
def test_the_file_that_a_workflow_claim_may_mean(case: dict[str, Any]) -> None:
    """The file that was extracted there is one that a publisher can name here, and the others not.

    We extract nothing: the claim is compared with what the publisher's file would read like.
    """
    (uri,) = case["claims"].values()
    name = case["provider"]
    field = next(f for f in PROVIDERS[name].fields if f.name == "workflow")
    file_part = uri.partition("//" if name == "gitlab" else "/workflows/")[2]

    files = set()
    for at in re.finditer("@", file_part):
        file, point = file_part[: at.start()], file_part[at.end() :]
        claims = _workflow_claims(name, uri, point)
        repository = {"gitlab": "project_path", "github": "repository"}[name]
        publisher = replace(
            publisher_of(name),
            issuer=claims["iss"],
            fields={repository: "foo/bar", "workflow": file},
        )
        if re.fullmatch(field.pattern, file) and accepts(publisher, claims):
            files.add(file)

    assert (case["extracted"] in files) is is_accepted(case)
    assert is_accepted(case) or not files


def _workflow_claims(name: str, uri: str, point: str) -> dict[str, Any]:
    claims = captured(name)
    if name == "github":
        claims |= {"repository": "foo/bar", "repository_owner": "foo"}
        return claims | {"job_workflow_ref": uri, "ref": point}
    claims |= {"iss": f"https://{uri.partition('/')[0]}", "sub": "project_path:foo/bar"}
    return claims | {"project_path": "foo/bar", "ci_config_ref_uri": uri, "ref_path": point}


def test_every_case_runs_or_says_why_not() -> None:
    levels = {"find_publisher", "check", "extract"}
    run = {case.id for level in levels for case in cases(level)}
    every = {case["id"] for case in CASES}

    assert len(every) == len(CASES) == 370
    assert {case["level"] for case in CASES} == levels
    assert run | LEFT_OUT.keys() == every
    assert all(LEFT_OUT.values())


def test_what_we_do_better_says_what_that_is() -> None:
    assert all(case["ours"]["why"] for case in CASES if "surpass" in case or "ours" in case)


@pytest.mark.parametrize(
    ("name", "claim", "value"),
    [
        ("gitlab", "job_project_id", ["20"]),
        ("semaphore", "pr", 7),
        ("circleci", "oidc.circleci.com/context-ids", [5]),
    ],
)
def test_a_claim_of_a_wrong_type_is_not_said_to_be_missing(
    name: str, claim: str, value: object
) -> None:
    (publisher,) = documented(name).publishers
    publisher = replace(publisher, pins=unpinned(publisher, signed(captured(name))))

    detail = refusal(publisher, changed(captured(name), claim, value))

    assert f"claim `{claim}` is of a wrong type" in detail
