"""What an exchange costs, against the floor: one signature verified and one JSON object parsed.

Ratios within one run are what counts; the microseconds are this machine's, today. Run it with
`make bench`. Nothing here is asserted.
"""

import base64
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256

from pytp_broker.audit import AuditRecord
from pytp_broker.storage.sqlite import SqliteStore
from tests.support.signing import rsa_key
from tests.support.world import World

ROUNDS = 15
CALLS = 100


def test_an_exchange_against_the_floor(tmp_path: Path) -> None:
    world = World()
    write_audit_as_deployed(world)
    in_memory = per_call(lambda: world.mint(world.token()).status)
    signing = per_call(world.token)
    verifying = per_call(floor(world.token()))

    durable = World()
    store = SqliteStore(tmp_path / "broker.sqlite3")
    store.apply(world.store.configuration, list(world.store.publishers.values()))
    durable.store = store  # type: ignore[assignment]
    durable.start()
    write_audit_as_deployed(durable)
    on_disk = per_call(lambda: durable.mint(durable.token()).status)
    store.close()

    print()
    print(f"floor (verify, parse)          {verifying:8.0f} µs    1.0")
    show("exchange, store in memory", in_memory - signing, verifying)
    show("exchange, SQLite, durable", on_disk - signing, verifying)


def write_audit_as_deployed(world: World) -> None:
    """Make audit records JSON, without the tests' check of each against its schema."""

    def write(record: AuditRecord) -> None:
        json.dumps(record.document())

    world.broker = replace(world.broker, audit=write)


def floor(token: str) -> Callable[[], object]:
    """Return the least that an exchange must do to a token, without any check of its claims."""
    key = rsa_key("key-1").public_key()
    signed, _, signature = token.rpartition(".")
    payload = signed.partition(".")[2]

    def verify() -> object:
        octets = base64.urlsafe_b64decode(signature + "==")
        key.verify(octets, signed.encode(), padding.PKCS1v15(), SHA256())
        return json.loads(base64.urlsafe_b64decode(payload + "=="))

    return verify


def per_call(act: Callable[[], object]) -> float:
    """Return the median time of a call, in microseconds."""
    act()
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(CALLS):
            act()
        times.append((time.perf_counter() - started) / CALLS)
    return median(times) * 1e6


def show(what: str, microseconds: float, unit: float) -> None:
    print(f"{what:30} {microseconds:8.0f} µs  {microseconds / unit:5.1f}")
