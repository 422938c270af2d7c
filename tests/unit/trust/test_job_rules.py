"""Jobs that a stranger can cause publish nothing, unless the publisher names them."""

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from pytp_broker import config
from pytp_broker.config import ConfigurationError
from pytp_broker.trust.providers import PROVIDERS
from pytp_broker.trust.providers.actions import EVENTS as GITHUB_EVENTS
from pytp_broker.trust.providers.gitlab import SOURCES as GITLAB_SOURCES
from pytp_broker.trust.providers.gitlab import TRUSTED_SOURCES as GITLAB_TRUSTED
from pytp_broker.trust.providers.model import FieldValue
from pytp_broker.trust.publishers import TrustedPublisher
from tests.support.claims import captured
from tests.support.providers import (
    accepts,
    blocks,
    changed,
    documented,
    example,
    publisher_of,
    refusal,
    strict,
)
from tests.support.signing import ABSENT

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


@pytest.mark.promise("strangers-jobs")
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
