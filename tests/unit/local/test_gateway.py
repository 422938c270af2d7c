"""The local gateway: its answers, and the limits on what requests may use."""

import asyncio
import base64
import io
import json
import tempfile
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

import pytest

from pytp_broker.content import Lent, Opened, read_all
from pytp_broker.errors import PayloadTooLarge
from pytp_broker.local import gateway as local
from pytp_broker.local import kinds, log
from pytp_broker.local.lanes import Lane
from pytp_broker.local.routes import GatewayRoute, RouteTable, TemplateError
from pytp_broker.local.uploads import Uploads
from tests.support.gateways import ADMITTED, BEARER, Exchange, Gateway, echo, function_answering


async def nobody(_event: Mapping[str, Any]) -> int:
    return 0


def basic(token: str) -> str:
    return "Basic " + base64.b64encode(f"__token__:{token}".encode()).decode()


def test_a_request_goes_to_its_function_and_the_result_comes_back() -> None:
    gateway = Gateway(echo)

    answered = gateway.answer(Exchange(b"one ", b"two"))

    assert answered.status == 200
    assert answered.body == b"one two"
    assert answered.headers == {b"content-type": b"text/plain", b"content-length": b"7"}


@pytest.mark.promise("logged-refusals")
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
        ("UploadFunction", LEGACY, ADMITTED),
        ("UploadFunction", "/nothing", kinds.MAX_SMALL_BODY_BYTES),
        ("F", "/x", kinds.MAX_SMALL_BODY_BYTES),
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
        ("UploadFunction", LEGACY, ADMITTED),
        ("F", "/x", kinds.MAX_SMALL_BODY_BYTES),
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
        ("ReadFunction", "/simple/legacy/", False),
    ],
)
def test_only_what_is_sent_to_legacy_is_an_upload(
    function: str, path: str, *, is_upload: bool
) -> None:
    exchange = Exchange(path=path, content_length=str(kinds.MAX_SMALL_BODY_BYTES + 1))

    answered = Gateway(echo, function=function).answer(exchange)

    assert answered.status == (200 if is_upload else 413)


class Waiting(Exchange):
    """A request that waits until the test lets it continue."""

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
    """A request whose client reads only the head of the answer."""

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
    monkeypatch.setattr(kinds, limit, 0)

    answered = Gateway(echo, function=function).answer(Stalled(b"one ", b"two", path=path))

    assert answered.status == 400
    assert answered.headers[b"connection"] == b"close"
    assert json.loads(answered.body)["errors"][0]["code"] == "invalid-request"


@pytest.mark.parametrize(("size", "status"), [(200_000, 200), (300_000, 503)])
def test_only_a_large_body_waits_on_disk_and_a_full_disk_is_our_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: int, status: int
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not there"))
    gateway = Gateway(echo)

    answered = gateway.answer(Exchange(bytes(size)))

    assert answered.status == status
    assert [line["error"] for line in gateway.lines if line["event"] == "fault"] == (
        [] if status == 200 else ["FileNotFoundError"]
    )


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each lane four places, and its queue eight."""
    for name, places in {"REQUESTS": 4, "UPLOADS": 4}.items():
        monkeypatch.setattr(kinds, f"_MAX_{name}", places)
        monkeypatch.setattr(kinds, f"_MAX_WAITING_{name}", 2 * places)


class Crowd:
    """Requests to one gateway, each in progress or in a queue."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._tasks: dict[Exchange, asyncio.Task[None]] = {}

    async def send(self, *exchanges: Exchange) -> None:
        """Send these, and let all that can go on do so."""
        for exchange in exchanges:
            self._tasks[exchange] = asyncio.create_task(self._gateway.send(exchange))
        await self.settle()

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async def finish(self, exchange: Exchange) -> Exchange:
        """Let one go on, and return it when it is answered."""
        if isinstance(exchange, Waiting):
            exchange.go_on.set()
        await self._tasks[exchange]
        await self.settle()
        return exchange

    async def leave(self, exchange: Exchange) -> None:
        self._tasks[exchange].cancel()
        await self.settle()


def stalled(path: str, *addresses: str) -> list[Stalled]:
    return [Stalled(b"one ", b"two", path=path, address=address) for address in addresses]


A, B, C, D = "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"
FULL = (A, A, B, C)  # each takes half of what is free


