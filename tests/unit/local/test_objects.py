"""The bytes of an upload at a signed address of the local server."""

import asyncio
import errno
import hashlib
import json
import os
from collections.abc import Iterator, MutableMapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from pytp_broker.local import kinds
from pytp_broker.local.objects import Objects
from pytp_broker.storage import receiving
from pytp_broker.storage.file_folder import FolderFiles
from pytp_broker.storage.file_store import Stored
from tests.support.fakes import stored_bytes
from tests.support.gateways import Exchange, Gateway, echo
from tests.support.signing import NOW

KEY = f"staged/acme/{'0' * 32}/widgets-1!1.0+local-py3-none-any.whl"
WHEEL = b"PK" * 100_000
SHA256 = hashlib.sha256(WHEEL).hexdigest()


class Place:
    """A folder behind the gateway, and what clients send to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = FolderFiles(folder)
        self.now = NOW
        self.gateway = Gateway(echo, objects=Objects(self.files, lambda: self.now))
        target = self.files.upload_target(KEY, len(WHEEL), SHA256, NOW)
        url = urlsplit(target.url)
        self.path, self.query = url.path, url.query
        self.headers = {n.lower().replace("-", "_"): v for n, v in target.headers.items()}

    def put(self, *chunks: bytes, **changes: Any) -> Exchange:
        return self.gateway.answer(self.exchange(*chunks, **changes))

    def exchange(self, *chunks: bytes, **changes: Any) -> Exchange:
        asked = {
            "method": "PUT",
            "path": self.path,
            "query": self.query,
            "authorization": None,
            **self.headers,
            **changes,
        }
        return Exchange(*chunks, **{name: v for name, v in asked.items() if v != ""})

    @property
    def left(self) -> list[str]:
        """Return the files in the folder."""
        return [
            p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*") if p.is_file()
        ]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def code(answered: Exchange) -> str:
    return str(json.loads(answered.body)["errors"][0]["code"])


def detail(answered: Exchange) -> str:
    return str(json.loads(answered.body)["detail"])


def test_the_signed_bytes_are_stored_under_their_key(place: Place) -> None:
    answered = place.put(WHEEL[:70_000], WHEEL[70_000:])

    assert (answered.status, answered.body) == (200, b"")
    assert stored_bytes(place.files, KEY) == WHEEL
    assert place.left == [KEY]


def test_the_store_knows_the_hash_of_what_it_has_received(place: Place) -> None:
    place.put(WHEEL)

    assert place.files.find(KEY) == Stored(len(WHEEL), SHA256)
    place.files.keep(KEY)
    assert place.files.find(KEY) == Stored(len(WHEEL), None)


def test_the_bytes_are_durable_before_the_answer(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)

    place.put(WHEEL)

    assert len(synced) == 5  # the file, and the four folders above it


@pytest.mark.promise("signed-put")
def test_a_second_put_changes_nothing(place: Place) -> None:
    place.put(WHEEL)

    for chunks in (WHEEL, bytes(len(WHEEL))):
        answered = place.put(chunks)
        assert (answered.status, code(answered)) == (412, "already-stored")

    assert stored_bytes(place.files, KEY) == WHEEL


def test_of_two_puts_at_the_same_time_one_is_stored(place: Place) -> None:
    async def race() -> list[int]:
        both = [place.exchange(WHEEL[:9], WHEEL[9:]) for _ in range(2)]
        await asyncio.gather(*map(place.gateway.send, both))
        return sorted(each.status for each in both)

    assert asyncio.run(race()) == [200, 412]
    assert stored_bytes(place.files, KEY) == WHEEL
    assert place.left == [KEY]


@pytest.mark.promise("signed-put")
def test_other_bytes_are_refused(place: Place) -> None:
    other = bytes(len(WHEEL))

    answered = place.put(other)

    assert (answered.status, code(answered)) == (400, "invalid-request")
    assert hashlib.sha256(other).hexdigest() in detail(answered)
    assert SHA256 in detail(answered)
    assert place.left == []


def test_refused_bytes_may_be_followed_by_the_right_ones(place: Place) -> None:
    place.put(bytes(len(WHEEL)))

    assert place.put(WHEEL).status == 200


@pytest.mark.parametrize("length", ["", "1", "200001"], ids=["none", "fewer", "more"])
def test_another_length_is_refused_before_the_body(place: Place, length: str) -> None:
    answered = place.gateway.answer(unreadable(place, content_length=length))

    assert answered.status == 400
    assert "the address is for 200000 bytes" in detail(answered)


def unreadable(place: Place, **changes: Any) -> Exchange:
    """Return a request whose body must not be read."""

    async def receive() -> MutableMapping[str, Any]:
        raise AssertionError

    exchange = place.exchange(**changes)
    exchange.receive = receive  # type: ignore[method-assign]
    return exchange


def test_a_body_that_ends_early_leaves_nothing(place: Place) -> None:
    """The protocol refuses it too; here a body simply ends."""
    answered = place.put(WHEEL[:-1])

    assert answered.status == 400
    assert "200.0 kB came, and the address is for 200.0 kB" in detail(answered)
    assert place.left == []


def test_a_connection_that_drops_leaves_nothing(place: Place) -> None:
    exchange = place.exchange()
    messages: Iterator[MutableMapping[str, Any]] = iter(
        [
            {"type": "http.request", "body": WHEEL[:100_000], "more_body": True},
            {"type": "http.disconnect"},
        ]
    )

    async def receive() -> MutableMapping[str, Any]:
        return next(messages)

    exchange.receive = receive  # type: ignore[method-assign]
    place.gateway.answer(exchange)

    assert exchange.sent == []
    assert place.left == []


@pytest.mark.promise("signed-put")
def test_an_address_ends_after_fifteen_minutes(place: Place) -> None:
    place.now = NOW + timedelta(minutes=15)

    answered = place.gateway.answer(unreadable(place))

    assert (answered.status, code(answered)) == (403, "forbidden")
    assert "has expired" in detail(answered)


@pytest.mark.parametrize(
    ("old", "new"),
    [("size=200000", "size=200001"), ("sha256=", "sha256=0"), ("signature=", "signature=0")],
)
def test_a_changed_address_is_refused(place: Place, old: str, new: str) -> None:
    answered = place.gateway.answer(unreadable(place, query=place.query.replace(old, new)))

    assert (answered.status, code(answered)) == (403, "forbidden")


@pytest.mark.parametrize("name", ["", "other.whl", "../../../x", "%2e%2e/x", "x%00"])
def test_an_address_is_good_for_one_key(place: Place, name: str) -> None:
    other = f"{place.path.rpartition('/')[0]}/{name}"

    assert place.gateway.answer(unreadable(place, path=other)).status == 403
    assert place.left == []


def test_an_address_of_an_earlier_process_is_refused(place: Place, tmp_path: Path) -> None:
    place.gateway = Gateway(echo, objects=Objects(FolderFiles(tmp_path), lambda: NOW))

    answered = place.gateway.answer(unreadable(place))

    assert answered.status == 403
    assert "which may have started again since" in detail(answered)


@pytest.mark.parametrize("value", ["", "x"])
def test_the_signed_header_must_be_sent(place: Place, value: str) -> None:
    answered = place.gateway.answer(unreadable(place, if_none_match=value))

    assert answered.status == 403
    assert "`If-None-Match: *` is signed and missing" in detail(answered)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
def test_an_object_takes_nothing_but_put(place: Place, method: str) -> None:
    answered = place.gateway.answer(unreadable(place, method=method))

    assert answered.status == 405
    assert answered.headers[b"allow"] == b"PUT"


def test_a_full_disk_is_a_503_and_leaves_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(receiving.Receiver, "write", fail)

    answered = place.put(WHEEL)

    assert (answered.status, code(answered)) == (503, "unavailable")
    assert place.left == []
    assert place.gateway.lines[0]["event"] == "fault"


def test_a_disk_that_is_full_at_the_last_bytes_keeps_none_of_them(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Path("/dev/full")
    monkeypatch.setattr(os, "fdopen", lambda *_: full.open("wb", buffering=2**20))

    answered = place.put(WHEEL)

    assert answered.status == 503
    assert place.left == []


def test_a_slow_client_loses_its_place(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "UPLOAD_SECONDS", 0)
    slow = Place(place.folder / "slow")
    exchange = slow.exchange()

    async def receive() -> MutableMapping[str, Any]:
        await asyncio.sleep(60)
        raise AssertionError

    exchange.receive = receive  # type: ignore[method-assign]
    answered = slow.gateway.answer(exchange)

    assert answered.status == 400
    assert "arrives too slowly" in detail(answered)


def test_the_line_in_the_log_has_no_signature(place: Place) -> None:
    place.put(WHEEL)

    (line,) = place.gateway.lines
    assert (line["path"], line["status"]) == (f"/_/objects/{KEY}", 200)
    assert place.query.rpartition("=")[2] not in place.gateway.log.getvalue()


def test_without_a_folder_there_is_no_such_address(place: Place) -> None:
    place.gateway = Gateway(echo)

    assert place.put(b"x", content_length="1").body == b"x"  # what the function makes of it
