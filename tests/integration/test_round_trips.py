"""How often a deployed function asks DynamoDB for one request, when it is warm.

Each function runs as Lambda imports it, with its own client, on a store that answers over TLS.
"""

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any, Final

import pytest

from pytp_broker.aws import clients
from pytp_broker.aws.api.connections import Connections, tls_context
from tests.support.configurations import github_publisher, registry
from tests.support.deployment import HOST, basic
from tests.support.http_events import http_event, stored
from tests.support.instant_store import (
    InstantStore,
    KeptRows,
    environment_of,
    make_certificate,
)
from tests.support.signing import Issuer

CONFIGURATION: Final = registry(
    "acme",
    github_publisher("widgets", repository_owner_id="9919", repository_id="70107786"),
    audience="acme",
)
CONTEXT: Final = SimpleNamespace(
    function_name="f", memory_limit_in_mb="512", invoked_function_arn="arn", aws_request_id="r-1"
)
SETTINGS: Final = {
    "PYTP_TABLE": "table",
    "PYTP_SHARED_HOST": HOST,
    "PYTP_DISCLOSURE_KEYS_URL": "https://api.github.com/meta/public_keys/secret_scanning",
}


class Functions:
    """The functions of a deployment; ``asked`` has the operations of the last request."""

    def __init__(self, rows: KeptRows, store: InstantStore) -> None:
        self._rows, self._store = rows, store
        self._handlers: dict[str, Callable[..., dict[str, Any]]] = {}

    @property
    def asked(self) -> list[str]:
        return self._rows.asked

    @property
    def connections(self) -> int:
        return self._store.connections

    def call(self, function: str, method: str, path: str, **request: Any) -> Any:
        """Send a request; return the document of its answer, which must be good."""
        self.asked.clear()
        if function not in self._handlers:
            module = importlib.import_module(f"pytp_broker.aws.{function}")
            self._handlers[function] = module.handler
        answer = self._handlers[function](http_event(method, path, **request), CONTEXT)
        assert answer["statusCode"] in {HTTPStatus.OK, HTTPStatus.ACCEPTED}, answer
        return json.loads(answer["body"] or "null")

    def mint(self) -> str:
        body = json.dumps({"token": Issuer().token(datetime.now(UTC))})
        return str(self.call("broker", "POST", "/acme/_/oidc/mint-token", body=body)["token"])

    def burn(self, token: str) -> None:
        self.call("broker", "POST", "/acme/_/oidc/burn-token", body=json.dumps({"token": token}))

    def introspect(self, token: str) -> None:
        more = {"authorization": basic("__token__", token)}
        self.call("introspect", "GET", "/acme/_/token/verify/widgets", more=more)


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Functions]:
    rows = KeptRows(stored(CONFIGURATION))
    store = InstantStore(rows, make_certificate(tmp_path))
    Thread(target=store.serve, daemon=True).start()
    for name, value in {**SETTINGS, **environment_of(store.port, tmp_path)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    names = [f"pytp_broker.aws.{function}" for function in ("broker", "introspect")]
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    opened: list[Connections] = []

    def open_connections(*arguments: Any) -> Connections:
        opened.append(Connections(*arguments))
        return opened[-1]

    monkeypatch.setattr(clients, "Connections", open_connections)
    tls_context.cache_clear()
    yield Functions(rows, store)
    tls_context.cache_clear()
    for each in opened:
        each.close()
    for name in names:
        sys.modules.pop(name, None)


def test_the_first_mint_also_asks_for_the_configuration_and_the_keys(functions: Functions) -> None:
    functions.mint()

    assert sorted(functions.asked) == ["GetItem", "PutItem", "Query", "Query"]


def test_a_mint_takes_two_round_trips(functions: Functions) -> None:
    functions.mint()
    functions.mint()

    assert functions.asked == ["Query", "PutItem"]


def test_a_burn_takes_one(functions: Functions) -> None:
    token = functions.mint()
    functions.burn(token)

    assert functions.asked == ["UpdateItem"]


def test_an_introspection_takes_one(functions: Functions) -> None:
    token = functions.mint()
    functions.introspect(token)
    functions.introspect(token)

    assert functions.asked == ["BatchGetItem"]


def test_discovery_takes_none(functions: Functions) -> None:
    functions.mint()
    functions.call("broker", "GET", "/.well-known/pytp", query={"discover": "/acme/legacy/"})
    assert functions.asked == []
    functions.call("broker", "GET", "/acme/_/oidc/audience")
    assert functions.asked == []


def test_every_request_of_a_function_goes_over_one_connection(functions: Functions) -> None:
    for _ in range(3):
        functions.burn(functions.mint())

    assert functions.connections == 1
