"""What the server answers on its event loop: which requests, when, and what goes the usual way."""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pytp_broker.content import Held, Lent, read_all
from pytp_broker.endpoints import read
from pytp_broker.endpoints.events import handle
from pytp_broker.local import at_once
from pytp_broker.local.at_once import Asked, AtOnce, Conclude, NeverAtOnce
from pytp_broker.local.routes import GatewayRoute
from pytp_broker.storage.sqlite import SqliteStore, batches
from pytp_broker.storage.sqlite.at_once import WouldWaitError
from tests.support.configurations import github_publisher, registry
from tests.support.deployment import HOST
from tests.support.samples import file
from tests.support.signing import github_claims
from tests.support.world import World

PATIENCE = 60.0
MINT = "/acme/_/oidc/mint-token"
BURN = "/acme/_/oidc/burn-token"
PAGE = "/acme/simple/widgets/"
AUDIENCE = "/acme/_/oidc/audience"


@dataclass
class Fate:
    """What became of a request."""

    is_taken: bool = False
    answers: list[tuple[int, Any]] = field(default_factory=list)
    went_the_usual_way: int = 0

    def deliver(self, conclude: Conclude) -> None:
        result = conclude()
        with closing(result["content"]) as content:
            self.answers.append((result["statusCode"], json.loads(read_all(content) or b"null")))

    def otherwise(self) -> None:
        self.went_the_usual_way += 1


class Loop:
    """An event loop's requests at a broker in one SQLite file. ``warm`` fills its caches."""

    def __init__(self, store: SqliteStore) -> None:
        publisher = github_publisher("widgets", repository_owner_id="9919")
        self.world = World(registry("acme", publisher, audience="acme", access="public"))
        store.apply(self.world.store.configuration, list(self.world.store.publishers.values()))
        self.world.store = self.store = store  # type: ignore[assignment]
        self.world.start()
        self.at_once = AtOnce(store, self.world.broker, self.world.index)

    def warm(self) -> None:
        assert self.world.mint(self.world.token()).status == 200
        self.world.records.clear()

    def ask(self, method: str, path: str, body: str = "", function: str = "BrokerFunction") -> Fate:
        asked = Fate()
        event = event_of(method, path, body)
        request = Asked(function, event, asked.deliver, asked.otherwise)
        asked.is_taken = self.at_once.answer(request)
        return asked

    def render(self, path: str) -> None:
        """Let the usual way answer with a page, which is kept then."""
        event = event_of("GET", path)
        assert handle(event, read.ROUTES, self.world.index)["statusCode"] == 200

    def mint(self, token: str | None = None) -> Fate:
        return self.ask("POST", MINT, json.dumps({"token": token or self.world.token()}))

    @contextmanager
    def others_writing(self) -> Iterator[None]:
        self.store.writer._turns.take(PATIENCE)
        yield
        self.store.writer._turns.end()


def event_of(method: str, path: str, body: str = "") -> dict[str, Any]:
    return {
        "rawPath": path,
        "headers": {"host": HOST, "accept": "application/vnd.pypi.simple.v1+json"},
        "body": body,
        "requestContext": {
            "http": {"method": method, "sourceIp": "192.0.2.1"},
            "domainName": HOST,
        },
    }


@pytest.fixture
def loop(quick_path: Path) -> Iterator[Loop]:
    with closing(SqliteStore(quick_path / "broker.db")) as store:
        loop = Loop(store)
        loop.warm()
        yield loop


