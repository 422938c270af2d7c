"""The subject of fuzzing: all four functions behind events of the gateway, and what must hold.

Each function answers any input in time, and never raises. It never answers 5xx, because only the
input is broken. Every refusal is the error object, and writes nothing.
"""

import base64
import hashlib
import json
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from itertools import count
from typing import Any

from pytp_broker import config
from pytp_broker.budgets import RefusalBudget
from pytp_broker.errors import StoreUnavailable
from pytp_broker.tokens import UploadToken
from tests.support import distributions
from tests.support.configurations import github_reader
from tests.support.deployment import HOST, Answer, Clock, Deployment, basic
from tests.support.fakes import MemoryFiles, MemoryStore
from tests.support.figures import INPUTS
from tests.support.scanner import SecretScanner
from tests.support.signing import NOW, Issuer
from tests.support.uploading import UploadClient
from tests.support.world import CONFIGURATION

# Seconds of our own thread, so other processes do not count. Quadratic work takes longer than this.
MAX_SECONDS = 2.0
SECRET = "a-long-random-secret"
CLIENT = f"""
[[registries.introspection_clients]]
id = "devpi"
secret_sha256 = "{hashlib.sha256(SECRET.encode()).hexdigest()}"
"""


class StrictStore(MemoryStore):
    """A store that takes the same keys as DynamoDB: text of at most 1024 bytes with its prefix."""

    MAX_KEY_BYTES = 900

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        return _strict(found) if name in _KEYED else found


_KEYED = {
    *("list_publishers", "find_token", "use_token", "burn_token"),
    *("find_entry", "list_files", "find_files", "find_edition"),
}


def _strict(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(*keys: Any) -> Any:
        for key in keys:
            if isinstance(key, str) and len(_octets(key)) > StrictStore.MAX_KEY_BYTES:
                raise StoreUnavailable("the key is too long")
        return method(*keys)

    return call


def _octets(key: str) -> bytes:
    try:
        return key.encode()
    except UnicodeEncodeError:
        raise StoreUnavailable("the key is no text") from None


class Subject(Deployment):
    """The functions and their store; ``send`` checks everything that must hold."""

    store: StrictStore
    files: MemoryFiles

    def __init__(self) -> None:
        self.issuer = Issuer()
        super().__init__(
            StrictStore(),
            MemoryFiles(),
            clock=Clock(),
            audit=lambda _record: None,
            fetch=self.issuer.fetch,
            scanner=SecretScanner(),
        )
        # A minute passes between two readings of this clock, so no earlier input uses up the budget
        # of the next.
        self.broker = replace(self.broker, budget=RefusalBudget(count(step=60).__next__))
        settings = f'audience = "acme"\naccess = "public"\n{CLIENT}'
        text = CONFIGURATION.replace('audience = "acme"\n', settings)
        acme, begin, other = text.rpartition("[[registries]]\n")
        text = f"{acme}{github_reader()}{begin}{other}"
        loaded = config.parse(tomllib.loads(text), allow_loopback=False)
        self.store.apply(loaded.configuration, loaded.publishers)
        self.upload_token = self._mint()
        self._publish()

    def _mint(self) -> UploadToken:
        body = json.dumps({"token": self.issuer.token(NOW)}).encode()
        answer = self._send("broker", event("POST", "/acme/_/oidc/mint-token", body))
        assert answer.status == 200
        return UploadToken.parse(answer.json["token"])

    def _publish(self) -> None:
        body = distributions.form(distributions.wheel())
        headers = {
            "authorization": self.authorization,
            "content-type": distributions.CONTENT_TYPE,
        }
        assert self._send("upload", event("POST", "/acme/legacy/", body, headers)).status == 200

    def begin_session(self) -> str:
        """Return the path of a publishing session with one file that is announced."""
        client = UploadClient(self, self.authorization)
        session = client.create("2.0")
        link = session.headers["Location"]
        if session.status == 201:
            client.add(session.json, distributions.wheel(version="2.0"))
        return link.removeprefix(f"https://{HOST}")

    @property
    def authorization(self) -> str:
        return basic("__token__", self.upload_token.reveal())

    def send(self, function: str, sent: Mapping[str, Any]) -> Answer:
        """Hand an event to a function; check everything that must hold, and return the answer."""
        answer = self._send(function, sent)
        INPUTS[str(answer.status)] += 1
        return answer

    def _send(self, function: str, sent: Mapping[str, Any]) -> Answer:
        before = self._written()
        started_at = time.thread_time()

        answer = self.hand(function, sent)

        assert time.thread_time() - started_at < MAX_SECONDS
        for text in (*answer.headers, *answer.headers.values()):
            assert text.isprintable(), "a header that ends before it should"
        if answer.status >= 400:
            is_unsatisfiable_range = answer.status == 416
            assert is_unsatisfiable_range or answer.code
            assert answer.status < 500, answer.body
            assert self._written() == before, "refused, and yet something was written"
        return answer

    def _written(self) -> object:
        tokens, publishers = dict(self.store.tokens), dict(self.store.publishers)
        return tokens, publishers, dict(self.store.files), self.files.contents.keys()


_SOURCES = iter(range(1 << 62))


def event(
    method: str,
    path: str,
    body: bytes | str | None = None,
    headers: Mapping[str, str] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Return an event of the gateway (payload format 2.0), from an address not seen before."""
    source = next(_SOURCES)
    encoded = base64.b64encode(body).decode() if isinstance(body, bytes) else body
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"host": HOST, **(headers or {})},
        "requestContext": {
            "domainName": HOST,
            "requestId": "r-1",
            "http": {"method": method, "path": path, "sourceIp": f"2001:db8::{source:x}"},
        },
        "body": encoded,
        "isBase64Encoded": isinstance(body, bytes),
        **changes,
    }
