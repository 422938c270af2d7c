"""A connection whose requests are answered on the event loop: order, ends, and clients that go."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from pytp_broker.local.at_once import Asked, NeverAtOnce
from pytp_broker.local.objects import Objects
from pytp_broker.local.protocol import Protocol
from pytp_broker.local.routes import GatewayRoute
from pytp_broker.storage.file_folder import FolderFiles
from tests.support.gateways import Gateway
from tests.unit.local.test_protocol import Transport, connect

Result = Mapping[str, Any]


class AtOnce(NeverAtOnce):
    """Answers each request with its path, now or when a test says so."""

    def __init__(self, *, is_later: bool = False, takes: bool = True) -> None:
        self.asked: list[str] = []
        self.later: list[Callable[[], None]] = []
        self.ways: list[Callable[[], None]] = []
        self._is_later, self._takes = is_later, takes

    def takes(self, route: GatewayRoute) -> bool:
        return self._takes

    def answer(self, asked: Asked) -> bool:
        path = asked.event["rawPath"]
        self.asked.append(path)
        self.later.append(lambda: asked.deliver(lambda: self.result(path)))
        self.ways.append(asked.otherwise)
        if path == "/no":
            return False
        if not self._is_later:
            self.later.pop()()
        return True

    def result(self, path: str) -> Result:
        if path == "/broken":
            raise OSError("no space left on device")
        return {"statusCode": 200, "headers": {}, "body": path}


class Client:
    """A client of a connection without a socket."""

    def __init__(self, at_once: AtOnce, **options: Any) -> None:
        self.at_once = at_once
        self.gateway = Gateway(self.usual, at_once=at_once, **options)
        self.protocol: Protocol
        self.transport: Transport

    def usual(self, event: Mapping[str, Any]) -> Result:
        return {"statusCode": 200, "headers": {}, "body": f"the usual {event['rawPath']}"}

    def send(self, *paths: str, method: str = "GET", fields: str = "") -> None:
        heads = [f"{method} {path} HTTP/1.1\r\nhost: x\r\n{fields}\r\n" for path in paths]
        self.protocol.data_received("".join(heads).encode())

    def bodies(self) -> list[str]:
        answers = self.transport.written.decode().split("HTTP/1.1 200 ")[1:]
        return [answer.partition("\r\n\r\n")[2] for answer in answers]

    async def answers(self, count: int) -> None:
        """Wait for so many answers."""
        while len(self.bodies()) < count:  # noqa: ASYNC110 - nothing else tells us
            await asyncio.sleep(0)

    def run(self, act: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            self.protocol, self.transport = connect(self.gateway)
            await act()
            self.protocol.connection_lost(None)

        asyncio.run(run())


async def everything() -> None:
    """Let the loop and its threads do all that is due."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)
    await asyncio.sleep(0)


def test_a_request_is_answered_in_the_call_that_brings_it() -> None:
    client = Client(AtOnce())

    async def act() -> None:
        client.send("/a")

        assert client.bodies() == ["/a"]

    client.run(act)


def test_a_request_that_is_not_taken_goes_the_usual_way() -> None:
    client = Client(AtOnce())

    async def act() -> None:
        client.send("/no")
        await everything()

        assert client.bodies() == ["the usual /no"]

    client.run(act)


def test_a_route_that_always_waits_is_not_tried() -> None:
    client = Client(AtOnce(takes=False))

    async def act() -> None:
        client.send("/a")
        await everything()

        assert client.bodies() == ["the usual /a"]
        assert client.at_once.asked == []

    client.run(act)


def test_requests_that_come_together_are_answered_in_their_order() -> None:
    client = Client(AtOnce())

    async def act() -> None:
        client.send("/a", "/no", "/c")
        await client.answers(3)

        assert client.bodies() == ["/a", "the usual /no", "/c"]

    client.run(act)


def test_of_many_requests_that_come_together_each_leaves_the_loop_to_others() -> None:
    client = Client(AtOnce())

    async def act() -> None:
        client.send(*["/a"] * 500)
        assert len(client.bodies()) == 1
        await client.answers(500)

    client.run(act)


def test_what_came_with_a_request_is_not_read_while_the_connection_closes() -> None:
    client = Client(AtOnce())

    async def act() -> None:
        client.send("/a", "/b")
        client.transport.close()
        await asyncio.sleep(0)

        assert client.bodies() == ["/a"]

    client.run(act)


def test_of_an_answer_to_head_only_the_head_is_sent() -> None:
    client = Client(AtOnce())

    async def act() -> None:
        client.send("/a", method="HEAD")

        assert client.transport.written.startswith(b"HTTP/1.1 200 OK\r\n")
        assert client.bodies() == [""]

    client.run(act)