def run(act: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await act()

    asyncio.run(run())


def count_calls(monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> list[int]:
    """Return a list to which each call of a method adds an item."""
    calls: list[int] = []
    method = getattr(owner, name)

    def counted(*arguments: object) -> object:
        calls.append(1)
        return method(*arguments)

    monkeypatch.setattr(owner, name, counted)
    return calls


async def turn() -> None:
    """Let the event loop do what is due."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def all_threads() -> None:
    """Wait until the loop's threads have done what they were given, if that is one thing."""
    await asyncio.to_thread(lambda: None)


def test_what_is_in_memory_is_answered_in_the_call(loop: Loop) -> None:
    asked = loop.ask("GET", AUDIENCE)

    assert asked.is_taken
    assert asked.answers == [(200, {"audience": "acme"})]


def test_an_exchange_is_answered_after_the_commit(loop: Loop) -> None:
    async def act() -> None:
        asked = loop.mint()
        assert asked.is_taken
        assert asked.answers == []
        await turn()

        [(status, answer)] = asked.answers
        assert status == 200
        burned = loop.ask("POST", BURN, json.dumps({"token": answer["token"]}))
        await turn()
        assert [status for status, _ in burned.answers] == [202]
        assert loop.world.records[-1].document()["burned"]

    run(act)


def test_an_exchange_is_recorded_when_it_is_answered(loop: Loop) -> None:
    async def act() -> None:
        loop.mint()
        assert loop.world.records == []
        await turn()

        assert [record.document()["event"] for record in loop.world.records] == ["exchange"]

    run(act)


def test_exchanges_of_one_turn_share_a_commit(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = count_calls(monkeypatch, loop.store.writer, "end_now")

    async def act() -> None:
        asked = [loop.mint() for _ in range(3)]
        await turn()

        assert [status for each in asked for status, _ in each.answers] == [200, 200, 200]
        assert commits == [1]

    run(act)


def test_an_identity_token_is_good_once_within_a_turn(loop: Loop) -> None:
    async def act() -> None:
        token = loop.world.token()
        asked = [loop.mint(token) for _ in range(5)]
        await turn()

        assert [status for each in asked for status, _ in each.answers] == [200, 422, 422, 422, 422]

    run(act)


def test_a_refusal_that_depends_on_an_open_write_waits_for_the_commit(loop: Loop) -> None:
    async def act() -> None:
        token = loop.world.token()
        loop.mint(token)
        refused = loop.mint(token)
        assert refused.answers == []
        await turn()

        assert [status for status, _ in refused.answers] == [422]

    run(act)


def test_a_refusal_that_writes_nothing_is_answered_in_the_call(loop: Loop) -> None:
    asked = loop.mint(loop.world.token(repository="octo-org/gadgets"))

    assert [status for status, _ in asked.answers] == [422]
    assert [record.document()["outcome"] for record in loop.world.records] == ["refused"]


def test_if_the_commit_fails_all_of_its_requests_go_the_usual_way(loop: Loop) -> None:
    async def act() -> None:
        asked = [loop.mint() for _ in range(2)]
        loop.at_once._writes.spoil()
        await turn()

        assert [(each.answers, each.went_the_usual_way) for each in asked] == [([], 1), ([], 1)]
        assert loop.world.records == []

    run(act)


def test_after_a_commit_that_failed_the_same_token_is_exchanged(loop: Loop) -> None:
    async def act() -> None:
        token = loop.world.token()
        loop.mint(token)
        loop.at_once._writes.spoil()
        await turn()

        assert loop.world.mint(token).status == 200

    run(act)


def test_a_request_that_writes_and_then_waits_leaves_nothing(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(_event: object) -> Any:
        with loop.at_once._writes.writing(0) as connection:
            connection.execute("DELETE FROM tokens")
        raise WouldWaitError

    async def act() -> None:
        monkeypatch.setattr(loop.at_once, "_functions", {"F": ask})
        asked = loop.ask("POST", MINT, function="F")
        assert asked.is_taken
        await turn()

        assert asked.went_the_usual_way == 1

    before = tokens_in(loop)
    run(act)
    assert tokens_in(loop) == before


def test_a_request_that_has_written_may_write_again_in_a_full_batch(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_MAX_PARTS", 1)
    result = {"statusCode": 202, "content": Lent(Held(b"{}"), bytes)}

    def ask(_event: object) -> Any:
        for _ in range(2):
            with loop.at_once._writes.writing(0) as connection:
                connection.execute("DELETE FROM tokens")
        return result

    async def act() -> None:
        monkeypatch.setattr(loop.at_once, "_functions", {"F": ask})
        asked = loop.ask("POST", MINT, function="F")
        await turn()

        assert asked.answers == [(202, {})]

    run(act)


def test_a_large_answer_is_left_to_other_threads(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = {"statusCode": 200, "content": Lent(Held(bytes(64 * 1024 + 1)), bytes)}
    monkeypatch.setattr(loop.at_once, "_functions", {"F": lambda _event: large})

    assert not loop.ask("GET", PAGE, function="F").is_taken


def tokens_in(loop: Loop) -> int:
    with loop.store._read() as connection:
        (count,) = connection.execute("SELECT count(*) FROM tokens").fetchone()
        return int(count)


def test_a_fault_of_ours_goes_the_usual_way_where_it_is_logged(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop.at_once, "_functions", {"F": lambda event: event["nothing"]})

    assert not loop.ask("GET", AUDIENCE, function="F").is_taken


@pytest.mark.parametrize("seconds", [10, 3601])
def test_what_is_not_fresh_in_memory_goes_the_usual_way(loop: Loop, seconds: int) -> None:
    """After ten seconds that is the configuration, and after an hour the issuer's keys."""
    loop.world.advance(seconds=seconds)
    if seconds > 10:
        loop.world.broker.configurations.current()

    assert not loop.mint().is_taken


def test_a_key_that_we_do_not_know_is_fetched_the_usual_way(loop: Loop) -> None:
    claims, key = github_claims(loop.world.now), loop.world.issuer.keys["key-1"]

    assert not loop.mint(loop.world.issuer.sign(claims, key_id="another", key=key)).is_taken


def test_nothing_is_recorded_of_a_request_that_goes_the_usual_way(loop: Loop) -> None:
    loop.world.advance(seconds=10)
    loop.mint()

    assert loop.world.records == []


def test_the_bytes_of_files_are_left_to_other_threads(loop: Loop) -> None:
    assert loop.at_once.takes(GatewayRoute("ANY /{registry}/simple/{proxy+}", "ReadFunction"))
    assert not loop.at_once.takes(GatewayRoute("ANY /{registry}/files/{proxy+}", "ReadFunction"))


@pytest.mark.parametrize("function", ["UploadFunction", "WebFunction"])
def test_uploads_and_pages_for_people_are_left_to_other_threads(loop: Loop, function: str) -> None:
    assert not loop.at_once.takes(GatewayRoute("ANY /simple", function))


def test_a_server_of_another_store_answers_nothing_at_once() -> None:
    never = NeverAtOnce()

    assert not never.takes(GatewayRoute("ANY /_/oidc/mint-token", "BrokerFunction"))
    with pytest.raises(NotImplementedError):
        never.answer(Asked("BrokerFunction", {}, Fate().deliver, Fate().otherwise))


def test_a_page_that_must_be_rendered_goes_the_usual_way(loop: Loop) -> None:
    loop.store.add_file(file("widgets-1.0.tar.gz", project="widgets"))

    assert not loop.ask("GET", PAGE, function="ReadFunction").is_taken


def test_a_page_that_is_kept_is_answered_in_the_call(loop: Loop) -> None:
    loop.store.add_file(file("widgets-1.0.tar.gz", project="widgets"))
    loop.render(PAGE)

    [(status, page)] = loop.ask("GET", PAGE, function="ReadFunction").answers
    assert status == 200
    assert [each["filename"] for each in page["files"]] == ["widgets-1.0.tar.gz"]


# --- when others write ------------------------------------------------------------------------


def test_while_others_write_an_exchange_waits_for_its_turn(loop: Loop) -> None:
    async def act() -> None:
        with loop.others_writing():
            asked = loop.mint()
            await turn()
            assert asked.is_taken
            assert asked.answers == []
        await turn()

        assert [status for status, _ in asked.answers] == [200]

    run(act)


def test_who_comes_later_waits_in_the_same_line(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = count_calls(monkeypatch, loop.at_once._writes, "ask")

    async def act() -> None:
        with loop.others_writing():
            asked = [loop.mint() for _ in range(3)]
        await turn()

        assert [status for each in asked for status, _ in each.answers] == [200, 200, 200]
        assert lines == [1]

    run(act)


def test_who_finds_the_batch_full_is_not_tried_again_before_the_next_turn(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_MAX_PARTS", 2)
    tried = count_calls(monkeypatch, loop.at_once, "_attempt")

    async def act() -> None:
        with loop.others_writing():
            asked = [loop.mint() for _ in range(8)]
        for _ in asked:
            await turn()

        assert [status for each in asked for status, _ in each.answers] == [200] * 8
        # The first of all, each once in its turn, and the first that finds a batch full.
        assert len(tried) == 1 + 8 + 3

    run(act)


def test_a_full_batch_leaves_the_rest_to_the_next_turns(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_MAX_PARTS", 1)

    async def act() -> None:
        asked = [loop.mint() for _ in range(4)]
        for _ in asked:
            await turn()

        assert [status for each in asked for status, _ in each.answers] == [200] * 4

    run(act)


def test_who_only_reads_does_not_wait_in_line(loop: Loop) -> None:
    async def act() -> None:
        with loop.others_writing():
            loop.mint()
            asked = loop.ask("GET", AUDIENCE)

            assert [status for status, _ in asked.answers] == [200]

    run(act)


def test_a_request_in_line_whose_caches_grew_old_goes_the_usual_way(loop: Loop) -> None:
    async def act() -> None:
        with loop.others_writing():
            asked = loop.mint()
            loop.world.advance(seconds=10)
        await turn()

        assert (asked.answers, asked.went_the_usual_way) == ([], 1)

    run(act)


def test_while_the_disk_is_slow_an_exchange_is_not_even_tried(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = count_calls(monkeypatch, loop.at_once, "_attempt")
    loop.at_once._writes._rests_until = math.inf

    assert not loop.mint().is_taken
    assert tried == []
    assert loop.ask("GET", AUDIENCE).is_taken


def test_who_has_waited_long_enough_goes_the_usual_way(loop: Loop) -> None:
    async def act() -> None:
        with loop.others_writing():
            asked = loop.mint()
            assert loop.at_once._line
            loop.at_once._lose_patience(loop.at_once._line)  # as its timer does

            assert (asked.answers, asked.went_the_usual_way) == ([], 1)

    run(act)


def test_a_turn_that_comes_too_late_is_not_taken(loop: Loop) -> None:
    async def act() -> None:
        with loop.others_writing():
            asked = loop.mint()
            line = loop.at_once._line
            assert line
        loop.at_once._lose_patience(line)  # before the loop hears of the turn
        await turn()

        assert (asked.answers, asked.went_the_usual_way) == ([], 1)
        loop.store.empty_log()
        assert loop.world.mint(loop.world.token()).status == 200

    run(act)


def test_if_another_process_writes_in_our_turn_the_line_goes_the_usual_way(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act() -> None:
        with loop.others_writing():
            asked = loop.mint()
        monkeypatch.setattr(loop.at_once._writes, "begin", lambda: False)
        await turn()

        assert (asked.answers, asked.went_the_usual_way) == ([], 1)

    run(act)


def test_after_many_writes_another_thread_empties_the_log(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(at_once, "WRITES_IN_LOG", 2)
    emptied: list[int] = []
    monkeypatch.setattr(loop.store, "empty_log", lambda: emptied.append(1))

    async def act() -> None:
        for expected in (0, 1, 1, 2):
            loop.mint()
            await turn()
            await all_threads()
            await turn()
            assert len(emptied) == expected

    run(act)


def test_a_log_that_cannot_be_emptied_disturbs_nobody(loop: Loop) -> None:
    loop.store.close()

    loop.at_once._empty_log()
