"""Tell the source of a file from what was recorded of the job that published it."""

from collections.abc import Mapping

from pytp_broker.provenance.continuity import Source


def find_source(
    issuer: str,
    claims: Mapping[str, str],
    *,
    publishers: str = "",
    ids: Mapping[str, str],
) -> Source:
    """Return the source of a file: its repository, or else an account, and its workflow.

    ``publishers`` are the ids of those that gave the right, for an issuer whose subject may have
    another text in each run: then they say whose job it is.
    """
    name = claims.get("repository") or claims.get("actor", "")
    if publishers:
        name = f"publisher {publishers}"
    return Source(issuer, name, _find_workflow(claims), tuple(sorted(ids.items())))


def _find_workflow(claims: Mapping[str, str]) -> str:
    """Return the workflow without the branch, tag or commit at which it ran."""
    workflow = claims.get("workflow", "")
    for point in (claims.get("ref"), claims.get("sha")):
        if point and workflow.endswith(f"@{point}"):
            return workflow.removesuffix(f"@{point}")
    return workflow.partition("@refs/")[0]
