"""The local gateway: its answers, and what its requests may take up."""

import asyncio
import json
import tempfile
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytp_broker.errors import PayloadTooLarge
from pytp_broker.local import gateway as local
from pytp_broker.local import log
from pytp_broker.local.routes import GatewayRoute, RouteTable, TemplateError
from tests.unit.gateways import Exchange, Gateway, answering, echo


def test_a_request_goes_to_its_function_and_the_result_comes_back() -> None:
    gateway = Gateway(echo)

    answered = gateway.answer(Exchange(b"one ", b"two"))

    assert answered.status == 200
    assert answered.body == b"one two"
    assert answered.headers == {b"content-type": b"text/plain", b"content-length": b"7"}


def test_a_request_is_logged_by_its_path_alone() -> None:
    gateway = Gateway(echo)

    gateway.answer(Exchange(b"secret", authorization="secret"))

    [line] = gateway.lines
    assert (line["event"], line["method"], line["path"], line["status"], line["source_ip"]) == (
        "access",
        "POST",
        "/x y",
        200,
        "192.0.2.1",
    )
    assert "secret" not in gateway.log.getvalue()


def test_no_route_is_a_404() -> None:
    answered = Gateway(echo, "GET /elsewhere").answer(Exchange())

    assert answered.status == 404
    assert json.loads(answered.body)["errors"][0]["code"] == "not-found"


