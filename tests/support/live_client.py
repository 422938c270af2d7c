"""A client that publishes one version after another, for as long as a test changes the broker."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread


@dataclass
class LiveClient:
    """Publishes without a pause; ``phase`` says what the test does meanwhile.

    The first publish of a phase is by ``publish_first``, the others by ``publish``. Both return
    what went wrong, and nothing if nothing did.
    """

    publish: Callable[[str], str]
    publish_first: Callable[[str], str]
    phase: str = "before"
    published: dict[str, list[str]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    count: int = 0

    @contextmanager
    def publishing(self) -> Iterator["LiveClient"]:
        """Publish in a thread of its own while the block lasts."""
        over = Event()
        thread = Thread(target=self._run, args=(over,))
        thread.start()
        try:
            yield self
        finally:
            over.set()
            thread.join()

    def enter(self, phase: str) -> None:
        """Say what happens from now on."""
        self.phase = phase

    def _run(self, over: Event) -> None:
        while not over.is_set():
            self.publish_once()

    def publish_once(self) -> None:
        """Publish the next version."""
        phase, version = self.phase, f"1.{self.count}"
        self.count += 1
        done = self.published.setdefault(phase, [])
        failure = (self.publish if done else self.publish_first)(version)
        done.append(version)
        if failure:
            self.failures.append(f"{phase}: {version}: {failure}")
