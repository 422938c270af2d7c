"""Discovery documents, through the exchange: where the broker may find the keys of an issuer."""

import json
from typing import Any

import pytest

from tests.support.configurations import github_issuer, github_publisher, registry
from tests.support.markers import of_row
from tests.support.signing import GITHUB, public_jwk, rsa_key
from tests.support.world import World, assert_refused


@pytest.mark.promise("configured-hosts")
@pytest.mark.parametrize(
    "issuer",
    [
        *of_row(
            "A039",
            {"issuer": "https://evil.example"},
            {"issuer": f"{GITHUB}/"},
            {"issuer": None},
            {"issuer": [GITHUB]},
        ),
        {},
    ],
)
def test_a_discovery_document_of_another_issuer_is_not_followed(
    world: World, issuer: dict[str, Any]
) -> None:
    # A caller is told as of every key set that cannot be fetched; the operator is told why.
    document = {**issuer, "jwks_uri": world.issuer.jwks_url}
    world.issuer.documents[world.issuer.discovery_url] = json.dumps(document).encode()

    assert_refused(world, world.token(), "issuer-unavailable")

    assert world.issuer.fetched == [world.issuer.discovery_url]
    (alarm,) = world.alarms()
    assert alarm.facts["detail"] == "the discovery document names another issuer"


@pytest.mark.promise("configured-hosts")
@pytest.mark.parametrize(
    "discovery",
    [
        *of_row(
            "A058",
            {"issuer": "{url}", "jwks_uri": "https://keys.example.com/jwks"},
            {"issuer": "{url}", "jwks_uri": "http://token.actions.githubusercontent.com/jwks"},
            {"issuer": "{url}", "jwks_uri": "file:///etc/passwd"},
            {"issuer": "{url}", "jwks_uri": "https://a:b@token.actions.githubusercontent.com/jwks"},
            {"issuer": "{url}", "jwks_uri": "https://169.254.169.254/jwks"},
            {"issuer": "{url}", "jwks_uri": "{url}:8443/jwks"},
            {"issuer": "{url}", "jwks_uri": "{url}.evil.example/jwks"},
        ),
        {"issuer": "{url}"},
        {"issuer": "{url}", "jwks_uri": 5},
        {"issuer": "{url}", "jwks_uri": "https://x@token.actions.githubusercontent.com/jwks"},
        {"issuer": "{url}", "jwks_uri": "https://token.actions.githubusercontent.com\n.evil/jwks"},
        {"issuer": "{url}", "jwks_uri": "https://[::1/jwks"},
        {"issuer": "{url}", "jwks_uri": " {url}/.well-known/jwks"},
        {"issuer": "{url}", "jwks_uri": "{url}/.well-known/jwks#@evil.example/"},
        {"issuer": "{url}", "jwks_uri": "{url}:6443/.well-known/jwks"},
        {"issuer": "{url}", "jwks_uri": "https://me@token.actions.githubusercontent.com/jwks"},
        {"issuer": "{url}", "jwks_uri": "{url}:0/.well-known/jwks"},
        {"issuer": "{url}", "jwks_uri": "https://to\u212aen.actions.githubusercontent.com/jwks"},
        {"issuer": "{url}", "jwks_uri": "//token.actions.githubusercontent.com/jwks"},
    ],
)
def test_a_discovery_document_that_leads_elsewhere_is_not_followed(
    world: World, discovery: dict[str, Any]
) -> None:
    text = json.dumps(discovery).replace("{url}", world.issuer.url)
    world.issuer.documents[world.issuer.discovery_url] = text.encode()

    assert_refused(world, world.token(), "issuer-unavailable")
    assert world.issuer.fetched == [world.issuer.discovery_url]


@pytest.mark.parametrize(
    ("host", "jwks_url"),
    [
        ("keys.example.com", "https://keys.example.com/jwks"),
        ("keys.example.com", "https://KEYS.example.com:443/jwks"),
        ("keys.example.com:443", "https://keys.example.com/jwks"),
        ("keys.example.com:6443", "https://keys.example.com:6443/openid/v1/jwks"),
        ("keys.example.com", "https://token.actions.githubusercontent.com:443/jwks"),
    ],
)
def test_a_jwks_uri_on_a_configured_host_is_followed(host: str, jwks_url: str) -> None:
    world = World(
        github_issuer("https://token.actions.githubusercontent.com", jwks_hosts=[host])
        + registry("acme", github_publisher("widgets"), audience="acme")
    )
    issuer = world.issuer
    issuer.documents[issuer.discovery_url] = json.dumps(
        {"issuer": issuer.url, "jwks_uri": jwks_url}
    ).encode()
    issuer.documents[jwks_url] = json.dumps(
        {"keys": [public_jwk(rsa_key("key-1"), "key-1")]}
    ).encode()

    assert world.mint(world.token()).status == 200
