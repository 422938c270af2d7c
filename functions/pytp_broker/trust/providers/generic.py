"""Any other OpenID Connect issuer: a publisher states every rule in its ``claims``."""

from typing import Final

from pytp_broker.oidc.signed_claims import TokenForm
from pytp_broker.trust.providers.model import Provider

GENERIC: Final = Provider(
    name="generic",
    title="Any other OpenID Connect issuer",
    documentation_url="https://openid.net/specs/openid-connect-core-1_0.html#IDToken",
    fields=(),
    issuer_shape="any https URL",
    has_free_issuer=True,
    # Some libraries (golang-jwt) sign a list of one audience by default.
    token_form=TokenForm(may_list_audience=True),
    required_claims=("sub",),
    recorded={"actor": "sub"},
    blind_spot="The broker does not know which claim of this issuer marks a job that a stranger "
    "can cause. Name in `claims` one that excludes such jobs, such as a protected branch.",
)
