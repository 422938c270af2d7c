"""Check an issuer's URL, which must be written exactly as the provider signs it.

With one slash too many, or with a port that the provider does not sign, no token would match.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from pytp_broker.trust.providers import PROVIDERS, Provider

# The operator of one of these chooses the whole URL.
_FREE: Final = frozenset({"generic", "kubernetes"})
_HTTPS_PORT: Final = 443


@dataclass(frozen=True, slots=True)
class _Form:
    """The path of an issuer on the hosts of a service; ``shape`` shows it."""

    host: str
    path: str
    shape: str


def _own(host: str, path: str = "") -> _Form:
    return _Form(re.escape(host), re.escape(path), f"https://{host}{path}")


def _never(host: str, shape: str) -> _Form:
    return _Form(re.escape(host), "(?!)", shape)


_GITHUB: Final = "https://token.actions.githubusercontent.com"
_GHE: Final = "https://token.actions.SUBDOMAIN.ghe.com"
_AZURE: Final = "https://vstoken.dev.azure.com/ORGANIZATION_ID"
_BITBUCKET: Final = (
    "https://api.bitbucket.org/2.0/workspaces/WORKSPACE/pipelines-config/identity/oidc"
)
_SEMAPHORE: Final = "https://ORGANIZATION.semaphoreci.com"
_FORMS: Final[Mapping[str, tuple[_Form, ...]]] = {
    "github": (
        _Form(
            r"token\.actions\.githubusercontent\.com",
            r"(/[A-Za-z0-9_-]+)?",
            f"{_GITHUB} or {_GITHUB}/ENTERPRISE",
        ),
        _Form(r"token\.actions\.[^.]+\.ghe\.com", "", _GHE),
        _Form(r"(.+\.)?ghe\.com", "(?!)", _GHE),
        _never("github.com", _GITHUB),
        _never("api.github.com", _GITHUB),
    ),
    "gitlab": (_own("gitlab.com"),),
    "google": (_own("accounts.google.com"),),
    "activestate": (_own("platform.activestate.com", "/api/v1/oauth/oidc"),),
    "circleci": (
        _Form(
            r"oidc\.circleci\.com",
            r"(/org/[^/]+)?",
            "https://oidc.circleci.com or https://oidc.circleci.com/org/ORGANIZATION_ID",
        ),
        _never("circleci.com", "https://oidc.circleci.com"),
    ),
    "buildkite": (
        _own("agent.buildkite.com"),
        _never("buildkite.com", "https://agent.buildkite.com"),
    ),
    "bitbucket": (
        _Form(
            r"api\.bitbucket\.org",
            r"/2\.0/workspaces/[^/]+/pipelines-config/identity/oidc",
            _BITBUCKET,
        ),
        _never("bitbucket.org", _BITBUCKET),
    ),
    "azure-devops": (
        _Form(r"vstoken\.dev\.azure\.com", r"/[^/]+", _AZURE),
        _never("dev.azure.com", _AZURE),
    ),
    "forgejo": (_own("codeberg.org", "/api/actions"),),
    "semaphore": (
        _Form(r".+\.semaphoreci\.com", "", _SEMAPHORE),
        _never("semaphoreci.com", _SEMAPHORE),
    ),
    "kubernetes": (
        _Form(
            r"oidc\.eks\..+",
            r"/id/[A-Za-z0-9]+",
            "https://oidc.eks.REGION.amazonaws.com/id/CLUSTER_ID",
        ),
        _Form(
            r".+\.oic\.prod-aks\.azure\.com",
            r"/[^/]+/[^/]+/",
            "https://REGION.oic.prod-aks.azure.com/TENANT_ID/CLUSTER_ID/ with the last slash",
        ),
        _Form(
            r"container\.googleapis\.com",
            r"/v1/projects/[^/]+/locations/[^/]+/clusters/[^/]+",
            "https://container.googleapis.com/v1/projects/PROJECT/locations/PLACE/clusters/NAME",
        ),
    ),
    "aws": (
        _Form(
            r".+\.tokens\.sts\.global\.api\.aws",
            "",
            "https://ACCOUNT_UUID.tokens.sts.global.api.aws",
        ),
    ),
}


def find_mistake(url: str, provider: Provider) -> str | None:
    """Return why no token of the provider can have this issuer, or None if a token can."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    form = _find_form(host, provider)
    if form is not None:
        return _find_difference(form, parts.path, parts.port, provider)
    owner = next((other for other in PROVIDERS.values() if _find_form(host, other)), None)
    if owner is not None and provider.name != "generic":
        return f'`{host}` is a host of {owner.title}; write `provider = "{owner.name}"`'
    if provider.name in _FREE:
        return None
    if parts.path.endswith("/"):
        return f"an issuer of {provider.title} has no slash at the end; write `{url.rstrip('/')}`"
    if parts.port == _HTTPS_PORT:
        return f"an issuer of {provider.title} has no default port; leave `:443` out"
    return None


def _find_form(host: str, provider: Provider) -> _Form | None:
    forms = _FORMS.get(provider.name, ())
    return next((form for form in forms if re.fullmatch(form.host, host)), None)


def _find_difference(form: _Form, path: str, port: int | None, provider: Provider) -> str | None:
    if port is None and re.fullmatch(form.path, path) is not None:
        return None
    return f"an issuer of {provider.title} has the form {form.shape}"


def find_doubt(url: str, provider: Provider) -> str | None:
    """Return what is unusual about an issuer on the operator's own host."""
    shape = provider.issuer_shape or ""
    usual = {"github": "/_services/token", "forgejo": "/api/actions"}.get(provider.name, "")
    if _find_form(urlsplit(url).hostname or "", provider) is not None or url.endswith(usual):
        return None
    return f"the issuer of {provider.title} on a host of your own is usually {shape}"
