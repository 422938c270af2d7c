"""A client of the Upload API, a server, and files on a disk."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pytp_broker.client.uploads.answers import Session
from pytp_broker.client.uploads.api import Clock, UploadApi
from pytp_broker.client.uploads.local_files import LocalFile, read_local
from pytp_broker.client.uploads.sending import Delivery
from pytp_broker.redaction import Hidden
from tests.support.distributions import Distribution, wheel
from tests.support.upload_server import AUTHORIZATION, ORIGIN, ROOT, UploadServer


@dataclass
class Counted:
    """Progress that counts; each attempt begins at 0."""

    attempts: list[int] = field(default_factory=list)

    def begin(self) -> None:
        self.attempts.append(0)

    def count(self, size: int) -> None:
        self.attempts[-1] += size


class Client:
    """What publishes a folder's files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = UploadServer()
        clock = Clock(self.server.seconds, self.server.wait)
        self.api = UploadApi(ROOT, ORIGIN, self.server.send, lambda: Hidden(AUTHORIZATION), clock)
        self.progress = Counted()

    def file(self, distribution: Distribution | None = None) -> LocalFile:
        made = distribution or wheel()
        path = self.folder / made.filename
        path.write_bytes(made.content)
        return read_local(path)

    def open(self) -> Session:
        return self.api.open("widgets", "1.0")

    def deliver(self, file: LocalFile | None = None) -> bool:
        """Bring a file into the session of its release, as every run does."""
        return Delivery(self.api, self.open(), file or self.file(), self.progress).run()

    def release(self) -> None:
        self.api.publish(self.open())


@pytest.fixture
def client(quick_path: Path) -> Client:
    return Client(quick_path)
