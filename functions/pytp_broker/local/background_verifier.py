"""Verify large uploads and attestations in threads of the server.

What waits is in memory alone. A server that starts takes up every upload that another one has left
``processing``, and every file whose attestations are ``pending``. A client that asks for a long
time causes another request.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from queue import SimpleQueue
from threading import Event, Thread
from typing import Final

from pytp_broker.content import Content
from pytp_broker.errors import Problem, StoreUnavailable
from pytp_broker.index.attesting import PENDING
from pytp_broker.index.sessions.verifying import MAX_ATTEMPTS, place_of
from pytp_broker.index.verifying import verify
from pytp_broker.local.log import Log
from pytp_broker.services import Index
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.protocols import Store
from pytp_broker.storage.sessions import UploadStatus
from pytp_broker.verifier import AttestationPlace, Place

# A place takes less than a kilobyte. What is more than these is asked for again later.
MAX_WAITING: Final = 10_000
# Each reads a file as fast as the disk gives it, and leaves the other processors to requests.
_THREADS: Final = 2
_RETRY_SECONDS: Final = 5
# How long the server waits for its threads when it ends; each stops where it reads its file.
_END_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class _Task:
    place: Place
    attempts_left: int = MAX_ATTEMPTS


@dataclass(frozen=True, slots=True)
class _Interruptible:
    """Content that cannot be read any more once the server ends."""

    content: Content
    over: Event

    @property
    def size(self) -> int:
        return self.content.size

    def read_at(self, offset: int, length: int) -> memoryview:
        if self.over.is_set():
            raise StoreUnavailable("the server ends; another one will check the file")
        return self.content.read_at(offset, length)


class BackgroundVerifier:
    """A Verifier of this process: requests wait until ``start``, and end with ``stop``.

    Before the start, ``attach`` gives it what it works with, which has the verifier inside.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._waiting: SimpleQueue[_Task | None] = SimpleQueue()
        self._over = Event()
        self._threads: list[Thread] = []

    def count_waiting(self) -> int:
        """Return how many files wait for a thread."""
        return self._waiting.qsize()

    def request(self, place: Place) -> None:
        """Let a place wait for a thread."""
        self._queue(_Task(place))

    def attach(self, store: Store, index: Index) -> None:
        """Take the store that knows every session, and the index that the uploads are for."""
        self._store, self._index = store, index

    def start(self, *, is_beside_functions: bool = False) -> None:
        """Start the threads, and take up what an earlier server has left.

        Beside the functions of a broker on AWS nothing is taken up: the functions verify most
        uploads, and to find those of this server would read the whole table.
        """
        first = () if is_beside_functions else (self._take_up,)
        for target in (*first, *[self._work] * _THREADS):
            thread = Thread(target=target, name="verifier", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """End the threads; another server will take up what they leave."""
        self._over.set()
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join(_END_SECONDS)

    def _take_up(self) -> None:
        for place in self._insist(self._list_left):
            self.request(place)

    def _insist(self, find: Callable[[], Sequence[Place]]) -> Sequence[Place]:
        """Return what is found once the store answers."""
        while not self._over.is_set():
            try:
                return find()
            except StoreUnavailable as problem:
                self._log.write("warning", by="verifier", message=problem.detail)
                self._over.wait(_RETRY_SECONDS)
        return ()

    def _list_left(self) -> Sequence[Place]:
        return [*self._list_uploads(), *self._list_attestations()]

    def _list_uploads(self) -> Iterator[Place]:
        for session in self._store.list_sessions(self._index.now()):
            for upload in session.files.values():
                if upload.status is UploadStatus.PROCESSING:
                    yield place_of(session, upload)

    def _list_attestations(self) -> Iterator[Place]:
        for registry in self._store.load_configuration().registries:
            for piece in self._store.survey(registry):
                if isinstance(piece, PublishedFile) and piece.attestation_state == PENDING:
                    yield AttestationPlace(registry, piece.project, piece.filename)

    def _work(self) -> None:
        while (task := self._waiting.get()) is not None:
            if not self._over.is_set() and not self._is_done(task):
                self._over.wait(_RETRY_SECONDS)
                self._queue(replace(task, attempts_left=task.attempts_left - 1))

    def _is_done(self, task: _Task) -> bool:
        """Verify what is at a place; say whether the task is over: done, or given up."""
        try:
            verify(task.place, self._index, self._interruptible)
        except Exception as error:  # noqa: BLE001 - the outermost edge of this thread
            if not isinstance(error, Problem):  # a Problem has left an audit record
                self._log.fault(error)
            return task.attempts_left == 1
        return True

    def _interruptible(self, content: Content) -> Content:
        return _Interruptible(content, self._over)

    def _queue(self, task: _Task) -> None:
        if self._waiting.qsize() < MAX_WAITING:
            self._waiting.put(task)
        else:
            self._log.write("warning", by="verifier", message="too many files wait to be checked")
