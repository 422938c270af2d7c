"""Google Cloud: everything that runs as a service account, such as a build of Cloud Build."""

from typing import Final

from pytp_broker.trust.comparisons import is_same_ignoring_case
from pytp_broker.trust.providers.fields import DIGITS
from pytp_broker.trust.providers.model import (
    Field,
    IssuerForm,
    Provider,
    Role,
    WiderIdentity,
)

GOOGLE: Final = Provider(
    name="google",
    title="Google Cloud",
    documentation_url="https://cloud.google.com/docs/authentication/get-id-token",
    fields=(
        # Case matters, as at PyPI: Google signs the address as it was created.
        Field(
            "email",
            "email",
            Role.IDENTITY,
            required=True,
            pattern=r"[^\x00-\x20\x7f@]{1,64}@[A-Za-z0-9.-]{1,190}",
            example="publisher@acme.iam.gserviceaccount.com",
        ),
        Field("sub", "sub", Role.PIN, pattern=DIGITS, example="111260650121185072906"),
    ),
    issuer="https://accounts.google.com",
    issuer_forms=(IssuerForm.exactly("accounts.google.com"),),
    jwks_hosts=("www.googleapis.com",),
    # Google signs no `jti`, so ``oidc.identity`` uses the hash of the token instead.
    required_claims=("email",),
    constants={"email_verified": True},
    recorded={"actor": "email"},
    # https://developers.google.com/identity/openid-connect/openid-connect#an-id-tokens-payload;
    # `google` describes the machine.
    unchecked_claims=(
        *("at_hash", "azp", "family_name", "given_name", "google", "locale", "name"),
        *("nonce", "picture", "profile"),
    ),
    # Google signs the domain of a Workspace for accounts of people, and for no service account.
    wider=(
        WiderIdentity(
            (
                Field(
                    "domain",
                    "hd",
                    Role.IDENTITY,
                    compare=is_same_ignoring_case,
                    pattern=r"(?=.{4,190}\Z)[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+",
                    example="acme.example.com",
                ),
            ),
        ),
    ),
    blind_spot="The claims name the account, not the job. Everything that runs as the account can "
    "publish, including a build of a stranger's change.",
)
