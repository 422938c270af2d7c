"""The publisher of a provenance object (PEP 740), from what a file's record says of its job.

PyPI has kinds for four public CI services, and its library verifies attestations for these alone. A
job of any other issuer, such as a GitLab of a company, has a kind of our own, so that no reader
takes it for a job of the public service.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

# What the kinds of our own begin with; the provider's name follows.
OWN_KIND: Final = "pytp:"
_OPERATOR: Final = "operator"
_UNKNOWN: Final = "ci"
# The signed claims that a publisher of our own kind shows, by our names for them.
_CLAIMS: Final = (
    *("repository", "project_id", "workflow", "environment", "ref", "sha", "run", "actor"),
)

_Recorded: TypeAlias = Mapping[str, str]
Publisher: TypeAlias = Mapping[str, Any]


def describe_publisher(published_by: _Recorded) -> Publisher:
    """Return the publisher of a file, with its ``kind``; an operator's name is not in it."""
    issuer = published_by.get("issuer")
    if issuer is None:
        return {"kind": OWN_KIND + _OPERATOR}
    describe = _PUBLIC.get(issuer)
    found = None if describe is None else describe(published_by)
    return found or _describe_own(issuer, published_by)


def _describe_own(issuer: str, published_by: _Recorded) -> Publisher:
    return {
        "kind": OWN_KIND + published_by.get("provider", _UNKNOWN),
        "issuer": issuer,
        "claims": {name: published_by[name] for name in _CLAIMS if name in published_by},
    }


def _describe_github(published_by: _Recorded) -> Publisher | None:
    repository = published_by.get("repository", "")
    file = _file_in(published_by, f"{repository}/.github/workflows/")
    if not repository or not file or "/" in file:
        return None
    environment = published_by.get("environment")
    return {
        "kind": "GitHub",
        "repository": repository,
        "workflow": file,
        "environment": environment or None,
    }


def _describe_gitlab(published_by: _Recorded) -> Publisher | None:
    repository = published_by.get("repository", "")
    file = _file_in(published_by, f"gitlab.com/{repository}//")
    if not repository or not file:
        return None
    environment = published_by.get("environment")
    return {
        "kind": "GitLab",
        "repository": repository,
        "workflow_filepath": file,
        "environment": environment or None,
    }


def _describe_google(published_by: _Recorded) -> Publisher | None:
    email = published_by.get("actor")
    return {"kind": "Google", "email": email} if email else None


def _describe_circleci(published_by: _Recorded) -> Publisher | None:
    project, pipeline = published_by.get("project_id"), published_by.get("workflow")
    if not project or not pipeline:
        return None
    return {"kind": "CircleCI", "project_id": project, "pipeline_definition_id": pipeline}


def _file_in(published_by: _Recorded, folder: str) -> str | None:
    """Return the file that a workflow's claim names, below a folder and at the job's own ref.

    A file may be called `x.yml@evil.yml`, so the text after the first `@` need not be the ref.
    """
    workflow = published_by.get("workflow", "")
    for point in filter(None, (published_by.get("ref"), published_by.get("sha"))):
        file = workflow.removesuffix(f"@{point}")
        if file != workflow and file.startswith(folder):
            return file.removeprefix(folder)
    return None


_PUBLIC: Final[Mapping[str, Callable[[_Recorded], Publisher | None]]] = {
    "https://token.actions.githubusercontent.com": _describe_github,
    "https://gitlab.com": _describe_gitlab,
    "https://accounts.google.com": _describe_google,
    "https://oidc.circleci.com": _describe_circleci,
}