def test_a_request_with_a_body_is_taken_when_the_body_is_there() -> None:
    client = Client(AtOnce())

    async def act() -> None:
        client.protocol.data_received(b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nok")

        assert client.bodies() == ["/a"]

    client.run(act)


def test_a_request_whose_body_is_still_to_come_goes_the_usual_way() -> None:
    client = Client(AtOnce())

    async def act() -> None:
        client.protocol.data_received(b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n")
        client.protocol.data_received(b"ok")
        await everything()

        assert client.bodies() == ["the usual /a"]

    client.run(act)


def test_the_connection_ends_after_the_answer_if_the_client_says_so() -> None:
    client = Client(AtOnce())

    async def act() -> None:
        client.send("/a", "/b", fields="connection: close\r\n")

        assert client.transport.is_closed
        assert client.bodies() == ["/a"]

    client.run(act)


def test_a_client_that_does_not_read_is_served_the_usual_way() -> None:
    client = Client(AtOnce())

    async def act() -> None:
        client.protocol.pause_writing()
        client.send("/a")
        client.protocol.resume_writing()
        await everything()

        assert client.bodies() == ["the usual /a"]

    client.run(act)


def test_an_answer_that_has_not_left_is_not_over() -> None:
    """A server that stops must not cut it off, and the next request waits."""
    client = Client(AtOnce(is_later=True))

    async def act() -> None:
        client.send("/a")
        client.protocol.pause_writing()  # as the transport does with what it cannot send
        client.at_once.later.pop()()
        states = [client.protocol.is_idle]
        client.protocol.resume_writing()
        await everything()

        assert [*states, client.protocol.is_idle] == [False, True]
        assert client.bodies() == ["/a"]

    client.run(act)


def test_a_fault_of_ours_before_a_request_is_taken_goes_the_usual_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = Client(AtOnce())
    monkeypatch.setattr(client.at_once, "takes", lambda route: route["nothing"])

    async def act() -> None:
        client.send("/a")
        await everything()

        assert client.bodies() == ["the usual /a"]

    client.run(act)


def test_the_next_request_waits_for_an_answer_that_comes_later() -> None:
    client = Client(AtOnce(is_later=True))

    async def act() -> None:
        client.send("/a", "/b")
        assert client.at_once.asked == ["/a"]
        client.at_once.later.pop()()
        await asyncio.sleep(0)

        assert client.at_once.asked == ["/a", "/b"]
        assert client.bodies() == ["/a"]

    client.run(act)


def test_a_request_whose_commit_failed_goes_the_usual_way() -> None:
    client = Client(AtOnce(is_later=True))

    async def act() -> None:
        client.send("/a")
        client.at_once.ways.pop()()
        await everything()

        assert client.bodies() == ["the usual /a"]

    client.run(act)


def test_a_client_that_has_gone_gets_no_answer() -> None:
    client = Client(AtOnce(is_later=True))

    async def act() -> None:
        client.send("/a")
        client.protocol.connection_lost(None)
        client.at_once.later.pop()()

        assert client.transport.written == b""

    client.run(act)


def test_what_cannot_be_concluded_is_a_fault_of_ours() -> None:
    client = Client(AtOnce())

    async def act() -> None:
        client.send("/broken")

        assert client.transport.written.startswith(b"HTTP/1.1 500 ")

    client.run(act)
    assert [line["event"] for line in client.gateway.lines] == ["fault", "access"]


def test_an_answer_that_cannot_be_written_closes_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = Client(AtOnce())
    answer = {"statusCode": 200, "headers": {"x": "a\r\nb: c"}, "body": ""}
    monkeypatch.setattr(client.at_once, "result", lambda _path: answer)

    async def act() -> None:
        client.send("/a")

        assert client.transport.written.startswith(b"HTTP/1.1 500 ")
        assert client.transport.is_closed

    client.run(act)


def test_a_request_does_not_pass_those_that_wait_for_a_place() -> None:
    client = Client(AtOnce())

    async def act() -> None:
        lane = client.gateway.app.lanes["others"]
        lane._queue["192.0.2.9"] = deque([asyncio.get_running_loop().create_future()])
        client.send("/a")
        del lane._queue["192.0.2.9"]
        await everything()

        assert client.bodies() == ["the usual /a"]

    client.run(act)


def test_the_bytes_at_a_signed_address_are_left_to_other_threads(tmp_path: Any) -> None:
    files = FolderFiles(tmp_path)
    client = Client(AtOnce(), objects=Objects(files, lambda: None))  # type: ignore[arg-type,return-value]

    async def act() -> None:
        client.send("/_/objects/x")
        await everything()

        assert client.at_once.asked == []

    client.run(act)


def test_an_answer_is_logged_before_it_is_sent() -> None:
    client = Client(AtOnce())

    async def act() -> None:
        client.send("/a")

    client.run(act)
    [line] = client.gateway.lines
    assert (line["event"], line["method"], line["path"], line["status"], line["source_ip"]) == (
        "access",
        "GET",
        "/a",
        200,
        "192.0.2.1",
    )
