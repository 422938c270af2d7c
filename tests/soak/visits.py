"""How the clients of a soak ask: each request and its answer is in the journal."""

import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPSConnection
from random import Random
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from pytp_broker.http.upload_api import MEDIA_TYPE, META
from tests.soak.issuer import MoodyIssuer
from tests.soak.journal import LOST, Entry, Journal
from tests.soak.site import Site

_TIMEOUT_SECONDS: Final = 60
# The server keeps a connection for 5 s on which nobody asks.
_KEPT_SECONDS: Final = 2
# A killed server is back within this time; a client that has lost an answer asks again until then.
PATIENCE_SECONDS: Final = 45
# Requests that change something. Of some of them, the client does not wait for the answer.
_CHANGES: Final = frozenset(
    {"announce", "burn", "bytes", "cancel", "complete", "exchange", "publish", "put", "upload"}
)
_CUT_SHARE: Final = 0.03
CUT: Final = "the client has left before the answer"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class World:
    """What every client of a soak knows."""

    site: Site
    issuer: MoodyIssuer
    journal: Journal
    is_over: bool = False
    # How many requests are under way that change something: a kill waits for one.
    changing: int = 0

    def visit(self, chance: Random) -> "Visit":
        return Visit(self, chance)


class Visit:
    """One connection of a client, and further ones where it broke."""

    def __init__(self, world: World, chance: Random) -> None:
        self.world = world
        self.chance = chance
        self._connection: HTTPSConnection | None = None
        self._begun = self._used = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def ask(
        self,
        kind: str,
        method: str,
        target: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        **facts: Any,
    ) -> Answer | None:
        """Send a request once; return its answer, or None where none came whole."""
        self._begun = begin = time.time()
        self.world.changing += kind in _CHANGES
        try:
            answer = self._send(kind, method, target, body, headers or {})
        except (OSError, HTTPException) as error:
            self._close()
            self._note(kind, begin, LOST, {**facts, "error": f"{type(error).__name__}: {error}"})
            return None
        finally:
            self.world.changing -= kind in _CHANGES
        if answer.status >= 400:
            facts["code"] = code_of(answer)
        if answer.status == 503:
            facts["retry_after"] = answer.headers.get("retry-after")
        self._note(kind, begin, answer.status, facts)
        return answer

    def insist(
        self,
        kind: str,
        method: str,
        target: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        **facts: Any,
    ) -> Answer | None:
        """Send a request again until it is answered, as a client does that lost the answer."""
        until = time.time() + PATIENCE_SECONDS
        while time.time() < until:
            answer = self.ask(kind, method, target, body, headers, **facts)
            if answer is not None and answer.status != 503:
                return answer
            time.sleep(self.chance.uniform(0.1, 1))
        return None

    def say(
        self, kind: str, method: str, target: str, token: str, members: Any = None, **facts: Any
    ) -> Answer | None:
        """Send a request of Upload API 2.0 until it is answered."""
        body = b"" if members is None else json.dumps({"meta": META, **members}).encode()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": MEDIA_TYPE}
        return self.insist(kind, method, target, body, headers, **facts)

    def note(self, kind: str, **facts: Any) -> None:
        """Note what the last answer said."""
        now = time.time()
        self.world.journal.write(Entry(kind, self._begun, now, facts=facts))

    def _note(self, kind: str, begin: float, status: int | None, facts: Mapping[str, Any]) -> None:
        self.world.journal.write(Entry(kind, begin, time.time(), status, dict(facts)))

    def _send(
        self, kind: str, method: str, target: str, body: bytes, headers: Mapping[str, str]
    ) -> Answer:
        if time.time() > self._used + _KEPT_SECONDS:
            self._close()  # the server may be closing it at this moment
        self._used = time.time()
        if self._connection is None:
            self._connection = connect(self.world.site)
        url = urlsplit(target)
        path = f"{url.path}?{url.query}" if url.query else url.path
        self._connection.request(method, path, body=body or None, headers=dict(headers))
        if kind in _CHANGES and self.chance.random() < _CUT_SHARE:
            raise ConnectionAbortedError(CUT)
        response = self._connection.getresponse()
        content = response.read()
        answered = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, answered, content)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def connect(site: Site) -> HTTPSConnection:
    """Return a connection to the server, which trusts its authority."""
    url = urlsplit(site.url)
    context = ssl.create_default_context(cafile=site.ca_file)
    return HTTPSConnection(str(url.hostname), url.port, timeout=_TIMEOUT_SECONDS, context=context)


def code_of(answer: Answer) -> str:
    """Return the code of a refusal, or nothing."""
    try:
        return str(answer.json["errors"][0]["code"])
    except (ValueError, KeyError, IndexError, TypeError):
        return ""
