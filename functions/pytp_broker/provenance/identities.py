"""Whom the certificate of an attestation must name, for each kind of publisher.

The library knows PyPI's kinds. Those of our own are of issuers inside a company, whose jobs get
their certificates from a Sigstore of the company.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from pypi_attestations import CircleCIPublisher, GitHubPublisher, GitLabPublisher, GooglePublisher
from sigstore.verify import policy
from sigstore.verify.policy import VerificationPolicy

from pytp_broker.provenance.judgement import Reason, UnverifiedError
from pytp_broker.provenance.publishers import OWN_KIND

_PUBLIC: Final[Mapping[object, Any]] = {
    "CircleCI": CircleCIPublisher,
    "GitHub": GitHubPublisher,
    "GitLab": GitLabPublisher,
    "Google": GooglePublisher,
}
# GitHub's issuers are `https://HOST/_services/token` and `https://token.actions.HOST/…`, but for
# the public one.
_GITHUB_PREFIX: Final = "token.actions."
_GITHUB_HOSTS: Final = {"githubusercontent.com": "github.com"}


def policy_of(publisher: Mapping[str, Any]) -> VerificationPolicy:
    """Return the policy for a publisher; raise UnverifiedError if no certificate can name it."""
    kind = publisher.get("kind")
    try:
        if kind in _OWN:
            return _own_policy(publisher, _OWN[kind])
        known = _PUBLIC[kind].model_validate(dict(publisher))
    except (KeyError, TypeError, ValueError):
        raise UnverifiedError(
            Reason.UNKNOWN_PUBLISHER,
            f"no certificate can name a publisher of the kind `{kind}` with these members",
        ) from None
    found: VerificationPolicy = known._as_policy()  # noqa: SLF001 - only `verify` uses it, online
    return found


def _own_policy(
    publisher: Mapping[str, Any], url_of: Callable[[str, str], str]
) -> VerificationPolicy:
    """Return a policy for the very job that published: its issuer, its workflow and its commit."""
    issuer, claims = publisher["issuer"], publisher["claims"]
    workflow, commit = claims["workflow"], claims["sha"]
    return policy.AllOf(
        [
            policy.OIDCIssuerV2(issuer),
            policy.OIDCBuildConfigURI(url_of(issuer, workflow)),
            policy.OIDCSourceRepositoryDigest(commit),
        ]
    )


def _github_url(issuer: str, workflow: str) -> str:
    host = urlsplit(issuer).netloc.removeprefix(_GITHUB_PREFIX)
    return f"https://{_GITHUB_HOSTS.get(host, host)}/{workflow}"


def _gitlab_url(_issuer: str, workflow: str) -> str:
    return f"https://{workflow}"


# How Fulcio writes the workflow of a job.
_OWN: Final[Mapping[object, Callable[[str, str], str]]] = {
    f"{OWN_KIND}github": _github_url,
    f"{OWN_KIND}gitlab": _gitlab_url,
}
