"""The public issuers that are built in: they need no entry in a configuration."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from pytp_broker.registries import Configuration, Issuer
from pytp_broker.trust.providers import PROVIDERS

BUILT_IN_ISSUERS: Final[Mapping[str, Issuer]] = {
    provider.issuer: Issuer(
        provider.issuer, provider.name, provider.algorithms, provider.jwks_hosts
    )
    for provider in PROVIDERS.values()
    if provider.issuer is not None
}


def with_built_in(written: Configuration) -> Configuration:
    """Return the configuration that is in force when an operator has written this one.

    What the operator writes about an issuer replaces what is built in, for example to switch it
    off.
    """
    return replace(written, issuers={**BUILT_IN_ISSUERS, **written.issuers})
