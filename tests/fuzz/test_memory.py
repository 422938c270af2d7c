"""The memory that the worst requests of each kind take: a small multiple of their own size."""

import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from zipfile import ZIP_STORED

import pytest

from tests.support.distributions import (
    WHEEL_NAME,
    Distribution,
    form,
    noise,
    recorded,
    wheel,
    wheel_members,
    zipped,
)
from tests.support.serving import Served
from tests.support.shelf import Shelf
from tests.support.world import World

MEBIBYTE = 1 << 20


def peak_mebibytes(act: Callable[[], object]) -> float:
    """Return the most memory that was in use at once during the act, in MiB."""
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1] / MEBIBYTE
    finally:
        tracemalloc.stop()


def test_an_upload_through_serve_takes_a_fraction_of_its_size(tmp_path: Path) -> None:
    library = noise(10_000_000)
    stored = zipped(recorded([("widgets/lib.so", library), *wheel_members().items()]), ZIP_STORED)
    served = Served(tmp_path)
    request = served.request(served.form(Distribution(WHEEL_NAME, stored)))

    peak = peak_mebibytes(lambda: served.send(request))

    assert peak * MEBIBYTE <= len(stored) / 3


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 65_536,
        b'{"a":' * 13_000,
        b'{"token": "' + b"." * 65_000 + b'"}',
        b'{"token": ' + b"9" * 65_000 + b"}",
        b"{" + b",".join(b'"%d": 1' % n for n in range(6000)) + b"}",
        b"x" * (10 * MEBIBYTE),
    ],
    ids=["arrays", "objects", "dots", "digits", "members", "too large"],
)
def test_no_exchange_takes_more_than_a_few_mebibytes(body: bytes) -> None:
    world = World()
    path = "/acme/_/oidc/mint-token"
    world.call("POST", path, b"{}")

    assert peak_mebibytes(lambda: world.call("POST", path, body).status) < 8


def bomb(members: int, size: int) -> Distribution:
    """Return a wheel of zeros: small, until somebody unpacks it."""
    zeros = [(f"widgets/{number}", b"0" * size) for number in range(members)]
    described = wheel_members(text="no metadata").items()
    return Distribution(wheel().filename, zipped(recorded([*zeros, *described])))


@pytest.mark.parametrize(
    "distribution",
    [
        bomb(15, 4 * MEBIBYTE),
        bomb(1, 63 * MEBIBYTE),
        bomb(19_000, 1),
        Distribution("widgets-1.0.tar.gz", gzip.compress(b"0" * (64 * MEBIBYTE))),
        Distribution("widgets-1.0.tar.gz", gzip.compress(bytes(64 * MEBIBYTE))),
        Distribution(wheel().filename, b"PK\x05\x06" * MEBIBYTE),
    ],
    ids=[
        "large members",
        "one member",
        "many members",
        "tar of text",
        "tar of nothing",
        "zip of ends",
    ],
)
def test_no_upload_takes_more_than_some_times_its_size(distribution: Distribution) -> None:
    shelf = Shelf()
    authorization = shelf.basic(shelf.token)
    body = form(distribution)

    assert peak_mebibytes(lambda: shelf.post(body, authorization).status) < 40
    assert not shelf.store.files
