"""A whole deployment in the test's own process: every function, on any storage, with one clock.

``pytp_broker.services`` builds its services, as in a real deployment. The other harnesses add what
their tests need: ``World`` the exchange, ``Shelf`` files, and so on.
"""

import base64
import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from pytp_broker.audit.record import AuditRecord
from pytp_broker.content import Held, read_all
from pytp_broker.endpoints import broker, introspect, read, upload, web
from pytp_broker.endpoints.events import handle
from pytp_broker.endpoints.routing import Routes, respond
from pytp_broker.http.messages import Request, Response
from pytp_broker.http.paths import below_prefix
from pytp_broker.index.verifying import verify
from pytp_broker.index.web.describe import render
from pytp_broker.index.web.website import build_website
from pytp_broker.known_readers import KnownReaders
from pytp_broker.oidc.documents import Fetch
from pytp_broker.services import Broker, Index, Services, build, build_broker, build_index
from pytp_broker.storage.cache import ConfigurationCache, ReceiptKeyCache
from pytp_broker.storage.file_store import FileStore
from pytp_broker.storage.protocols import Store
from pytp_broker.verifier import Place
from tests.support.attesting import SayingAttester
from tests.support.fakes import MAX_UPLOAD_BYTES
from tests.support.gateways import body_of
from tests.support.receipt_signing import TestSigner
from tests.support.scanner import SecretScanner
from tests.support.signing import NOW

HOST: Final = "packages.example.com"
SOURCE_IP: Final = "192.0.2.1"
ROUTES: Final[dict[str, Routes[Any]]] = {
    "broker": broker.ROUTES,
    "upload": upload.ROUTES,
    "introspect": introspect.ROUTES,
    "read": read.ROUTES,
    "web": web.ROUTES,
}


class Clock:
    """The time of a deployment, which stands still until a test lets it pass."""

    now: datetime = NOW
    ticks: float = 0.0

    def advance(self, **duration: float) -> None:
        """Let time pass: the time of day, and what the caches measure."""
        step = timedelta(**duration)
        self.now += step
        self.ticks += step.total_seconds()


@dataclass(frozen=True)
class Answer:
    """What a client sees."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Return the code of a problem, after checking that it is the error object."""
        assert self.headers["Content-Type"] == "application/problem+json"
        document = self.json
        assert document["status"] == self.status
        assert {"type", "title", "status", "detail", "instance", "message"} <= document.keys()
        code = document["type"].partition("#")[2]
        assert document["errors"]
        for error in document["errors"]:
            is_about_a_file = error.get("source", "") and error["source"] in document["detail"]
            assert is_about_a_file or error["description"] == document["detail"]
            assert error["code"] == code
        return str(code)

    @property
    def detail(self) -> str:
        """Return what a problem says, after the same check."""
        assert self.code
        return str(self.json["detail"])

    @property
    def text(self) -> str:
        return self.body.decode()


def answer_of(response: Response) -> Answer:
    if response.content is None:
        return Answer(response.status, response.headers, response.body)
    with closing(response.content) as content:
        return Answer(response.status, response.headers, read_all(content))


class WaitingVerifier:
    """A Verifier that does nothing until a test lets it: ``requests`` wait in their order."""

    def __init__(self) -> None:
        self.requests: list[Place] = []

    def request(self, place: Place) -> None:
        self.requests.append(place)


class Deployment:
    """The functions, and the requests of clients to them.

    ``audit`` takes the records, ``fetch`` answers for all issuers, and ``scanner`` for the list of
    keys of secret scanning.
    """

    # The functions that a request may reach: the first that knows its path, or else the last.
    FUNCTIONS: ClassVar[tuple[str, ...]] = tuple(ROUTES)

    def __init__(
        self,
        store: Store,
        files: FileStore,
        *,
        clock: Clock,
        audit: Callable[[AuditRecord], None],
        fetch: Fetch,
        scanner: SecretScanner,
        wait: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self.clock = clock
        self.store, self.files = store, files
        self._audit, self._fetch, self._wait = audit, fetch, wait
        self._scanner = scanner
        self.verifier = WaitingVerifier()
        self.signer = TestSigner()
        self.attester = SayingAttester()
        self.start()

    def start(self) -> None:
        """Start each function anew, as a cold start does: every cache is empty."""
        self.broker: Broker = build_broker(
            self._build(),
            reach=lambda _access: self._fetch,
            disclosure_keys_url=self._scanner.keys_url,
            fetch_disclosure_keys=self._scanner.fetch,
            receipt_keys=ReceiptKeyCache(self.store.list_receipt_keys, [lambda: self.clock.ticks]),
            wait=self._wait,
        )
        self.index: Index = self._build_index()
        self.website = build_website(self._build_index(), render)
        self.introspection: Services = self._build()

    def _build_index(self) -> Index:
        return build_index(
            self._build(),
            files=self.files,
            max_upload_bytes=MAX_UPLOAD_BYTES,
            verifier=self.verifier,
            signer=self.signer,
            attester=self.attester,
        )

    def _build(self) -> Services:
        clocks = [lambda: self.clock.ticks]
        services = build(
            self.store,
            shared_host=HOST,
            audit=self._audit,
            now=lambda: self.clock.now,
            configurations=ConfigurationCache(self.store.load_configuration, clocks=clocks),
        )
        return replace(services, known_readers=KnownReaders(clocks))

    def verify(self) -> None:
        """Verify what waits for it, as the verify function does."""
        waiting, self.verifier.requests[:] = self.verifier.requests[:], []
        for place in waiting:
            verify(place, self.index)

    def _services(self, function: str) -> Any:
        own = {
            "broker": self.broker,
            "introspect": self.introspection,
            "web": self.website,
        }
        return own.get(function, self.index)

    def call(
        self,
        method: str,
        path: str,
        body: bytes | Mapping[str, Any] = b"",
        headers: Mapping[str, str] | None = None,
        *,
        host: str = HOST,
        query: Mapping[str, str] | None = None,
        source_ip: str = SOURCE_IP,
    ) -> Answer:
        """Send a request to the function that knows its path; a mapping is sent as JSON."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = Request(method, host, path, query or {}, headers or {}, Held(raw), source_ip)
        function = self._function_of(path)
        return answer_of(respond(request, ROUTES[function], self._services(function)))

    def hand(self, function: str, event: Mapping[str, Any]) -> Answer:
        """Hand an event of the gateway to a function, as Lambda does."""
        result = handle(event, ROUTES[function], self._services(function))
        json.dumps({**result, "content": None})  # as Lambda does
        return Answer(result["statusCode"], result["headers"], body_of(result))

    def _function_of(self, path: str) -> str:
        paths = (path, below_prefix(path))
        for function in self.FUNCTIONS:
            if any(r.path.match(p) is not None for r in ROUTES[function] for p in paths):
                return function
        return self.FUNCTIONS[-1]


def basic(*parts: str | bytes) -> str:
    """Return Basic credentials: of a user and a password, or of both in one."""
    octets = b":".join(part.encode() if isinstance(part, str) else part for part in parts)
    return f"Basic {base64.b64encode(octets).decode()}"
