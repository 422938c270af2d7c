"""AWS IAM roles: roles and users of an account, for which AWS STS signs tokens."""

from typing import Final

from pytp_broker.oidc.signed_claims import SignedClaims
from pytp_broker.trust.providers.model import (
    Field,
    IssuerForm,
    Provider,
    Role,
    WiderIdentity,
)

_SHAPE: Final = "https://ACCOUNT_UUID.tokens.sts.global.api.aws"
_STS: Final = "https://sts.amazonaws.com/"


def _is_account_of_arn(account: str, claims: SignedClaims) -> bool:
    return (claims.text("sub") or "").split(":")[4:5] == [account]


AWS: Final = Provider(
    name="aws",
    title="AWS IAM roles",
    documentation_url="https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_outbound_token_claims.html",
    fields=(
        Field(
            "role_arn",
            "sub",
            Role.IDENTITY,
            required=True,
            pattern=r"arn:aws[a-z-]{0,16}:iam::[0-9]{12}:(role|user)/[A-Za-z0-9_+=,.@/-]{1,576}",
            example="arn:aws:iam::123456789012:role/release",
        ),
        Field(
            "account_id",
            f"{_STS}>aws_account",
            Role.PIN,
            pattern=r"[0-9]{12}",
            example="123456789012",
        ),
        Field(
            "organization_id",
            f"{_STS}>org_id",
            pattern=r"o-[a-z0-9]{10,32}",
            example="o-abc1234567",
        ),
    ),
    issuer_shape=_SHAPE,
    issuer_forms=(IssuerForm(r".+\.tokens\.sts\.global\.api\.aws", "", _SHAPE),),
    algorithms=("ES384", "RS256"),
    required_claims=("jti", "sub", f"{_STS}>aws_account"),
    agreements={f"{_STS}>aws_account": _is_account_of_arn},
    recorded={"actor": "sub"},
    # Where the role is used, and tags of the role and of the request.
    unchecked_claims=(
        *(f"{_STS}>ec2_*", f"{_STS}>lambda_source_function_arn", f"{_STS}>ou_path"),
        *(f"{_STS}>principal_tags", f"{_STS}>request_tags", f"{_STS}>source_region"),
    ),
    # An account's number never gets another holder.
    wider=(
        WiderIdentity(
            (
                Field(
                    "account",
                    f"{_STS}>aws_account",
                    Role.IDENTITY,
                    pattern=r"[0-9]{12}",
                    example="123456789012",
                ),
            ),
            is_immutable=True,
        ),
    ),
    blind_spot="The claims name the role, not the job. Everything that assumes the role can "
    "publish, including a build of a stranger's change.",
)
