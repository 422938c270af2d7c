"""How far one mint travels through our code: calls of our own functions, and moves between modules.

We count one warm mint through the local gateway, with the embedded store and an issuer on loopback.
A generator counts each time that it is resumed. The numbers do not depend on the machine, only on
Python's version. Run it with `make bench`.
"""

import asyncio
import io
import json
import sys
import threading
import tomllib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any, Final, Self

import pytp_broker
from pytp_broker import config
from pytp_broker.demo.issuer import Issuer
from pytp_broker.local.background_verifier import BackgroundVerifier
from pytp_broker.local.deployment import build_gateway
from pytp_broker.local.gateway import Gateway
from pytp_broker.local.log import Log
from pytp_broker.storage.data_folder import open_data_folder
from tests.support.configurations import github_issuer, github_publisher, registry
from tests.support.gateways import Exchange

OURS: Final = str(Path(pytp_broker.__file__).parent)
HOST: Final = "packages.example.com"
CONFIGURATION: Final = github_issuer("{issuer}") + registry(
    "acme",
    github_publisher("widgets", repository_owner_id="9919", environment="release"),
    audience="acme",
    issuers=["{issuer}"],
)
SHOWN: Final = 12


class Calls:
    """The calls of our functions, in order, on each thread that starts in its ``with`` block."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self._is_counting = False

    def __enter__(self) -> Self:
        threading.setprofile(self._look)
        sys.setprofile(self._look)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)

    @contextmanager
    def counted(self) -> Iterator[None]:
        self._is_counting = True
        yield
        self._is_counting = False

    def _look(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if self._is_counting and event == "call" and code.co_filename.startswith(OURS):
            self.seen.append((code.co_filename[len(OURS) + 1 :], code.co_qualname))

    @property
    def modules(self) -> set[str]:
        return {module for module, _ in self.seen}

    @property
    def moves(self) -> int:
        return sum(one != other for (one, _), (other, _) in pairwise(self.seen))


def test_how_far_a_warm_mint_travels(tmp_path: Path) -> None:
    with Issuer() as issuer, Calls() as calls, open_data_folder(tmp_path) as storage:
        text = CONFIGURATION.format(issuer=issuer.url)
        loaded = config.parse(tomllib.loads(text), allow_loopback=True)
        storage.store.apply(loaded.configuration, loaded.publishers)
        log = Log(io.StringIO())
        gateway = build_gateway(storage, HOST, log, verifier=BackgroundVerifier(log))
        asyncio.run(mint_twice(gateway, issuer, calls))

    print(f"\none warm mint: {len(calls.seen):,} calls of our own functions,", end=" ")
    print(f"{len(calls.modules)} modules, {calls.moves} moves between modules")
    for (module, name), count in Counter(calls.seen).most_common(SHOWN):
        print(f"{count:7,}  {module} {name}")


async def mint_twice(gateway: Gateway, issuer: Issuer, calls: Calls) -> None:
    """Mint once to warm up, then once more while the calls are counted."""
    warm_up, counted = (write_mint(issuer.token(aud="acme")) for _ in range(2))
    await gateway(warm_up.scope, warm_up.receive, warm_up.send)
    with calls.counted():
        await gateway(counted.scope, counted.receive, counted.send)
    assert counted.status == HTTPStatus.OK, counted.body


def write_mint(token: str) -> Exchange:
    body = json.dumps({"token": token}).encode()
    headers: dict[str, Any] = {
        "host": HOST,
        "content_type": "application/json",
        "content_length": str(len(body)),
    }
    return Exchange(body, path="/acme/_/oidc/mint-token", authorization=None, **headers)
