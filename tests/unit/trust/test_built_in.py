"""Issuers that are built in, and what an operator writes about them."""

from dataclasses import replace

from pytp_broker.registries import Configuration, Issuer, Registry
from pytp_broker.trust.built_in import BUILT_IN_ISSUERS, with_built_in
from pytp_broker.trust.providers import PROVIDERS

GITHUB = "https://token.actions.githubusercontent.com"
OWN = Issuer("https://gitlab.example.com", "gitlab", ("RS256",))


def test_each_public_issuer_of_a_provider_is_built_in() -> None:
    public = {p.name: p.issuer for p in PROVIDERS.values() if p.issuer is not None}

    assert {issuer.provider: url for url, issuer in BUILT_IN_ISSUERS.items()} == public
    assert all(issuer.url == url and issuer.enabled for url, issuer in BUILT_IN_ISSUERS.items())


def test_what_is_built_in_is_known_beside_what_is_written() -> None:
    known = with_built_in(Configuration(issuers={OWN.url: OWN})).issuers

    assert known == {**BUILT_IN_ISSUERS, OWN.url: OWN}


def test_what_is_written_about_a_built_in_issuer_replaces_it() -> None:
    switched_off = replace(BUILT_IN_ISSUERS[GITHUB], enabled=False)
    written = Configuration(
        issuers={GITHUB: switched_off}, registries={"acme": Registry("acme", None)}
    )

    assert with_built_in(written).issuers[GITHUB] == switched_off
    assert not with_built_in(written).is_enabled("acme", GITHUB)
    assert with_built_in(written).is_enabled("acme", "https://gitlab.com")
