"""Check an issuer's URL, which must be written exactly as the provider signs it.

With one slash too many, or with a port that the provider does not sign, no token would match.
"""

import re
from typing import Final
from urllib.parse import urlsplit

from pytp_broker.trust.providers import PROVIDERS
from pytp_broker.trust.providers.model import IssuerForm, Provider

_HTTPS_PORT: Final = 443


def find_mistake(url: str, provider: Provider) -> str | None:
    """Return why no token of the provider can have this issuer, or None if a token can."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    form = _find_form(host, provider)
    if form is not None:
        return _find_difference(form, parts.path, parts.port, provider)
    owner = next((other for other in PROVIDERS.values() if _find_form(host, other)), None)
    if owner is not None and not provider.is_generic:
        return f'`{host}` is a host of {owner.title}; write `provider = "{owner.name}"`'
    if provider.has_free_issuer:
        return None
    if parts.path.endswith("/"):
        return f"an issuer of {provider.title} has no slash at the end; write `{url.rstrip('/')}`"
    if parts.port == _HTTPS_PORT:
        return f"an issuer of {provider.title} has no default port; leave `:443` out"
    return None


def _find_form(host: str, provider: Provider) -> IssuerForm | None:
    return next((form for form in provider.issuer_forms if re.fullmatch(form.host, host)), None)


def _find_difference(
    form: IssuerForm, path: str, port: int | None, provider: Provider
) -> str | None:
    if port is None and re.fullmatch(form.path, path) is not None:
        return None
    return f"an issuer of {provider.title} has the form {form.shape}"


def find_doubt(url: str, provider: Provider) -> str | None:
    """Return a remark on an unusual issuer on the operator's own host, or None."""
    is_usual = url.endswith(provider.usual_path)
    if is_usual or _find_form(urlsplit(url).hostname or "", provider) is not None:
        return None
    return (
        f"the issuer of {provider.title} on a host of your own is usually {provider.issuer_shape}"
    )
