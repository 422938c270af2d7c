"""What an exchange costs, in multiples of one `jwt.decode` of the same token with the same key.

We measure the processor's time, which other processes disturb little. The things that we compare
take turns, so a slow moment of the machine affects all of them. Trust the ratios; the microseconds
depend on the machine. Run it with `make bench`. It asserts only that every exchange succeeds.
"""

import base64
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from statistics import median
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256

from pytp_broker.audit.record import AuditRecord
from pytp_broker.audit.requests import Exchange
from pytp_broker.destinations import locate
from pytp_broker.endpoints.broker import read_mint_request
from pytp_broker.exchange import exchange
from pytp_broker.storage.sqlite import SqliteStore
from tests.support.deployment import HOST
from tests.support.signing import GITHUB, rsa_key
from tests.support.world import World

ROUNDS: Final = 21
CALLS: Final = 60

Act = Callable[[str], object]


def test_an_exchange_against_one_decode_of_its_token(tmp_path: Path) -> None:
    world = World()
    durable, store = durable_world(tmp_path)
    times = measure(
        {
            "floor (verify RS256, parse)": take_apart,
            "jwt.decode": decode,
            "exchange.exchange": exchange_in(world),
            "the request, store in memory": mint_in(world),
            "the request, SQLite, durable": mint_in(durable),
        },
        sign=world.token,
    )
    store.close()
    show(times)


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


def measure(acts: Mapping[str, Act], sign: Callable[[], str]) -> dict[str, list[float]]:
    """Return the microseconds of processor time a call, of each act in each round.

    A token is exchanged only once, so every call gets a new one, signed before the clock runs.
    """
    times: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(ROUNDS):
        for name, act in acts.items():
            tokens = [sign() for _ in range(CALLS)]
            times[name].append(time_each(act, tokens))
    return {name: each[1:] for name, each in times.items()}  # the first round warms up


def time_each(act: Act, tokens: list[str]) -> float:
    started = time.process_time_ns()
    for token in tokens:
        act(token)
    return (time.process_time_ns() - started) / len(tokens) / 1000


def show(times: Mapping[str, list[float]]) -> None:
    """Print each act's time, and its ratios to one `jwt.decode` and to the floor."""
    floor, unit = times["floor (verify RS256, parse)"], times["jwt.decode"]
    print(f"\n{'processor time':30}  median      min  of jwt.decode   of the floor")
    print(f"{'':30}      µs       µs median    min median    min")
    for name, each in times.items():
        row: list[Any] = [median(each), min(each)]
        row += [f(each) / f(base) for base in (unit, floor) for f in (median, min)]
        print(f"{name:30} {row[0]:7.0f} {row[1]:8.0f} " + "".join(f"{r:7.1f}" for r in row[2:]))
