"""Kubernetes service accounts: pods of a cluster whose keys the broker can fetch."""

from typing import Final

from pytp_broker.oidc.signed_claims import SignedClaims, TokenForm
from pytp_broker.trust.providers.fields import ID
from pytp_broker.trust.providers.model import (
    Field,
    IssuerForm,
    Provider,
    Role,
    WiderIdentity,
)

_EKS_SHAPE: Final = "https://oidc.eks.REGION.amazonaws.com/id/CLUSTER_ID"


def _is_subject(subject: str, claims: SignedClaims) -> bool:
    namespace = claims.text("kubernetes.io>namespace")
    name = claims.text("kubernetes.io>serviceaccount>name")
    return subject == f"system:serviceaccount:{namespace}:{name}"


_NAMESPACE: Final = Field(
    "namespace",
    "kubernetes.io>namespace",
    Role.IDENTITY,
    required=True,
    pattern=r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?",
    example="ci",
)

KUBERNETES: Final = Provider(
    name="kubernetes",
    title="Kubernetes service accounts",
    documentation_url="https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/",
    fields=(
        _NAMESPACE,
        Field(
            "service_account",
            "kubernetes.io>serviceaccount>name",
            Role.IDENTITY,
            required=True,
            pattern=r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?",
            example="release",
        ),
        Field(
            "service_account_uid",
            "kubernetes.io>serviceaccount>uid",
            Role.PIN,
            pattern=ID,
            example="14ee3fa4-0000-4000-8000-000000000001",
        ),
    ),
    issuer_shape=_EKS_SHAPE,
    # EKS, AKS and GKE. The operator of another cluster chooses the whole URL.
    issuer_forms=(
        IssuerForm(r"oidc\.eks\..+", r"/id/[A-Za-z0-9]+", _EKS_SHAPE),
        IssuerForm(
            r".+\.oic\.prod-aks\.azure\.com",
            r"/[^/]+/[^/]+/",
            "https://REGION.oic.prod-aks.azure.com/TENANT_ID/CLUSTER_ID/ with the last slash",
        ),
        IssuerForm(
            r"container\.googleapis\.com",
            r"/v1/projects/[^/]+/locations/[^/]+/clusters/[^/]+",
            "https://container.googleapis.com/v1/projects/PROJECT/locations/PLACE/clusters/NAME",
        ),
    ),
    has_free_issuer=True,
    token_form=TokenForm(may_list_audience=True),
    required_claims=(
        "sub",
        "kubernetes.io>namespace",
        "kubernetes.io>serviceaccount>name",
        "kubernetes.io>serviceaccount>uid",
    ),
    agreements={"sub": _is_subject},
    recorded={"run": "kubernetes.io>pod>name", "actor": "sub"},
    unchecked_claims=(
        *("kubernetes.io>node", "kubernetes.io>pod>uid"),
        *("kubernetes.io>secret", "kubernetes.io>warnafter"),
    ),
    # No claim has an immutable id of the namespace.
    wider=(WiderIdentity((_NAMESPACE,)),),
    blind_spot="The claims name the service account, not what the pod does. Never run a stranger's "
    "change under an account that may publish.",
)
