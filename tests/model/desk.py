"""The real endpoints on services that stop before each call; see ``operations``."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final
from unittest.mock import patch

from pytp_broker.audit.record import AuditRecord
from pytp_broker.budgets import RefusalBudget
from pytp_broker.errors import StoreUnavailable
from pytp_broker.index import publishing
from pytp_broker.index.inspection import Candidate, Facts, inspect
from pytp_broker.oidc.jwks import VerificationKey
from pytp_broker.oidc.keysets import KeySets
from pytp_broker.provenance.dsse import Signature
from pytp_broker.registries import Configuration, Issuer
from pytp_broker.storage.cache import ConfigurationCache
from tests.model.contents import Contents, Keys, Shelves
from tests.model.operations import FILES, PROCESS, STORE, Call, Moment, Reply, Run, Runner
from tests.support.deployment import Answer, Deployment
from tests.support.fakes import MemoryFiles, MemoryStore
from tests.support.receipt_signing import TestSigner
from tests.support.scanner import SecretScanner
from tests.support.signing import NOW
from tests.support.signing import Issuer as SigningIssuer


@dataclass(frozen=True)
class Remembered:
    """What a process remembers: the configuration, and when it asked for it, by its two clocks."""

    asked_at: tuple[float, ...]
    configuration: Configuration = field(compare=False)
    key: Hashable


# None after a cold start.
Memory = Remembered | None

ISSUER: Final = SigningIssuer()


def time_of(moment: Moment) -> datetime:
    """Return what the clock of a process shows."""
    return NOW + timedelta(seconds=moment.seconds + moment.skew)


class _Stopping:
    """A store, or the memory of a process: each call stops the operation until it has a result."""

    def __init__(self, target: str, runner: Runner, keys: Keys) -> None:
        self._target, self._runner, self._keys = target, runner, keys

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            key = (self._target, name, self._keys.of(arguments))
            return self._runner.present.carry(Call(self._target, name, arguments, key))

        return call


class _Configurations:
    """What ``ConfigurationCache`` is in a process."""

    def __init__(self, memory: Any) -> None:
        self._memory = memory

    def current(self) -> Any:
        return self._memory.current()


class _Clock:
    """The clock of the process in which the operation of now runs."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    @property
    def now(self) -> datetime:
        return time_of(self._runner.present.at)

    @property
    def ticks(self) -> float:
        return float(self._runner.present.at.seconds)


class _NoBudget(RefusalBudget):
    """A budget that nobody uses up: it counts in the memory of a process, and is not modelled."""

    def check(self, source: Any, per_minute: int) -> None: ...

    def charge(self, source: Any, per_minute: int) -> None: ...


@dataclass(frozen=True)
class _Signer:
    """A signer that gives one message one signature."""

    signer: TestSigner

    def sign(self, message: bytes) -> Signature:
        return _sign(self.signer, message)


@cache
def _sign(signer: TestSigner, message: bytes) -> Signature:
    return signer.sign(message)


class _KnownKeys:
    """The issuer's key set, which every process has: the cache of key sets is not modelled."""

    def __init__(self, key_sets: KeySets) -> None:
        self._key_sets = key_sets
        self._keys: dict[tuple[str, str], VerificationKey] = {}

    def find_key(self, issuer: Issuer, key_id: str, now: datetime) -> VerificationKey:
        if (issuer.url, key_id) not in self._keys:
            found = self._key_sets.find_key(issuer, key_id, NOW)
            self._keys[issuer.url, key_id] = found
        return self._keys[issuer.url, key_id]


class Desk(Deployment):
    """A deployment whose services stop, and the stores that their calls go to."""

    def __init__(self) -> None:
        self.keys, self.runner = Keys(), Runner()
        self.runner.desk = self
        self.shelves = Shelves(self.keys, MemoryStore(), MemoryFiles())
        self.records: list[AuditRecord] = []
        self.stopping_store: Any = _Stopping(STORE, self.runner, self.keys)
        self._edges: dict[tuple[Contents, Hashable], tuple[Reply, Contents]] = {}
        self.calls: dict[tuple[Contents, Hashable], Call] = {}
        clock: Any = _Clock(self.runner)
        super().__init__(
            self.stopping_store,
            _Stopping(FILES, self.runner, self.keys),
            clock=clock,
            audit=lambda _record: None,
            fetch=ISSUER.fetch,
            scanner=SecretScanner(),
        )

    def start(self) -> None:
        """Put what stops in the place of each cache."""
        self.signer = _Signer(TestSigner())  # type: ignore[assignment]
        super().start()
        memory: Any = _Configurations(_Stopping(PROCESS, self.runner, self.keys))
        key_sets: Any = _KnownKeys(KeySets(lambda _access: ISSUER.fetch, MemoryStore(), print))
        shared = {"configurations": memory}
        self.broker = replace(self.broker, **shared, key_sets=key_sets, budget=_NoBudget())
        self.index = replace(self.index, **shared)

    def make(self, call: Call, contents: Contents) -> tuple[Reply, Contents]:
        """Make a call of a store in these contents; return its reply, and the contents after it."""
        edge = (contents, call.key)
        if edge not in self._edges:
            self.shelves.put(contents)
            target = self.shelves.store if call.target == STORE else self.shelves.files
            reply = self.reply_of(lambda: getattr(target, call.name)(*call.arguments))
            self._edges[edge] = (reply, self.shelves.take())
            self.calls[edge] = call
        return self._edges[edge]

    @property
    def edges(self) -> Mapping[tuple[Contents, Hashable], tuple[Reply, Contents]]:
        return self._edges

    def remember(self, memory: Memory, contents: Contents, moment: Moment) -> tuple[Reply, Memory]:
        """Ask the cache of a process for the configuration."""
        self.shelves.put(contents)
        wall = moment.seconds + moment.skew
        clocks = [lambda: float(moment.seconds), lambda: float(wall)]
        remembered = ConfigurationCache(self.shelves.store.load_configuration, clocks)
        if memory is not None:
            remembered._loaded = (memory.asked_at, memory.configuration)
        reply = self.reply_of(remembered.current)
        loaded = remembered._loaded
        assert loaded is not None
        return reply, Remembered(*loaded, self.keys.of(loaded[1]))

    def reply_of(self, call: Callable[[], Any]) -> Reply:
        """Return what a call returns or raises."""
        try:
            result = call()
        except Exception as error:  # noqa: BLE001 - the operation gets it, whatever it is
            return Reply(None, error, (type(error).__name__, str(error)), Moment())
        return Reply(result, None, self.keys.of(result), Moment())


_FACTS: Final[dict[tuple[str, str], Facts]] = {}


@contextmanager
def inspected_once() -> Iterator[None]:
    """Let each file be inspected once: that depends on its bytes alone, and takes longest."""

    def look(candidate: Candidate) -> Facts:
        known = (candidate.distribution.filename, candidate.sha256)
        if known not in _FACTS:
            _FACTS[known] = inspect(candidate)
        return _FACTS[known]

    with patch.object(publishing, "inspect", look):
        yield


Act = Callable[[Run], Answer]


def send(method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Act:
    """Return the act that sends a request."""
    return lambda run: run.desk.call(method, path, body, headers)


def command(name: str, *arguments: Any) -> Act:
    """Return the act of an operator's command, which makes one call of the store."""

    def act(run: Run) -> Answer:
        try:
            getattr(run.desk.stopping_store, name)(*arguments)
        except StoreUnavailable:
            return Answer(503, {}, b"")
        return Answer(200, {}, b"")

    return act
