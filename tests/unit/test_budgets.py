"""A source that is refused too often waits, and no other source waits with it.

The limit of the gateway is another one: it counts a request before the function gets it.
"""

import pytest

from pytp_broker.budgets import MAX_SOURCES, RefusalBudget, network_of
from pytp_broker.errors import TooManyRequests
from tests.support.configurations import github_publisher, registry
from tests.support.world import World

CONFIGURATION = registry(
    "acme", github_publisher("widgets"), audience="acme", refusals_per_minute=10
) + registry("other", audience="other", refusals_per_minute=10)
ELSEWHERE = "198.51.100.7"


@pytest.fixture
def world() -> World:
    world = World(CONFIGURATION)
    world.budget(RefusalBudget(lambda: world.ticks))
    return world


def exhaust(world: World) -> None:
    for _ in range(10):
        assert world.call("POST", "/acme/_/oidc/mint-token", b"{").status == 422


def test_whoever_is_refused_too_often_waits(world: World) -> None:
    exhaust(world)

    answer = world.mint(world.token())

    assert (answer.status, answer.code) == (429, "too-many-requests")
    assert answer.headers["Retry-After"] == "1"
    assert not world.store.tokens


@pytest.mark.promise("counted-in-memory")
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/nobody/_/oidc/mint-token", 404),
        ("GET", "/nobody/_/oidc/audience", 404),
        ("GET", "/_/oidc/mint-token", 405),
    ],
)
def test_what_reaches_no_endpoint_is_counted_too(
    world: World, method: str, path: str, status: int
) -> None:
    assert {world.call(method, path).status for _ in range(10)} == {status}

    assert world.call(method, path).code == "too-many-requests"
    assert world.call(method, path.replace("nobody", "made-up")).status == 429
    assert world.call(method, path, source_ip=ELSEWHERE).status == status


def test_a_registry_does_not_wait_for_what_was_asked_of_others(world: World) -> None:
    for number in range(11):
        world.call("POST", f"/nobody-{number}/_/oidc/mint-token")

    assert world.mint(world.token()).status == 200


def test_waiting_as_long_as_told_helps(world: World) -> None:
    exhaust(world)
    wait = int(world.mint(world.token()).headers["Retry-After"])

    world.advance(seconds=wait + 6)

    assert world.mint(world.token()).status == 200


@pytest.mark.promise("counted-in-memory")
def test_another_address_does_not_wait(world: World) -> None:
    exhaust(world)

    assert world.mint(world.token(), source_ip=ELSEWHERE).status == 200


def test_another_name_for_the_same_place_does_not_help(world: World) -> None:
    for number in range(10):
        host = f"h{number}.example:{number + 1}"
        assert world.mint(world.token(aud="x"), "", host=host).status == 422

    assert world.mint(world.token(aud="x"), "", host="another.example").status == 429


def test_another_address_of_the_same_network_does_not_help(world: World) -> None:
    for number in range(10):
        world.mint("x", source_ip=f"2001:db8::{number + 1:x}")

    assert world.mint(world.token(), source_ip="2001:db8::ffff").status == 429
    assert world.mint(world.token(), source_ip="2001:db8:0:1::1").status == 200
    assert world.mint(world.token(), source_ip="not an address").status == 200


def test_another_registry_does_not_wait(world: World) -> None:
    exhaust(world)

    assert world.mint(world.token(aud="other"), "/other").status == 422


def test_an_honest_caller_never_pays(world: World) -> None:
    for _ in range(30):
        assert world.mint(world.token()).status == 200


def test_what_we_cannot_do_is_not_the_callers_fault(world: World) -> None:
    token = world.token()
    for _ in range(30):
        world.store.fail_next("add_token")
        assert world.mint(token).status == 503

    assert world.mint(token).status == 200


def test_who_must_wait_is_audited_with_the_address(world: World) -> None:
    exhaust(world)
    world.records.clear()

    world.mint(world.token())

    (record,) = world.records
    assert (record.event, record.reason) == ("exchange", "too-many-requests")
    assert record.facts["source_ip"] == "192.0.2.1"


def test_the_table_of_sources_stays_small() -> None:
    budget = RefusalBudget(lambda: 0.0)
    for number in range(MAX_SOURCES + 10):
        budget.charge(("/acme", str(number)), 10)

    assert len(budget._buckets) == MAX_SOURCES


def test_a_budget_of_one_refuses_the_second() -> None:
    budget = RefusalBudget(lambda: 0.0)
    budget.charge(("/acme", "192.0.2.1"), 1)

    with pytest.raises(TooManyRequests):
        budget.check(("/acme", "192.0.2.1"), 1)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "::/64"),
        ("", ""),
        ("no address", "no address"),
        ("no:address", "no:address"),
    ],
)
def test_a_source_is_an_ipv4_address_or_half_an_ipv6_address(address: str, network: str) -> None:
    assert network_of(address) == network
