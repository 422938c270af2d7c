"""Somebody who types `pytp-broker publish`, and the registry that answers."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from pytp_broker.cli import main
from pytp_broker.client import ambient, transport
from pytp_broker.client.publishing import credentials, opening
from pytp_broker.client.transport import Answer, Call, UnreachableError
from pytp_broker.client.uploads.api import Clock
from pytp_broker.client.uploads.wire import Reply, Request, Wire
from tests.support.distributions import Distribution, sdist, wheel
from tests.support.upload_server import LEGACY, ROOT, UploadServer

DISCOVERY = "https://packages.example.com/.well-known/pytp?discover=%2Facme%2Flegacy%2F"


@dataclass
class Person:
    """A person with a folder of distributions, at a terminal or in a job."""

    server: UploadServer
    folder: Path
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    def __post_init__(self) -> None:
        self.discovery: list[Answer | Exception] = [Answer(200, {"upload-api": ROOT})]
        self.asked: list[str] = []
        self.out = self.err = ""

    def answer(self, call: Call) -> Answer:
        """Answer a discovery; the last answer is repeated."""
        self.asked.append(call.url)
        answer = self.discovery.pop(0) if self.discovery[1:] else self.discovery[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def set_wait(self, wait: Callable[[float], None]) -> None:
        """Let the client wait in this way."""
        self.monkeypatch.setattr(opening, "SYSTEM", Clock(self.server.seconds, wait))

    def offer_legacy_alone(self) -> None:
        self.discovery = [Answer(404, {})]

    def put(self, *distributions: Distribution) -> None:
        for each in distributions:
            (self.folder / "dist" / each.filename).write_bytes(each.content)

    def type(self, *words: str, stdin: str = "") -> int:
        """Type a command, and return its exit status."""
        self.monkeypatch.setattr("sys.stdin", StringIO(stdin))
        try:
            return main(words)
        finally:
            seen = self.capsys.readouterr()
            self.out, self.err = seen.out, seen.err

    def publish(self, *words: str, url: str = LEGACY, stdin: str = "") -> int:
        return self.type("publish", "--url", url, *words, stdin=stdin)

    def read(self, *words: str) -> Any:
        """Return what the command prints as JSON."""
        self.publish("--json", *words)
        return json.loads(self.out)


@pytest.fixture
def person(
    quick_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Person:
    server = UploadServer()
    person = Person(server, quick_path, capsys, monkeypatch)
    (quick_path / "dist").mkdir()
    person.put(wheel(), sdist())
    monkeypatch.chdir(quick_path)

    def send(_: Wire, request: Request) -> Reply:
        return server.send(request)

    monkeypatch.setattr(Wire, "send", send)
    monkeypatch.setattr(transport, "send", person.answer)
    monkeypatch.setattr(opening, "SYSTEM", Clock(server.seconds, server.wait))
    for name in ambient._MARKS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(credentials, "is_on_google", lambda: False)
    monkeypatch.setenv("PYTP_UPLOAD_TOKEN", "secret")
    return person


DOWN = UnreachableError("it cannot be reached")
