"""The file of the workflow that published, as the signed claims of the job name it."""

from typing import Final

from pytp_broker.provenance.receipts import Publication

# Where a forge looks for the files of its workflows.
_FOLDERS: Final = (".github/workflows/", ".forgejo/workflows/", ".gitea/workflows/")


def find_workflow_file(publication: Publication) -> str | None:
    """Return the file as publishers name it, such as `release.yml`; None if no claim tells.

    The claim joins the repository, the file and the ref. A file and a branch may have any of the
    characters between them in their names, so the claim is cut only by what other claims say.
    """
    workflow, repository, ref = (
        publication.claims.get(name, "") for name in ("workflow", "repository", "ref")
    )
    if not repository or not ref.startswith("refs/") or not workflow.endswith(f"@{ref}"):
        return None
    host = (publication.issuer or "").partition("://")[2]
    for begin in (f"{repository}/", f"{host}/{repository}//"):
        if workflow.startswith(begin):
            path = workflow[len(begin) : -len(ref) - 1]
            folder = next((each for each in _FOLDERS if path.startswith(each)), "")
            return path.removeprefix(folder)
    return None