@pytest.mark.promise("many-addresses")
@LANES
@pytest.mark.usefixtures("narrow")
def test_requests_beyond_what_the_server_takes_at_a_time_wait(function: str, path: str) -> None:
    gateway = Gateway(echo, function=function)

    async def act() -> None:
        crowd = Crowd(gateway)
        first = stalled(path, *FULL)
        late = Exchange(path=path, address=D)
        await crowd.send(*first, late)
        assert late.sent == []

        for each in (*first, late):
            assert (await crowd.finish(each)).status == 200

    asyncio.run(act())


@LANES
@pytest.mark.parametrize("limit", ["SECONDS", "PLACES"])
@pytest.mark.usefixtures("narrow")
def test_a_request_that_cannot_wait_is_told_to_come_back(
    monkeypatch: pytest.MonkeyPatch, function: str, path: str, limit: str
) -> None:
    names = {"SECONDS": ("_WAIT_SECONDS", "_UPLOAD_WAIT_SECONDS")}
    for name in names.get(limit, ("_MAX_WAITING_REQUESTS", "_MAX_WAITING_UPLOADS")):
        monkeypatch.setattr(kinds, name, 0)
    gateway = Gateway(echo, function=function)

    async def act() -> None:
        crowd = Crowd(gateway)
        first = stalled(path, *FULL)
        refused, late = (Exchange(path=path, address=D) for _ in range(2))
        await crowd.send(*first)
        await crowd.send(refused)

        assert (await crowd.finish(refused)).status == 503

        assert refused.headers[b"retry-after"] == b"10"
        assert json.loads(refused.body)["errors"][0]["code"] == "unavailable"
        for each in first:
            assert (await crowd.finish(each)).status == 200
        await crowd.send(late)
        assert (await crowd.finish(late)).status == 200

    asyncio.run(act())


@pytest.mark.promise("fair-share")
@LANES
@pytest.mark.parametrize(
    ("own", "other"),
    [
        ([A, A, A], B),
        (["2001:db8::1", "2001:db8::2", "2001:db8::3"], "2001:db8:0:1::1"),
    ],
    ids=["IPv4", "IPv6"],
)
@pytest.mark.usefixtures("narrow")
def test_one_address_takes_at_most_half_of_a_lane(
    function: str, path: str, own: list[str], other: str
) -> None:
    gateway = Gateway(echo, function=function)

    async def act() -> None:
        crowd = Crowd(gateway)
        first = stalled(path, *own)
        await crowd.send(*first)
        at_once = Exchange(path=path, address=other)
        await crowd.send(at_once)

        assert (await crowd.finish(at_once)).status == 200

        assert [each.halted.is_set() for each in first] == [True, True, False]
        for each in first:
            assert (await crowd.finish(each)).status == 200

    asyncio.run(act())


@pytest.mark.promise("fair-share")
@LANES
@pytest.mark.usefixtures("narrow")
def test_two_addresses_that_keep_their_places_do_not_stop_a_third(function: str, path: str) -> None:
    gateway = Gateway(echo, function=function)

    async def act() -> None:
        crowd = Crowd(gateway)
        kept, [third] = stalled(path, A, A, A, B, B, B), stalled(path, C)
        await crowd.send(*kept, third)

        assert third.halted.is_set()

        for each in (*kept, third):
            assert (await crowd.finish(each)).status == 200

    asyncio.run(act())


@pytest.mark.promise("own-lanes")
@LANES
@pytest.mark.usefixtures("narrow")
def test_addresses_that_wait_are_served_in_turn(function: str, path: str) -> None:
    gateway = Gateway(echo, function=function)

    async def act() -> None:
        crowd = Crowd(gateway)
        first = stalled(path, *FULL)
        many = stalled(path, A, A, A)
        single = stalled(path, D)
        await crowd.send(*first, *many, *single)

        await crowd.finish(first[0])
        assert [each.halted.is_set() for each in (*many, *single)] == [False, False, False, True]
        await crowd.finish(first[1])

        assert [each.halted.is_set() for each in (*many, *single)] == [True, False, False, True]
        for each in (*first, *many, *single):
            assert (await crowd.finish(each)).status == 200

    asyncio.run(act())


