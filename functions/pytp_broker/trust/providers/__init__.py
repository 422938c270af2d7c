"""Which CI services do we know? A provider is a kind of CI service, and it is data.

A provider is not an issuer: an issuer is a URL that signs, and self-hosted GitLab is another issuer
of the same provider. Adding a provider is one file here with its place below, one captured claim
set in the tests and one page in the documentation; tests hold the three together.
"""

from collections.abc import Mapping
from typing import Final

from pytp_broker.registries import Issuer
from pytp_broker.trust.providers.activestate import ACTIVESTATE
from pytp_broker.trust.providers.aws import AWS
from pytp_broker.trust.providers.azure_devops import AZURE_DEVOPS
from pytp_broker.trust.providers.bitbucket import BITBUCKET
from pytp_broker.trust.providers.buildkite import BUILDKITE
from pytp_broker.trust.providers.circleci import CIRCLECI
from pytp_broker.trust.providers.forgejo import FORGEJO
from pytp_broker.trust.providers.generic import GENERIC
from pytp_broker.trust.providers.github import GITHUB
from pytp_broker.trust.providers.gitlab import GITLAB
from pytp_broker.trust.providers.google import GOOGLE
from pytp_broker.trust.providers.kubernetes import KUBERNETES
from pytp_broker.trust.providers.model import Provider
from pytp_broker.trust.providers.semaphore import SEMAPHORE

PROVIDERS: Final[Mapping[str, Provider]] = {
    provider.name: provider
    for provider in (
        GITHUB,
        GITLAB,
        GOOGLE,
        ACTIVESTATE,
        CIRCLECI,
        BUILDKITE,
        BITBUCKET,
        AZURE_DEVOPS,
        FORGEJO,
        SEMAPHORE,
        KUBERNETES,
        AWS,
        GENERIC,
    )
}


def provider_at(url: str, issuers: Mapping[str, Issuer]) -> Provider | None:
    """Return the provider of the issuer at a URL; None if we do not know one of them now."""
    issuer = issuers.get(url)
    return None if issuer is None else PROVIDERS.get(issuer.provider)