def test_an_unexpected_exception_is_a_500_and_its_text_is_not_logged() -> None:
    def fail(_event: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            raise KeyError("secret")
        except KeyError:
            raise ValueError("secret") from None

    gateway = Gateway(fail)

    answered = gateway.answer(Exchange(b"secret"))

    assert answered.status == 500
    assert answered.headers[b"content-type"] == b"application/problem+json"
    assert json.loads(answered.body)["errors"][0]["code"] == "internal-error"
    fault = gateway.lines[0]
    assert (fault["event"], fault["error"]) == ("fault", "ValueError")
    assert any(" fail" in frame for frame in fault["traceback"])
    assert "secret" not in gateway.log.getvalue() + answered.body.decode()


LEGACY = "/acme/legacy/"


@pytest.mark.parametrize(
    ("function", "path", "limit"),
    [
        ("UploadFunction", LEGACY, local.MAX_BODY_BYTES),
        ("UploadFunction", "/nothing", local.MAX_SMALL_BODY_BYTES),
        ("F", "/x", local.MAX_SMALL_BODY_BYTES),
    ],
)
@pytest.mark.parametrize("is_announced", [True, False])
def test_a_body_over_the_limit_is_a_413(
    function: str, path: str, limit: int, *, is_announced: bool
) -> None:
    announced = Exchange(path=path, content_length=str(limit + 1))
    sent = Exchange(bytes(limit), b"x", b"never read", path=path)

    answered = Gateway(echo, function=function).answer(announced if is_announced else sent)

    assert answered.status == PayloadTooLarge.status
    assert json.loads(answered.body)["errors"][0]["code"] == PayloadTooLarge.code


@pytest.mark.parametrize(
    ("function", "path", "limit"),
    [
        ("UploadFunction", LEGACY, local.MAX_BODY_BYTES),
        ("F", "/x", local.MAX_SMALL_BODY_BYTES),
    ],
)
def test_a_body_of_just_the_limit_is_read(function: str, path: str, limit: int) -> None:
    answered = Gateway(echo, function=function).answer(Exchange(bytes(limit), path=path))

    assert answered.status == 200


@pytest.mark.parametrize(
    ("function", "path", "is_upload"),
    [
        ("UploadFunction", "/legacy", True),
        ("UploadFunction", "/legacy/", True),
        ("UploadFunction", "/acme/legacy", True),
        ("UploadFunction", "/acme%2Flegacy/", True),
        ("UploadFunction", "/acme/legacy/x", False),
        ("UploadFunction", "/acme/mylegacy/", False),
        ("UploadFunction", "/nothing", False),
        ("SimpleFunction", "/simple/legacy/", False),
    ],
)
def test_only_what_is_sent_to_legacy_is_an_upload(
    function: str, path: str, *, is_upload: bool
) -> None:
    exchange = Exchange(path=path, content_length=str(local.MAX_SMALL_BODY_BYTES + 1))

    answered = Gateway(echo, function=function).answer(exchange)

    assert answered.status == (200 if is_upload else 413)


class Waiting(Exchange):
    """A request that comes to a halt, until the test lets it go on."""

    def __init__(self, *chunks: bytes, **parts: str) -> None:
        super().__init__(*chunks, **parts)
        self.halted, self.go_on = asyncio.Event(), asyncio.Event()

    async def halt(self) -> None:
        self.halted.set()
        await self.go_on.wait()


class Stalled(Waiting):
    """A request whose body stops after its first chunk."""

    async def receive(self) -> MutableMapping[str, Any]:
        if len(self._chunks) == 1:
            await self.halt()
        return await super().receive()


class Unread(Waiting):
    """A request whose answer is read no further than its head."""

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if self.sent:
            await self.halt()
        await super().send(message)


LANES = pytest.mark.parametrize(
    ("function", "path"), [("UploadFunction", LEGACY), ("UploadFunction", "/nothing"), ("F", "/x")]
)


@pytest.mark.parametrize(
    ("function", "path", "limit"),
    [
        ("UploadFunction", LEGACY, "UPLOAD_SECONDS"),
        ("UploadFunction", "/nothing", "SMALL_BODY_SECONDS"),
        ("F", "/x", "SMALL_BODY_SECONDS"),
    ],
)
def test_a_body_that_does_not_arrive_in_time_is_refused(
    monkeypatch: pytest.MonkeyPatch, function: str, path: str, limit: str
) -> None:
    monkeypatch.setattr(local, limit, 0)

    answered = Gateway(echo, function=function).answer(Stalled(b"one ", b"two", path=path))

    assert answered.status == 400
    assert answered.headers[b"connection"] == b"close"
    assert json.loads(answered.body)["errors"][0]["code"] == "invalid-request"


def in_turn(
    gateway: Gateway, waiting: Sequence[Waiting], now: Sequence[Exchange], late: Exchange
) -> list[int]:
    """Return the statuses of requests while others wait, of those, and of one after them."""

    async def act() -> None:
        tasks = [asyncio.create_task(gateway.send(exchange)) for exchange in waiting]
        for each in waiting:
            await each.halted.wait()
        for exchange in now:
            await gateway.send(exchange)
        for each in waiting:
            each.go_on.set()
        await asyncio.gather(*tasks)
        await gateway.send(late)

    asyncio.run(act())
    return [exchange.status for exchange in (*now, *waiting, late)]


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each lane four places."""
    monkeypatch.setattr(local, "_MAX_UPLOADS", 4)
    monkeypatch.setattr(local, "_MAX_REQUESTS", 4)


@LANES
@pytest.mark.usefixtures("narrow")
def test_requests_beyond_what_the_server_takes_at_a_time_are_told_to_wait(
    function: str, path: str
) -> None:
    gateway = Gateway(echo, function=function)
    addresses = [f"192.0.2.{number}" for number in range(6)]
    stalled = [Stalled(b"one ", b"two", path=path, address=each) for each in addresses[:4]]
    fifth, late = (Exchange(path=path, address=each) for each in addresses[4:])

    assert in_turn(gateway, stalled, [fifth], late) == [503, 200, 200, 200, 200, 200]
    assert fifth.headers[b"retry-after"] == b"1"
    assert json.loads(fifth.body)["errors"][0]["code"] == "unavailable"


@LANES
@pytest.mark.parametrize(
    ("own", "other"),
    [
        (["192.0.2.1"] * 3, "192.0.2.2"),
        (["2001:db8::1", "2001:db8::2", "2001:db8::3"], "2001:db8:0:1::1"),
    ],
    ids=["IPv4", "IPv6"],
)
@pytest.mark.usefixtures("narrow")
def test_one_address_takes_at_most_half_of_a_lane(
    function: str, path: str, own: list[str], other: str
) -> None:
    gateway = Gateway(echo, function=function)
    stalled = [Stalled(b"one ", b"two", path=path, address=each) for each in own[:2]]
    now = [Exchange(path=path, address=each) for each in (own[2], other)]
    late = Exchange(path=path, address=own[2])

    assert in_turn(gateway, stalled, now, late) == [503, 200, 200, 200, 200]
    assert now[0].headers[b"retry-after"] == b"1"


@pytest.mark.usefixtures("narrow")
def test_a_lane_keeps_no_address_that_has_nothing_in_it() -> None:
    gateway = Gateway(echo)

    in_turn(gateway, [Stalled(b"one ", b"two")], [Exchange(address="192.0.2.2")], Exchange())

    assert gateway.app._others.requests == {}


@LANES
@pytest.mark.usefixtures("narrow")
def test_a_place_is_kept_until_the_answer_is_sent(function: str, path: str) -> None:
    gateway = Gateway(echo, function=function)
    unread = [Unread(b"one", path=path) for _ in range(2)]

    statuses = in_turn(gateway, unread, [Exchange(path=path)], Exchange(path=path))

    assert statuses == [503, 200, 200, 200]


# --- answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 49_151, 49_152, 49_153, 65_536, 1_000_000])
def test_an_answer_of_any_size_is_what_the_function_said(size: int) -> None:
    body = bytes(number % 251 for number in range(size))

    answered = Gateway(answering(body)).answer(Exchange())

    assert answered.body == body
    assert answered.headers[b"content-length"] == str(size).encode()


def test_an_answer_is_sent_in_chunks_and_an_end_that_waits_for_the_last() -> None:
    answered = Gateway(answering(bytes(150_000))).answer(Exchange())

    chunks = [(len(m.get("body", b"")), m.get("more_body", False)) for m in answered.sent[1:]]
    assert chunks == [(65_536, True), (65_536, True), (18_928, True), (0, False)]


@pytest.mark.parametrize(("size", "status"), [(200_000, 200), (300_000, 500)])
def test_only_a_large_answer_waits_on_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: int, status: int
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not there"))
    gateway = Gateway(answering(bytes(size)))

    answered = gateway.answer(Exchange())

    assert answered.status == status
    assert [line["error"] for line in gateway.lines if line["event"] == "fault"] == (
        [] if status == 200 else ["FileNotFoundError"]
    )


@pytest.mark.parametrize(
    ("method", "status", "body", "said", "sent"),
    [
        ("HEAD", 200, b"", "9900000", b"9900000"),
        ("HEAD", 200, b"", None, b"0"),
        ("HEAD", 404, b"{}", None, b"2"),
        ("HEAD", 200, b"{}", "3", b"2"),
        ("GET", 304, b"", "9900000", b"9900000"),
        ("GET", 304, b"", None, None),
        ("HEAD", 304, b"", "9900000", b"9900000"),
        ("GET", 200, b"", "3", b"0"),
        ("GET", 200, b"{}", "3", b"2"),
        ("POST", 200, b"", "3", b"0"),
    ],
)
def test_the_length_is_the_functions_where_the_body_is_left_out(
    method: str, status: int, body: bytes, said: str | None, sent: bytes | None
) -> None:
    headers = {} if said is None else {"content_length": said}

    answered = Gateway(answering(body, status, **headers)).answer(Exchange(method=method))

    assert answered.headers.get(b"content-length") == sent


def test_a_request_that_breaks_off_goes_nowhere() -> None:
    exchange = Exchange()
    messages = [{"type": "http.request", "body": b"half", "more_body": True}]
    messages += [{"type": "http.disconnect"}]

    async def receive() -> MutableMapping[str, Any]:
        return messages.pop(0)

    exchange.receive = receive  # type: ignore[method-assign]
    gateway = Gateway(echo)

    assert gateway.answer(exchange).sent == []
    assert gateway.lines == []


def test_a_function_that_is_not_here_stops_the_start() -> None:
    table = RouteTable([GatewayRoute("$default", "NoSuchFunction")])

    with pytest.raises(TemplateError, match="NoSuchFunction"):
        local.Gateway(table, {}, log.Log())
