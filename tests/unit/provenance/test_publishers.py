"""The publisher of a provenance object, from what a file's record says of its job."""

from collections.abc import Mapping
from typing import Any

import pytest
from pypi_attestations import AttestationBundle, GitHubPublisher, GitLabPublisher, GooglePublisher

from pytp_broker.provenance.publishers import describe_publisher
from tests.support.attesting import recorded

GITHUB = "https://token.actions.githubusercontent.com"


def test_a_job_of_github_has_pypis_kind() -> None:
    assert describe_publisher(recorded("github")) == {
        "kind": "GitHub",
        "repository": "octo-org/widgets",
        "workflow": "release.yml",
        "environment": "release",
    }


def test_a_job_without_an_environment_has_none() -> None:
    assert describe_publisher(recorded("github", environment=""))["environment"] is None


def test_a_job_of_gitlab_has_pypis_kind() -> None:
    assert describe_publisher(recorded("gitlab")) == {
        "kind": "GitLab",
        "repository": "group/sub/gadgets",
        "workflow_filepath": ".gitlab-ci.yml",
        "environment": "release",
    }


def test_a_service_account_of_google_has_pypis_kind() -> None:
    assert describe_publisher(recorded("google")) == {
        "kind": "Google",
        "email": "publisher@acme.iam.gserviceaccount.com",
    }


def test_a_job_of_circleci_has_pypis_kind() -> None:
    assert describe_publisher(recorded("circleci")) == {
        "kind": "CircleCI",
        "project_id": "22222222-0000-4000-8000-000000000002",
        "pipeline_definition_id": "33333333-0000-4000-8000-000000000003",
    }


@pytest.mark.parametrize(
    ("provider", "model"),
    [("github", GitHubPublisher), ("gitlab", GitLabPublisher), ("google", GooglePublisher)],
)
def test_pypis_library_reads_these_kinds(provider: str, model: type) -> None:
    described = describe_publisher(recorded(provider))

    bundle = AttestationBundle.model_validate({"publisher": described, "attestations": []})

    assert isinstance(bundle.publisher, model)


@pytest.mark.parametrize(
    ("file", "ref", "sha"),
    [
        ("x.yml@evil.yml", "refs/heads/main", "f00d"),
        ("release.yml", "", "f00d"),
    ],
)
def test_the_workflow_is_the_file_before_the_jobs_own_ref(file: str, ref: str, sha: str) -> None:
    workflow = f"octo-org/widgets/.github/workflows/{file}@{ref or sha}"
    described = describe_publisher(recorded("github", workflow=workflow, ref=ref, sha=sha))

    assert described["workflow"] == file


OWN = {
    "a server of the company": {"issuer": "https://gitlab.example.com"},
    "an enterprise": {"issuer": f"{GITHUB}/octo-enterprise"},
}


@pytest.mark.parametrize("changes", OWN.values(), ids=OWN)
def test_a_job_of_another_issuer_never_has_pypis_kind(changes: Mapping[str, str]) -> None:
    described = describe_publisher(recorded("github", **changes))

    assert described["kind"] == "pytp:github"
    assert described["issuer"] == changes["issuer"]
    assert described["claims"]["repository"] == "octo-org/widgets"


@pytest.mark.parametrize(
    ("provider", "changes"),
    [
        ("github", {"workflow": ""}),
        ("github", {"workflow": "other/repo/.github/workflows/x.yml@refs/tags/v1.2.0"}),
        ("github", {"workflow": "octo-org/widgets/.github/workflows/a/b.yml@refs/tags/v1.2.0"}),
        ("github", {"workflow": "octo-org/widgets/.github/workflows/x.yml@refs/tags/v1.3"}),
        ("github", {"workflow": "octo-org/widgets/.github/workflows/@refs/tags/v1.2.0"}),
        ("github", {"repository": ""}),
        ("gitlab", {"workflow": "gitlab.com/group/other//.gitlab-ci.yml@refs/tags/v1.2.0"}),
        ("gitlab", {"repository": ""}),
        ("google", {"actor": ""}),
        ("circleci", {"project_id": ""}),
        ("circleci", {"project_id": "22", "workflow": ""}),
    ],
)
def test_a_record_that_says_too_little_has_a_kind_of_our_own(
    provider: str, changes: dict[str, str]
) -> None:
    assert describe_publisher(recorded(provider, **changes))["kind"] == f"pytp:{provider}"


def test_a_record_without_a_provider_says_that_it_is_a_ci() -> None:
    assert describe_publisher({"issuer": "https://ci.example.com"})["kind"] == "pytp:ci"


@pytest.mark.parametrize("by", [{"operator": "user olive"}, {"imported_by": "user olive"}])
def test_an_operator_is_not_named(by: dict[str, str]) -> None:
    described: Mapping[str, Any] = describe_publisher(by)

    assert described == {"kind": "pytp:operator"}
