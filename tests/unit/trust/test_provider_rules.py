"""Rules that only one provider has: workflow files, contexts, subjects and case."""

from dataclasses import replace
from typing import Any

import pytest

from tests.support.claims import captured
from tests.support.providers import accepts, changed, documented, strict


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
