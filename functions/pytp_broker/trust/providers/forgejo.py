"""Forgejo Actions: on Codeberg, and on other instances of Forgejo."""

from typing import Final

from pytp_broker.oidc.signed_claims import SignedClaims
from pytp_broker.trust.providers.actions import (
    EVENT_RULE,
    events_field,
    id_fields,
    is_owner_of_repository,
    owner_identity,
    repository_field,
    workflow_field,
)
from pytp_broker.trust.providers.fields import switch_field
from pytp_broker.trust.providers.model import IssuerForm, Provider
from pytp_broker.trust.providers.refs import ref_field, ref_type_field

_OWNER: Final = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}"
_REPOSITORY: Final = rf"{_OWNER}/[A-Za-z0-9._-]{{1,100}}"


def _workflow_refs(file: str, claims: SignedClaims) -> tuple[str, ...]:
    # Forgejo looks for workflows in these folders.
    repository = claims.text("repository")
    return tuple(
        f"{repository}/{folder}/workflows/{file}@{point}"
        for folder in (".forgejo", ".gitea", ".github")
        for point in (claims.text("ref"), claims.text("sha"))
        if point
    )


FORGEJO: Final = Provider(
    name="forgejo",
    title="Forgejo Actions (Codeberg)",
    documentation_url="https://forgejo.org/docs/latest/user/actions/security-openid-connect/",
    fields=(
        repository_field(_REPOSITORY, example="acme/widgets"),
        # Only newer versions sign these, and Forgejo's page on claims does not list them yet.
        *id_fields("1234", "5678"),
        workflow_field("workflow_ref", _workflow_refs),
        ref_field(),
        ref_type_field(),
        switch_field("ref_protected"),
        events_field(),
    ),
    issuer="https://codeberg.org/api/actions",
    issuer_shape="https://HOST/api/actions",
    issuer_forms=(IssuerForm.exactly("codeberg.org", "/api/actions"),),
    usual_path="/api/actions",
    required_claims=(
        "sub",
        "repository",
        "repository_owner",
        "workflow_ref",
        "event_name",
        "ref",
        "sha",
    ),
    agreements={"repository_owner": is_owner_of_repository},
    recorded={
        "repository": "repository",
        "run": "run_id",
        "sha": "sha",
        "ref": "ref",
        "workflow": "workflow_ref",
        "actor": "actor",
    },
    common_claims=("ref", "base_ref", "head_ref", "ref_type", "ref_protected", "event_name"),
    unchecked_claims=(
        *("actor_id", "base_ref", "head_ref", "run_attempt", "run_number", "workflow"),
    ),
    jobs=(EVENT_RULE,),
    wider=(owner_identity(_OWNER, "acme", "1234"),),
)
