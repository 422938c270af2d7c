"""``/_/health``, as a load balancer sees it."""

import json
import threading

import pytest

from pytp_broker.errors import StoreUnavailable
from pytp_broker.health import Health
from pytp_broker.registries import Configuration
from tests.support.deployment import HOST
from tests.support.world import World


class Clocks:
    """Two clocks, as a function has them, and a store that may be down and counts its calls."""

    def __init__(self) -> None:
        self.steady = self.wall = 1000.0
        self.is_down = False
        self.calls = 0
        self.health = Health([lambda: self.steady, lambda: self.wall])

    def ask(self) -> Configuration:
        self.calls += 1
        if self.is_down:
            raise StoreUnavailable("it burns")
        return Configuration()

    def is_good(self) -> bool:
        return self.health.is_good(self.ask)

    def advance(self, seconds: float) -> None:
        self.steady += seconds
        self.wall += seconds


@pytest.fixture
def world() -> World:
    return World('[[registries]]\nname = "acme"\nhosts = ["acme.example.com"]\n')


def break_store(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Configuration:
        raise StoreUnavailable("it burns", operator_detail="in the cellar")

    monkeypatch.setattr(world.store, "load_configuration", fail)
    world.start()


@pytest.mark.parametrize("host", [HOST, "acme.example.com", "10.0.0.7:8443", "no host"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_health_is_200_at_every_host_while_the_store_answers(
    world: World, method: str, host: str
) -> None:
    answer = world.call(method, "/_/health", host=host)

    assert (answer.status, answer.body) == (200, b"" if method == "HEAD" else b"ok\n")
    assert answer.headers["Content-Length"] == "3"
    assert answer.headers["Cache-Control"] == "no-store"
    assert world.records == []


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_health_is_503_while_the_store_does_not_answer_and_leaves_no_record(
    world: World, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    break_store(world, monkeypatch)

    answer = world.call(method, "/_/health")

    assert (answer.status, answer.code) == (503, "store-unavailable")
    assert "Retry-After" in answer.headers
    assert not any(word in answer.text for word in ("burns", "cellar", "acme"))
    assert world.records == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_health_takes_no_other_method(world: World, method: str) -> None:
    answer = world.call(method, "/_/health")

    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/acme/_/health", "/nobody/_/health", "/_/health/"])
def test_health_is_at_the_root_alone(world: World, path: str) -> None:
    answer = world.call("GET", path)

    assert answer.status == 404
    assert world.call("GET", "/_/health").status == 200


def test_health_says_the_same_whether_there_is_a_registry_of_that_name(world: World) -> None:
    def refusal(name: str) -> object:
        document = json.loads(world.call("GET", f"/{name}/_/health").text)
        return {**document, "instance": ""}

    assert refusal("acme") == refusal("nobody")


def test_the_store_is_asked_once_a_second_however_many_ask() -> None:
    clocks = Clocks()

    for _ in range(100):
        assert clocks.is_good()
    clocks.advance(0.9)
    assert clocks.is_good()
    assert clocks.calls == 1

    clocks.advance(0.2)
    assert clocks.is_good()
    assert clocks.calls == 2


def test_a_store_that_is_down_is_asked_no_more_often() -> None:
    clocks = Clocks()
    clocks.is_down = True

    assert not any(clocks.is_good() for _ in range(100))
    assert clocks.calls == 1

    clocks.is_down = False
    clocks.advance(1)
    assert clocks.is_good()


@pytest.mark.parametrize("clock", ["steady", "wall"])
def test_what_was_known_before_a_freeze_counts_for_nothing(clock: str) -> None:
    clocks = Clocks()
    assert clocks.is_good()
    clocks.is_down = True

    setattr(clocks, clock, 5000.0)

    assert not clocks.is_good()


def test_nobody_waits_for_a_store_that_another_already_waits_for() -> None:
    clocks = Clocks()
    assert clocks.is_good()
    clocks.advance(1)
    is_asked, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        is_asked.set()
        assert go_on.wait(10)

    waiting = threading.Thread(target=clocks.health.is_good, args=(hang,))
    waiting.start()
    assert is_asked.wait(10)

    assert clocks.is_good()

    go_on.set()
    waiting.join(10)
    assert clocks.calls == 1
