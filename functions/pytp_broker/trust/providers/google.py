"""Google Cloud: whatever runs as a service account, such as Cloud Build."""

from typing import Final

from pytp_broker.trust.providers.fields import DIGITS
from pytp_broker.trust.providers.model import Field, IssuerForm, Provider, Role

GOOGLE: Final = Provider(
    name="google",
    title="Google Cloud",
    documentation_url="https://cloud.google.com/docs/authentication/get-id-token",
    fields=(
        # The comparison is exact: Google signs the address as it was created, and PyPI compares it
        # exactly.
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
    # No `jti`: the hash of the token stands in for it against replay.
    required_claims=("email",),
    constants={"email_verified": True},
    recorded={"actor": "email"},
    # https://developers.google.com/identity/openid-connect/openid-connect#an-id-tokens-payload;
    # `google` describes the machine.
    unchecked_claims=(
        *("at_hash", "azp", "family_name", "given_name", "google", "hd", "locale", "name"),
        *("nonce", "picture", "profile"),
    ),
    blind_spot="The claims name the account and not the job: whatever runs as the account "
    "publishes, also a build of a stranger's change.",
)