@pytest.mark.usefixtures("narrow")
def test_one_address_takes_at_most_half_of_the_queue() -> None:
    gateway = Gateway(echo)

    async def act() -> None:
        crowd = Crowd(gateway)
        first = stalled("/x", *FULL)
        waiting = stalled("/x", A, A, A, A)
        fifth, other = Exchange(path="/x", address=A), Exchange(path="/x", address=D)
        await crowd.send(*first, *waiting, fifth, other)

        assert fifth.status == 503
        assert other.sent == []

        for each in (*first, *waiting, other):
            assert (await crowd.finish(each)).status == 200

    asyncio.run(act())


@pytest.mark.usefixtures("narrow")
def test_a_request_that_waits_and_leaves_takes_no_place() -> None:
    gateway = Gateway(echo)

    async def act() -> None:
        crowd = Crowd(gateway)
        first = stalled("/x", *FULL)
        gone, stays = stalled("/x", D, D)
        await crowd.send(*first, gone, stays)

        await crowd.leave(gone)

        await crowd.finish(first[0])
        assert stays.halted.is_set()
        for each in (*first[1:], stays):
            assert (await crowd.finish(each)).status == 200
        assert gateway.app.lanes["others"].requests == {}

    asyncio.run(act())


def test_a_place_that_comes_when_its_request_has_left_goes_to_the_next() -> None:
    lane = Lane(places=2, queue_places=4, wait_seconds=9)

    async def visit(until: asyncio.Event) -> None:
        async with lane.entered(A):
            await until.wait()

    async def act() -> None:
        stay = asyncio.Event()
        async with lane.entered(A):
            second, third = (asyncio.create_task(visit(stay)) for _ in range(2))
            await asyncio.sleep(0)
        second.cancel()

        await asyncio.wait([second], timeout=1)

        assert second.cancelled()
        assert lane.requests == {A: 1}
        stay.set()
        await third
        assert lane.requests == {}

    asyncio.run(act())


@LANES
@pytest.mark.usefixtures("narrow")
def test_a_place_is_kept_until_the_answer_is_sent(function: str, path: str) -> None:
    gateway = Gateway(echo, function=function)

    async def act() -> None:
        crowd = Crowd(gateway)
        unread = [Unread(b"one", path=path) for _ in range(2)]
        late = Exchange(path=path)
        for each in unread:
            await crowd.send(each)
            await each.halted.wait()
        await crowd.send(late)

        assert late.sent == []

        for exchange in (*unread, late):
            assert (await crowd.finish(exchange)).status == 200

    asyncio.run(act())


def test_a_place_goes_past_a_request_that_has_just_left() -> None:
    lane = Lane(places=1, queue_places=4, wait_seconds=9)

    async def visit(address: str) -> None:
        async with lane.entered(address):
            await asyncio.Event().wait()

    async def act() -> None:
        async with lane.entered(A):
            gone, stays = (asyncio.create_task(visit(each)) for each in (B, C))
            await asyncio.sleep(0)
            gone.cancel()  # and before it can leave the queue, the place becomes free
        await asyncio.wait([gone], timeout=1)

        assert lane.requests == {C: 1}
        stays.cancel()

    asyncio.run(act())


@pytest.mark.promise("own-lanes")
@pytest.mark.parametrize("function", ["BrokerFunction", "IntrospectFunction"])
@pytest.mark.usefixtures("narrow")
def test_readers_and_uploads_do_not_make_an_exchange_wait(function: str) -> None:
    gateway = Gateway(echo, "$default", "ReadFunction", legacy="UploadFunction", mint=function)

    async def act() -> None:
        crowd = Crowd(gateway)
        others = stalled("/file", *FULL) + stalled("/legacy", *FULL)
        await crowd.send(*others)
        exchange = Exchange(path="/mint", address=A)
        await crowd.send(exchange)

        assert (await crowd.finish(exchange)).status == 200

        for each in others:
            await crowd.finish(each)

    asyncio.run(act())


# --- uploads without a token --------------------------------------------------------------------


class Unreadable(Exchange):
    """A request whose body must not be asked for."""

    async def receive(self) -> MutableMapping[str, Any]:
        raise AssertionError


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer pytp_nonsense",
        BEARER[:-1],
        BEARER + "0",
        "Basic !",
        f"{BEARER},{BEARER}",
        "Digest username=x",
    ],
)
def test_an_upload_without_a_well_formed_token_is_answered_before_its_body(
    authorization: str | None,
) -> None:
    gateway = Gateway(echo, function="UploadFunction")
    exchange = Unreadable(path=LEGACY, authorization=authorization, content_length="9999999")

    answered = gateway.answer(exchange)

    assert (answered.status, answered.body) == (200, b"")  # what the function makes of no body


