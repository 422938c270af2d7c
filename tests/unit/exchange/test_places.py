"""Hosts, prefixes and audiences: where a token is exchanged, and for whom it must be."""

import pytest

from pytp_broker.registries import default_audience
from tests.support.configurations import github_publisher, registry
from tests.support.deployment import HOST
from tests.support.markers import of_row
from tests.support.signing import ABSENT
from tests.support.world import World, assert_refused


def test_the_audience_at_a_prefix_is_the_registrys(world: World) -> None:
    assert world.call("GET", "/acme/_/oidc/audience").json == {"audience": "acme"}


def test_the_audience_at_the_shared_root_is_the_hosts(world: World) -> None:
    assert world.call("GET", "/_/oidc/audience").json == {"audience": HOST}


def test_the_audience_at_a_host_of_its_own_is_the_registrys(world: World) -> None:
    answer = world.call("GET", "/_/oidc/audience", host="other.example.com:8443")

    assert answer.json == {"audience": "other"}


def test_without_an_audience_it_is_derived_from_the_host_and_the_name() -> None:
    world = World(registry("acme", github_publisher("widgets")))

    audience = world.call("GET", "/acme/_/oidc/audience").json["audience"]

    assert audience == f"{HOST}/acme"
    assert world.mint(world.token(aud=audience)).status == 200


@pytest.mark.parametrize(
    ("place", "audience"),
    [("acme.example.com", "acme.example.com"), ("127.0.0.1", "pytp-127.0.0.1")],
)
def test_a_derived_audience_starts_with_a_letter(place: str, audience: str) -> None:
    assert default_audience(place) == audience


def test_the_shared_root_exchanges_for_every_registry_that_trusts_the_identity(
    world: World,
) -> None:
    answer = world.mint(world.token(aud=HOST), "")

    assert answer.status == 200
    (record,) = world.store.tokens.values()
    assert set(record.places) == {"acme/widgets", "other/gadgets", "other/gizmos"}


def test_a_registry_may_stay_out_of_the_shared_root() -> None:
    closed = World(
        registry("acme", github_publisher("widgets"), audience="acme", shared_host_exchange=False)
    )

    assert_refused(closed, closed.token(aud=HOST), "not-enabled", prefix="")


@pytest.mark.promise("audience")
@pytest.mark.parametrize(
    ("audience", "prefix"),
    [
        *of_row(
            "A040",
            ("other", "/acme"),
            ("acme", "/other"),
            (HOST, "/acme"),
            ("acme", ""),
            (["acme"], "/acme"),
            (["acme", "other"], "/acme"),
        ),
        ("ACME", "/acme"),
        ("acme ", "/acme"),
        ("", "/acme"),
        (None, "/acme"),
        (ABSENT, "/acme"),
        (5, "/acme"),
    ],
)
def test_a_token_for_another_audience_is_refused(
    world: World, audience: object, prefix: str
) -> None:
    assert_refused(world, world.token(aud=audience), prefix=prefix)


def test_a_wrong_audience_is_named_with_the_right_one(world: World) -> None:
    answer = world.mint(world.token(aud="other"))

    assert "`other`" in answer.detail
    assert "`acme`" in answer.detail


@pytest.mark.parametrize(
    "path",
    [
        *of_row(
            "A090",
            "/acme/../other/_/oidc/mint-token",
            "/acme/%2e%2e/other/_/oidc/mint-token",
            "/acme//_/oidc/mint-token",
            "/Acme/_/oidc/mint-token",
            "/acme%00/_/oidc/mint-token",
            "/acme\x00/_/oidc/mint-token",
            "/acme;x/_/oidc/mint-token",
            "/acme\\_\\oidc\\mint-token",
            "/acme/_/oidc/mint-token/",
            "/acme/./_/oidc/mint-token",
            "//acme/_/oidc/mint-token",
        ),
        "/nobody/_/oidc/mint-token",
        "/acme/_/oidc/",
        "/acme",
        "/",
        "",
    ],
)
def test_an_address_that_is_not_exactly_ours_is_not_found(world: World, path: str) -> None:
    for audience in ("acme", "other", HOST):
        answer = world.call("POST", path, {"token": world.token(aud=audience)})
        assert (answer.status, answer.code) == (404, "not-found")
    assert not world.store.tokens


def test_on_a_host_of_its_own_a_registry_has_no_prefix(world: World) -> None:
    answer = world.call("GET", "/other/_/oidc/audience", host="other.example.com")

    assert answer.status == 404
