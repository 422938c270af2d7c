"""What an exchange costs, in multiples of one `jwt.decode` of the same token with the same key.

And what it costs when one repository has many publishers, in multiples of an exchange with one.

We measure the processor's time, which other processes disturb little. The things that we compare
take turns, so a slow moment of the machine affects all of them. Trust the ratios; the microseconds
depend on the machine. Run it with `make bench`. It asserts only that every exchange succeeds.
"""

import base64
import gc
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from statistics import median
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256

from pytp_broker.audit.record import AuditRecord
from pytp_broker.audit.requests import Exchange
from pytp_broker.destinations import locate
from pytp_broker.endpoints.broker import read_mint_request
from pytp_broker.exchange import exchange
from pytp_broker.storage.sqlite import SqliteStore
from pytp_broker.trust.publishers import TrustedPublisher
from tests.benchmarks.goals import Goals
from tests.support.configurations import github_publisher, registry
from tests.support.deployment import HOST
from tests.support.signing import GITHUB, Issuer, rsa_key
from tests.support.world import World

ROUNDS: Final = 31
CALLS: Final = 60
FLOOR: Final = "floor (verify RS256, parse)"
UNIT: Final = "jwt.decode"

Act = Callable[[str], object]
Times = Mapping[str, Sequence[float]]


def test_an_exchange_against_one_decode_of_its_token(tmp_path: Path, goals: Goals) -> None:
    world = World()
    durable, store = durable_world(tmp_path)
    times = measure(
        {
            FLOOR: take_apart,
            UNIT: decode,
            "exchange.exchange": exchange_in(world),
            "the request, store in memory": mint_in(world),
            "the request, SQLite, durable": mint_in(durable),
        },
        sign=world.token,
    )
    store.close()
    show(times, UNIT, FLOOR)
    for name in ("exchange.exchange", "the request, store in memory"):
        goals.at_most("exchange", name, 2.5, ratio(times, name, UNIT), f"of {UNIT}")


def test_an_exchange_against_many_candidates(goals: Goals) -> None:
    """One matches of those with an environment each; of those for each registry, all do."""
    worlds = {
        "1 candidate": environments(1),
        "10 candidates": environments(10),
        "1,000 candidates": environments(1000),
        "10 that all match": registries(10),
        "1,000 that all match": registries(1000),
        "1 with 1,000 projects": projects(1000),
    }
    acts = {name: exchange_in(world) for name, world in worlds.items()}
    issuer = Issuer()
    times = measure(acts, sign=lambda: issuer.token(aud=HOST), calls=20)
    one = "1 candidate"
    show(times, one)
    # Ten is the logarithm of a thousand.
    bounds = {"10 candidates": 3, "1,000 candidates": 3, "1 with 1,000 projects": 10}
    for name, bound in bounds.items():
        goals.at_most("growth", f"exchange, {name}", bound, ratio(times, name, one), f"of {one}")


def environments(count: int) -> World:
    """Return a registry with publishers of one workflow: each has its environment and project."""
    others = (publisher(f"widget-{n}", environment=f"release-{n}") for n in range(1, count))
    mine = publisher("widgets", environment="release")
    return indexed(World(registry("acme", *others, mine, audience=HOST)))


def registries(count: int) -> World:
    """Return as many registries, which all trust the same job on the shared host."""
    names = [f"team-{n}" for n in range(count)]
    return indexed(World("".join(registry(name, publisher("widgets")) for name in names)))


def projects(count: int) -> World:
    """Return a registry with one publisher of as many projects."""
    mine = publisher(*(f"widget-{n}" for n in range(count)))
    return indexed(World(registry("acme", mine, audience=HOST)))


def publisher(*names: str, **fields: str) -> str:
    ids = {"repository_owner_id": "9919", "repository_id": "70107786"}
    return github_publisher(*names, **ids, **fields)


def indexed(world: World) -> World:
    """Let the store find publishers by their key, as real ones do."""
    found: dict[str, list[TrustedPublisher]] = {}
    for each in world.store.publishers.values():
        found.setdefault(each.identity_key, []).append(each)
    world.store.list_publishers = found.__getitem__  # type: ignore[method-assign,assignment]
    return world


def durable_world(folder: Path) -> tuple[World, SqliteStore]:
    world = World()
    store = SqliteStore(folder / "broker.sqlite3")
    store.apply(world.store.configuration, list(world.store.publishers.values()))
    world.store = store  # type: ignore[assignment]
    world.start()
    return world, store


def take_apart(token: str) -> None:
    """Do the least that an exchange must do to a token, without any check of its claims."""
    signed, _, signature = token.rpartition(".")
    octets = base64.urlsafe_b64decode(signature + "==")
    rsa_key("key-1").public_key().verify(octets, signed.encode(), padding.PKCS1v15(), SHA256())
    json.loads(base64.urlsafe_b64decode(signed.partition(".")[2] + "=="))


def decode(token: str) -> None:
    # The clock of these tests stands still, so the library may not look at its own.
    key = rsa_key("key-1").public_key()
    jwt.decode(
        token,
        key,
        algorithms=["RS256"],
        issuer=GITHUB,
        audience="acme",
        options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
    )


def exchange_in(world: World) -> Act:
    """Return the story alone: from the body of a request to a stored token."""

    def act(token: str) -> None:
        configuration = world.broker.configurations.current()
        destination = locate(configuration, HOST, "/acme/_/oidc/mint-token", HOST)
        body = json.dumps({"token": token}).encode()
        event = Exchange(host=HOST, path="/acme/_/oidc/mint-token", source_ip="192.0.2.1")
        exchange(read_mint_request(body), destination, configuration, world.broker, event)

    return act


def mint_in(world: World) -> Act:
    """Return the whole request: the route, the story, the audit record and the answer."""
    write_audit_as_deployed(world)

    def act(token: str) -> None:
        assert world.mint(token).status == HTTPStatus.OK

    return act


def write_audit_as_deployed(world: World) -> None:
    """Make audit records JSON, without the tests' check of each against its schema."""

    def write(record: AuditRecord) -> None:
        json.dumps(record.document())

    world.broker = replace(world.broker, audit=write)


def measure(acts: Mapping[str, Act], sign: Callable[[], str], calls: int = CALLS) -> Times:
    """Return the microseconds of processor time a call, of each act in each round.

    A token is exchanged only once, so every call gets a new one, signed before the clock runs.
    """
    times: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(ROUNDS):
        for name, act in acts.items():
            tokens = [sign() for _ in range(calls)]
            times[name].append(time_each(act, tokens))
    return {name: each[1:] for name, each in times.items()}  # the first round warms up


def time_each(act: Act, tokens: list[str]) -> float:
    gc.collect()
    gc.disable()  # as timeit does: the stores in memory grow, and only tests have them
    started = time.process_time_ns()
    for token in tokens:
        act(token)
    spent = time.process_time_ns() - started
    gc.enable()
    return spent / len(tokens) / 1000


def ratio(times: Times, name: str, unit: str) -> float:
    """Return how many times as much as ``unit`` it costs: the median of the rounds."""
    return median(a / b for a, b in zip(times[name], times[unit], strict=True))


def show(times: Times, *units: str) -> None:
    """Print each act's time, and its ratio to each of these acts."""
    heads = "".join(f"{f'of {unit}':>{len(unit) + 5}}" for unit in units)
    print(f"\n{'processor time':30} median µs   min µs{heads}")
    for name, each in times.items():
        row = "".join(f"{ratio(times, name, unit):{len(unit) + 5}.2f}" for unit in units)
        print(f"{name:30} {median(each):9.0f} {min(each):8.0f}{row}")