def test_an_upload_without_a_token_is_refused_for_that_however_large_it_is() -> None:
    gateway = Gateway(echo, function="UploadFunction")
    exchange = Unreadable(path=LEGACY, authorization=None, content_length=str(ADMITTED + 1))

    assert gateway.answer(exchange).body == b""  # what the function makes of no body


@pytest.mark.promise("unread-body")
def test_the_body_of_an_upload_that_is_not_admitted_is_not_read() -> None:
    gateway = Gateway(echo, function="UploadFunction", admitted=0)

    answered = gateway.answer(Unreadable(path=LEGACY, content_length="9999999"))

    assert (answered.status, answered.body) == (200, b"")


def test_only_a_large_body_reaches_the_function_without_base64() -> None:
    events: list[Mapping[str, Any]] = []

    def note(event: Mapping[str, Any]) -> Mapping[str, Any]:
        if event.get("content"):
            events.append({"content": read_all(event["content"])})
        else:
            events.append(event)
        return {"statusCode": 200}

    gateway = Gateway(note, function="UploadFunction")
    for size in (262_144, 262_145):
        gateway.answer(Exchange(bytes(size), path=LEGACY))

    assert base64.b64decode(events[0]["body"]) == bytes(262_144)
    assert events[1] == {"content": bytes(262_145)}


def test_content_is_sent_piece_by_piece_and_closed() -> None:
    octets = bytes(600_000)
    closed: list[bool] = []
    content = Lent(Opened(io.BytesIO(octets), len(octets)), lambda: closed.append(True))
    gateway = Gateway(lambda _: {"statusCode": 200, "content": content})

    answered = gateway.answer(Exchange(method="GET"))

    assert [len(m.get("body", b"")) for m in answered.sent[1:]] == [262_144, 262_144, 75_712, 0]
    assert answered.headers[b"content-length"] == b"600000"
    assert closed == [True]


@pytest.mark.parametrize(
    "authorization",
    [BEARER, BEARER.lower().replace(BEARER[7:].lower(), BEARER[7:]), basic(BEARER[7:])],
)
def test_the_body_of_an_upload_with_a_well_formed_token_is_read(authorization: str) -> None:
    gateway = Gateway(echo, function="UploadFunction")

    answered = gateway.answer(Exchange(b"body", path=LEGACY, authorization=authorization))

    assert answered.body == b"body"


@pytest.mark.usefixtures("narrow")
def test_uploads_without_a_token_take_no_place_of_uploads() -> None:
    gateway = Gateway(echo, function="UploadFunction")

    async def act() -> None:
        crowd = Crowd(gateway)
        unread = [
            Unread(b"x", path=LEGACY, authorization="", address=address) for address in (A, A, B)
        ]
        await crowd.send(*unread)
        upload = Exchange(b"body", path=LEGACY, address=A)
        await crowd.send(upload)

        assert (await crowd.finish(upload)).body == b"body"

        for each in unread:
            await crowd.finish(each)

    asyncio.run(act())


# --- answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 49_151, 49_152, 49_153, 65_536, 1_000_000])
def test_an_answer_of_any_size_is_what_the_function_said(size: int) -> None:
    body = bytes(number % 251 for number in range(size))

    answered = Gateway(function_answering(body)).answer(Exchange())

    assert answered.body == body
    assert answered.headers[b"content-length"] == str(size).encode()


def test_an_answer_is_sent_in_chunks_and_an_end_that_waits_for_the_last() -> None:
    answered = Gateway(function_answering(bytes(150_000))).answer(Exchange())

    chunks = [(len(m.get("body", b"")), m.get("more_body", False)) for m in answered.sent[1:]]
    assert chunks == [(65_536, True), (65_536, True), (18_928, True), (0, False)]


@pytest.mark.parametrize(("size", "status"), [(200_000, 200), (300_000, 500)])
def test_only_a_large_answer_waits_on_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: int, status: int
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not there"))
    gateway = Gateway(function_answering(bytes(size)))

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

    answered = Gateway(function_answering(body, status, **headers)).answer(Exchange(method=method))

    assert answered.headers.get(b"content-length") == sent


def test_a_request_that_breaks_off_goes_nowhere() -> None:
    exchange = Exchange(b"half")
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
        local.Gateway(table, {}, log.Log(), uploads=Uploads(nobody))
