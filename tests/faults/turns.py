"""A turn of the event loop of `serve`: requests that share a batch, and what becomes of them."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from pytp_broker.local.at_once import Asked, AtOnce, Conclude
from pytp_broker.storage.sqlite import SqliteStore
from pytp_broker.tokens import UploadToken
from tests.faults.engines import SqliteEngines
from tests.faults.injection import Fault, Line, Remote
from tests.faults.stage import Given, Stage
from tests.support.deployment import Answer
from tests.support.figures import FAULTS
from tests.support.gateways import body_of
from tests.unit.local.test_at_once import BURN, MINT, PATIENCE, event_of

# From a file and a line to a store behind that line.
Lay = Callable[[Path, Line], SqliteStore]


class StoreCalledOnLine(SqliteStore):
    """A SqliteStore whose calls from the event loop go through a line."""

    def __init__(self, path: Path, line: Line) -> None:
        super().__init__(path)
        self._line = line

    def writing_by(self, writer: Any) -> Any:
        return Remote(super().writing_by(writer), self._line)


class Fate:
    """A request, and what became of it: an answer at once, or the usual way."""

    def __init__(self, path: str, token: str) -> None:
        self.token = token
        self.event = event_of("POST", path, json.dumps({"token": token}))
        self.answers: list[Answer] = []
        self.ways = 0
        self.on_delivery: Callable[[], object] = lambda: None

    def deliver(self, conclude: Conclude) -> None:
        self.on_delivery()
        result = conclude()
        self.answers.append(Answer(result["statusCode"], result["headers"], body_of(result)))

    def otherwise(self) -> None:
        self.ways += 1

    @property
    def status(self) -> int:
        """Return the status of its last answer; 0 without one."""
        return self.answers[-1].status if self.answers else 0


class Turn:
    """Two exchanges, a replay of the first one, and a burn, at a server with full caches.

    ``meanwhile`` is called when all have come, and the commit has not.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        assert stage.faulty.mint(stage.identity_token()).status == 200
        self.burned = stage.upload_token()
        self.first, self.second = stage.identity_token(), stage.identity_token()
        self.requests = [
            Fate(MINT, self.first),
            Fate(BURN, self.burned.reveal()),
            Fate(MINT, self.second),
            Fate(MINT, self.first),
        ]
        self.meanwhile: Callable[[], object] = lambda: None
        store: Any = stage.faulty.store
        self._writer = store.writer
        self._at_once = AtOnce(store, stage.faulty.broker, stage.faulty.index)
        self._sharing: set[Callable[[], None]] = set()  # the other ways of those in one batch
        self.before = stage.engine.dump()
        stage.records.clear()
        stage.line.repair()

    @property
    def folder(self) -> Path:
        """Return where everything is stored."""
        return Path(self.stage.engine.address["folder"])

    @classmethod
    @contextmanager
    def on(cls, engines: SqliteEngines, lay: Lay, line: Line) -> Iterator[Self]:
        """Return a turn at a store behind a line."""
        with engines.open() as engine:
            path = Path(engine.address["folder"]) / "broker.db"
            with closing(lay(path, line)) as store:
                yield cls(Stage(engine, replace(engine, store=store, line=line)))

    def meet(self, number: int, fault: Fault, *, in_line: bool) -> bool:
        """Let a call meet a fault, and check all; return False if there is no such call."""
        line = self.stage.line
        line.break_at(number, fault)
        self.take(in_line=in_line)
        was_hit, calls = line.was_hit, line.calls
        was_applied = was_hit and fault is Fault.AFTER and number == find_commit(calls)
        line.repair()

        self.check(was_applied=was_applied)
        self.go_the_usual_way()
        self.check_outcome(was_applied=was_applied)
        line.calls = calls
        return was_hit

    def take(self, *, in_line: bool = False) -> None:
        """Let the requests come; ``in_line``: while another thread writes."""
        FAULTS["operations"] += len(self.requests)
        asyncio.run(self._take(in_line=in_line))

    async def _take(self, *, in_line: bool) -> None:
        with self._others_writing() if in_line else nullcontext():
            for each in self.requests:
                self._ask(each)
            self._sharing = {asked.otherwise for asked, _ in self._at_once._written}
            assert self.stage.engine.dump() == self.before, "durable before the commit"
            self.meanwhile()
        for _ in range(4):
            await asyncio.sleep(0)

    def _ask(self, fate: Fate) -> None:
        asked = Asked("BrokerFunction", fate.event, fate.deliver, fate.otherwise)
        if not self._at_once.answer(asked):
            fate.ways += 1

    @contextmanager
    def _others_writing(self) -> Iterator[None]:
        self._writer._turns.take(PATIENCE)
        yield
        self._writer._turns.end()

    def go_the_usual_way(self) -> None:
        """Let other threads answer those without an answer; clients ask again after a 503."""
        for each in self.requests:
            if each.status in {0, 503}:
                each.answers.append(self.stage.faulty.hand("broker", each.event))
        for each in self.requests:
            self._note(each, each.answers[-1])

    def _note(self, fate: Fate, answer: Answer) -> None:
        self.stage.check_answer(answer)
        if answer.status == 200:
            token = UploadToken.parse(answer.json["token"])
            self.stage.given.append(Given(fate.token, token, answer.json["expires"]))

    # What must hold

    def check(self, *, was_applied: bool = False) -> None:
        """Check what became of the requests at once.

        ``was_applied`` if the commit failed and was applied all the same.
        """
        for each in self.requests:
            assert (len(each.answers), each.ways) in {(1, 0), (0, 1)}
        sharing = {each.ways for each in self.requests if each.otherwise in self._sharing}
        assert len(sharing) <= 1, "some of one batch were answered, and some were not"
        self._check_audit()
        accepted = [each for each in self.requests if each.status in {200, 202}]
        assert was_applied or len(self._written_tokens()) == len(accepted)

    def _check_audit(self) -> None:
        answers = sum(len(each.answers) for each in self.requests)
        assert len(self.stage.records) == answers, "not one audit record for each answer"

    def _written_tokens(self) -> list[str]:
        written = set(self.stage.engine.dump()) - set(self.before)
        return [row for row in written if row.startswith("('tokens'")]

    def check_outcome(self, *, was_applied: bool = False) -> None:
        """Check that each identity token was good once, and that the token is burned.

        If the commit was applied, the tokens are lost with their answers, as on the usual way.
        """
        first, burn, second, replay = (each.status for each in self.requests)
        expected = {422: 2} if was_applied else {200: 1, 422: 1}
        assert (Counter([first, replay]), burn) == (expected, 202)
        assert second == (422 if was_applied else 200)
        self._check_audit()
        for identity in (self.first, self.second):
            assert self.stage.honest.mint(identity).code == "invalid-reuse-token"
        assert self.stage.honest.introspect(self.burned).json == {"active": False}
        self.stage.check()

    def check_secrets(self, log: str) -> None:
        """Check that the log and the audit records hold no token."""
        written = log + repr([record.document() for record in self.stage.records])
        assert not any(each.rpartition(".")[2] in written for each in self.stage.repositories)
        assert not any(given.token.reveal() in written for given in self.stage.given)
        assert self.burned.reveal() not in written


def find_commit(calls: list[str]) -> int:
    """Return the number of the last commit among statements; -1 without one."""
    return max((number for number, call in enumerate(calls) if call == "COMMIT"), default=-1)
