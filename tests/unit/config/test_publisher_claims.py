"""Rules for claims: a publisher needs some, and one of them must say whose job it is."""

import tomllib

import pytest

from pytp_broker import config
from tests.support.configurations import generic_registry, github_publisher, mistakes, registry
from tests.support.signing import GITHUB

PLACE = "registries[1].publishers[1].generic.claims"
GENERIC = """
[[issuers]]
url = "https://ci.example.com"
provider = "generic"
[[registries]]
name = "acme"
[[registries.publishers]]
projects = ["gizmos"]
[registries.publishers.generic]
claims = {}
"""


@pytest.mark.parametrize(
    "claims",
    [
        '{ sub = "project:gizmos:release", protected = "true" }',
        '{ sub = "project:gizmos", ref = "refs/tags/v*" }',
        '{ sub = "x", workflow_ref = "o/w/.github/workflows/x.yml@refs/tags/v*" }',
        '{ sub = "x", scm_ref = "release-*", branch_name = "v*", "a>tagName" = "v*" }',
        '{ sub = "x", branchName = "v*", ref_path = "refs/tags/v*", "x/vcs-ref" = "v*" }',
        '{ "kubernetes.io>namespace" = "release", sub = "system:*:x" }',
        '{ project_name = "gizmos" }',
        '{ role_name = "release" }',
        '{ name = "gizmos" }',
    ],
)
def test_a_generic_publisher_is_known_by_its_claims(claims: str) -> None:
    text = GENERIC.replace("{}", claims)

    (publisher,) = config.parse(tomllib.loads(text), allow_loopback=False).publishers

    assert publisher.fields == {}
    assert dict(publisher.claims) == tomllib.loads(f"claims = {claims}")["claims"]


@pytest.mark.parametrize(
    "claims",
    [
        '{ sub = ["x"] }',
        "{ sub = 5 }",
        '{ sub = "project:*" }',
        '{ sub = "repo:my-org*", id = "5" }',
        '{ sub = "repo:org/repo*:x", id = "5" }',
        '{ protected = "true" }',
        '{ protected = "True" }',
        '{ ref = "refs/heads/main" }',
        '{ ref_type = "tag", event_name = "push", environment = "release" }',
        '{ sub = "x", job_workflow_ref = "my-org*/w/.github/workflows/x.yml@refs/heads/main" }',
        '{ sub = "x", ci_config_ref_uri = "gitlab.example.com/my-org*/x//y.yml@refs/heads/main" }',
        '{ sub = "x", " sub" = "y" }',
        '{ branch_name = "main" }',
        '{ "build>stageName" = "publish", step_name = "twine" }',
        '{ env_name = "release", workflow_name = "Release" }',
        '{ acr = "1", locale = "de" }',
        '{ fork = "no", trusted = "Yes" }',
        '{ iss = "https://ci.example.com" }',
        '{ "" = "x" }',
        '{ "a b" = "x", sub = "y" }',
        '{ sub = "a\\nb" }',
        '{ sub = "a)|(.*", id = "*" }',
    ],
)
def test_a_generic_publisher_without_a_claim_that_identifies_is_refused(claims: str) -> None:
    (line, *_) = mistakes(GENERIC.replace("{}", claims))

    assert line.startswith(PLACE)


@pytest.mark.row("A067")
@pytest.mark.parametrize("rule", ["*", "", "**", "?*", "*/*", "*:*", "/", " "])
def test_a_rule_that_everybody_matches_is_refused(rule: str) -> None:
    for claims in (f'sub = "{rule}"', f'sub = "x", other = "{rule}"'):
        (line, *_) = mistakes(generic_registry(claims))
        assert line.startswith(PLACE)


@pytest.mark.row("A072")
def test_a_publisher_without_rules_or_with_unknown_ones_is_refused() -> None:
    publisher = github_publisher("widgets")
    head, table, fields = publisher.partition("[registries.publishers.github]\n")
    texts = {
        generic_registry(""): "generic.claims",
        registry("acme", head): "publishers[1]: needs exactly one provider's table",
        registry("acme", head, table, 'workflow = "release.yml"'): "github.repository: missing",
        registry("acme", head, table, fields, '"environment " = "release"'): "`environment `",
        '[[issuers]]\n"issuer_pattern " = "x"\n': "`issuer_pattern `",
    }

    for text, said in texts.items():
        assert said in "\n".join(mistakes(text))


@pytest.mark.row("A082")
def test_a_rule_for_a_whole_ci_system_is_refused() -> None:
    for claims in (f'iss = "{GITHUB}"', 'aud = "acme"', 'iss = "x", aud = "acme", typ = "JWT"'):
        (line,) = mistakes(generic_registry(claims))
        assert "needs a claim without `*` that says whose job it is" in line

    # An issuer with many tenants needs the provider that has ids for tenants.
    shared = generic_registry('sub = "x"').replace("https://ci.example.com", GITHUB)
    assert f"`{GITHUB}` is `github`'s" in "\n".join(mistakes(shared))


def test_two_rules_for_one_claim_are_refused() -> None:
    claims = '{ sub = "project:gizmos", ref = "refs/heads/main" }'
    text = GENERIC.replace("{}", claims).replace(
        '["gizmos"]', '["gizmos"]\nclaims = { ref = "refs/tags/v1" }'
    )

    (line,) = mistakes(text)

    assert line == (
        "registries[1].publishers[1]: `claims` has two rules for `ref`; one would not count "
        "(publisher 1 of registry `acme`: gizmos)"
    )
