"""A whole broker in memory: an issuer that signs, a store, a clock that stands still."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pytp_broker import config
from pytp_broker.budgets import RefusalBudget
from pytp_broker.endpoints import broker as broker_function
from pytp_broker.endpoints.routing import respond
from pytp_broker.http.messages import Request, Response
from pytp_broker.services import build, build_broker
from pytp_broker.storage.cache import ConfigurationCache
from tests.support.audit import Records
from tests.support.fakes import MemoryStore
from tests.support.scanner import SecretScanner
from tests.support.signing import NOW, Issuer

HOST = "packages.example.com"

CONFIGURATION = """
[[registries]]
name = "acme"
audience = "acme"

[[registries.publishers]]
projects = ["widgets"]
[registries.publishers.github]
repository = "octo-org/widgets"
repository_owner_id = "9919"
workflow = "release.yml"
environment = "release"

[[registries]]
name = "other"
audience = "other"
hosts = ["other.example.com"]

[[registries.publishers]]
projects = ["gadgets", "gizmos"]
[registries.publishers.github]
repository = "octo-org/widgets"
repository_owner_id = "9919"
workflow = "release.yml"
"""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Return the code of a problem, after checking that it is the one error object."""
        assert self.headers["Content-Type"] == "application/problem+json"
        document = self.json
        assert document["status"] == self.status
        assert {"type", "title", "status", "detail", "instance", "message"} <= document.keys()
        (error,) = document["errors"]
        assert error["description"] == document["detail"]
        assert error["code"] == document["type"].partition("#")[2]
        return str(error["code"])

    @property
    def detail(self) -> str:
        """Return what a problem says, after the same check."""
        assert self.code
        return str(self.json["detail"])

    @property
    def text(self) -> str:
        return self.body.decode()


class World:
    """What a test talks to: `call` is the wire, `store` and `records` are what is left behind."""

    def __init__(self, configuration: str = CONFIGURATION) -> None:
        self.now: datetime = NOW
        self.issuer = Issuer()
        self.scanner = SecretScanner()
        self.store = MemoryStore()
        self.records = Records()
        self.ticks = 0.0
        self.waits: list[float] = []
        self.configure(configuration)
        self.start()

    def start(self) -> None:
        """Start the function anew, as a cold start does: every cache is empty."""
        services = build(
            self.store,
            shared_host=HOST,
            audit=self.records.append,
            now=lambda: self.now,
            configurations=ConfigurationCache(
                self.store.load_configuration, clocks=[lambda: self.ticks]
            ),
        )
        self.broker = build_broker(
            services,
            reach=lambda _access: self._fetch,
            disclosure_keys_url=self.scanner.keys_url,
            fetch_disclosure_keys=self.scanner.fetch,
            wait=self.waits.append,
        )

    def budget(self, budget: RefusalBudget) -> None:
        """Give the broker another budget of refusals."""
        self.broker = replace(self.broker, budget=budget)

    def _fetch(self, url: str) -> bytes:
        return self.issuer.fetch(url)  # a test may put another issuer in its place

    def configure(self, text: str) -> None:
        """Bring the store to a configuration file; caches notice after ten seconds."""
        loaded = config.parse(tomllib.loads(text), allow_loopback=False)
        self.store.apply(loaded.configuration, loaded.publishers)

    def advance(self, **duration: float) -> None:
        """Let time pass on both clocks."""
        step = timedelta(**duration)
        self.now += step
        self.ticks += step.total_seconds()

    def token(self, **changes: Any) -> str:
        return self.issuer.token(self.now, **changes)

    def call(
        self,
        method: str,
        path: str,
        body: bytes | Mapping[str, Any] = b"",
        *,
        host: str = HOST,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        source_ip: str = "192.0.2.1",
    ) -> Answer:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = Request(method, host, path, query or {}, headers or {}, raw, source_ip)
        return _answer(respond(request, broker_function.ROUTES, self.broker))

    def mint(
        self,
        token: str,
        prefix: str = "/acme",
        *,
        host: str = HOST,
        source_ip: str = "192.0.2.1",
        **members: Any,
    ) -> Answer:
        body = {"token": token, **members}
        path = f"{prefix}/_/oidc/mint-token"
        return self.call("POST", path, body, host=host, source_ip=source_ip)


def _answer(response: Response) -> Answer:
    return Answer(response.status, response.headers, response.body)
