"""Any other OpenID Connect issuer: a publisher states all that it expects in its ``claims``."""

from typing import Final

from pytp_broker.oidc.identity import TokenForm
from pytp_broker.trust.providers.model import Provider

GENERIC: Final = Provider(
    name="generic",
    title="Any other OpenID Connect issuer",
    documentation_url="https://openid.net/specs/openid-connect-core-1_0.html#IDToken",
    fields=(),
    issuer_shape="any https URL",
    has_free_issuer=True,
    # Some libraries that sign write a list of one by default (golang-jwt).
    token_form=TokenForm(may_list_audience=True),
    required_claims=("sub",),
    recorded={"actor": "sub"},
    blind_spot="No claim is known to tell a job that a stranger can cause: ask in `claims` for one "
    "that does, such as a protected branch.",
)
