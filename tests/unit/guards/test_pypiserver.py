"""The guard of pypiserver, around a small application that says what it was asked."""

import io
import json
import runpy
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytp_broker.guards import pypiserver
from pytp_broker.guards.judging import Guard
from pytp_broker.guards.pypiserver import GuardedIndex
from pytp_broker.guards.settings import SettingsError
from tests.support.asked_brokers import SETTINGS, TOKEN, AskedBroker, standing
from tests.support.deployment import basic
from tests.support.distributions import CONTENT_TYPE, Distribution, form, wheel

Seen = dict[str, Any]


class Inner:
    """Stands for pypiserver: keeps the requests, and answers what a test says."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.bodies: list[bytes] = []
        self.status = "200 OK"
        self.stored = b""
        self.closed = 0
        self.error: OSError | None = None

    def __call__(self, environ: Seen, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if self.error:
            raise self.error
        self.seen.append(environ)
        self.bodies.append(environ["wsgi.input"].read())
        is_upload = environ["REQUEST_METHOD"] == "POST"
        start_response(self.status if is_upload else "200 OK", [])
        return Body(self, b"" if is_upload else self.stored)


class Body(list[bytes]):
    def __init__(self, inner: Inner, octets: bytes) -> None:
        super().__init__([octets])
        self._inner = inner

    def close(self) -> None:
        self._inner.closed += 1


@dataclass
class Answered:
    """What the guard answers."""

    status: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["errors"][0]["code"])


class Site:
    def __init__(self) -> None:
        self.broker, self.inner = AskedBroker(), Inner()
        self.app = GuardedIndex(self.inner, Guard(self.broker), SETTINGS)

    def call(self, method: str, path: str, body: bytes = b"", **changes: Any) -> Answered:
        answered = Answered()

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> None:
            answered.status, answered.headers = status, dict(headers)

        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "QUERY_STRING": "a=b",
            "SERVER_NAME": "localhost",
            "HTTP_AUTHORIZATION": basic("__token__", TOKEN.reveal()),
            "HTTP_X_REMOTE_USER": "root",
            "REMOTE_USER": "root",
            "CONTENT_TYPE": CONTENT_TYPE,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
        }
        answered.body = b"".join(self.app({**environ, **changes}, start_response))
        return answered

    def upload(self, file: Distribution, **changes: Any) -> Answered:
        return self.call("POST", "/", form(file), **changes)


@pytest.fixture
def site() -> Site:
    return Site()


def test_pypiserver_gets_a_form_made_anew_with_the_same_file(site: Site) -> None:
    file = wheel()

    answered = site.upload(file)

    assert answered.status == "200 OK"
    (asked,), (body,) = site.inner.seen, site.inner.bodies
    assert body.count(b"Content-Disposition") == 2
    assert b'name=":action"\r\n\r\nfile_upload\r\n' in body
    assert f'filename="{file.filename}"'.encode() in body
    assert file.content in body
    assert int(asked["CONTENT_LENGTH"]) == len(body)
    assert (asked["REQUEST_METHOD"], asked["PATH_INFO"], asked["QUERY_STRING"]) == ("POST", "/", "")
    assert site.inner.closed == 1


def test_the_form_can_be_read_in_small_pieces(site: Site) -> None:
    pieces: list[bytes] = []

    def inner(environ: Seen, start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        stream = environ["wsgi.input"]
        pieces.extend(iter(lambda: stream.read(7), b""))
        return []

    site.app = replace(site.app, inner=inner)
    assert site.upload(wheel()).status == "200 OK"

    assert wheel().content in b"".join(pieces)
    assert {len(piece) for piece in pieces[:-1]} == {7}


@pytest.mark.promise("guard-hides")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_pypiserver_never_sees_the_token_or_a_user(site: Site, method: str) -> None:
    site.call(method, "/simple/", b"a body")
    site.upload(wheel())

    for asked in site.inner.seen:
        assert not asked.keys() & {"HTTP_AUTHORIZATION", "REMOTE_USER", "AUTH_TYPE"}
        assert TOKEN.reveal() not in str(asked)
    assert site.inner.bodies[0] == b""
    assert not [name for name in site.inner.seen[1] if name.startswith("HTTP_")]


def test_a_private_index_is_read_with_a_token_alone(site: Site) -> None:
    refused = site.call("GET", "/simple/", HTTP_AUTHORIZATION="")

    assert refused.status.startswith("401 send a token as the password")
    assert refused.headers["WWW-Authenticate"].startswith("Basic ")
    assert site.inner.seen == []


def test_everybody_may_ask_for_the_health(site: Site) -> None:
    assert site.call("GET", "/health", HTTP_AUTHORIZATION="").status == "200 OK"


def test_everybody_reads_a_public_index(site: Site) -> None:
    site.app = replace(site.app, settings=replace(SETTINGS, is_public=True))

    assert site.call("GET", "", HTTP_AUTHORIZATION="").status == "200 OK"
    assert site.broker.questions == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/RPC2"),
        ("POST", "/simple/"),
        ("POST", "//"),
        ("POST", "/%2e"),
        ("DELETE", "/"),
        ("PUT", "/packages/widgets-1.0-py3-none-any.whl"),
        ("PROPFIND", "/"),
        ("post", "/"),
    ],
)
def test_no_other_request_reaches_pypiserver(site: Site, method: str, path: str) -> None:
    answered = site.call(method, path, form(wheel()))

    assert answered.status.startswith("405 ")
    assert site.inner.seen == []


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"CONTENT_LENGTH": ""}, "400", "invalid-request"),
        ({"CONTENT_LENGTH": "-1"}, "400", "invalid-request"),
        ({"CONTENT_LENGTH": "1_0"}, "400", "invalid-request"),
        ({"CONTENT_LENGTH": "9" * 5000}, "413", "payload-too-large"),
        ({"CONTENT_LENGTH": "0" * 20 + "9" * 20}, "413", "payload-too-large"),
        ({"CONTENT_LENGTH": "0" * 5000 + "1"}, "413", "payload-too-large"),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, "400", "invalid-request"),
        ({"CONTENT_LENGTH": "100000"}, "400", "invalid-upload"),
        ({"CONTENT_TYPE": "application/json"}, "400", "invalid-upload"),
        ({"HTTP_AUTHORIZATION": ""}, "401", "unauthorized"),
    ],
)
def test_a_body_that_is_not_whole_and_a_form_is_refused(
    site: Site, changes: dict[str, str], status: str, code: str
) -> None:
    answered = site.upload(wheel(), **changes)

    assert (answered.status[:3], answered.code) == (status, code)
    assert site.inner.seen == []


class Broken(io.BytesIO):
    def read(self, _size: int | None = -1, /) -> bytes:
        raise TimeoutError("timed out")


def test_a_client_that_falls_silent_uploads_nothing(site: Site) -> None:
    answered = site.upload(wheel(), **{"wsgi.input": Broken()})

    assert answered.code == "invalid-upload"


def test_the_first_line_of_an_answer_says_why(site: Site) -> None:
    site.broker.plain = standing("g\N{LATIN SMALL LETTER E WITH ACUTE}dgets", *map(str, range(99)))

    answered = site.upload(wheel())

    assert answered.status.startswith("403 the token is not for the project `widgets`; it is for 0")
    assert len(answered.status) <= 204
    assert answered.status.isascii()
    assert answered.headers["Content-Type"] == "application/problem+json"


def test_a_full_disk_refuses_an_upload(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pypiserver, "spool", fail)
    assert site.upload(wheel()).status.startswith("503 ")
    monkeypatch.undo()
    site.inner.error = OSError(28, "No space left on device")
    assert site.upload(wheel()).status.startswith("503 ")

    assert caplog.messages == ["the registry: a file cannot be stored: No space left on device"] * 2


@pytest.mark.parametrize(
    ("status", "stored", "expected"),
    [
        ("409 Conflict", wheel().content, "200 OK"),
        ("400 Bad Request", wheel().content, "200 OK"),
        ("409 Conflict", b"other", "400 "),
        ("500 Internal Server Error", b"", "503 "),
        ("404 Not Found", b"", "400 the index behind this guard refuses the file (404)"),
    ],
)
def test_what_pypiserver_says_is_said_as_the_registry_says_it(
    site: Site, status: str, stored: bytes, expected: str
) -> None:
    site.inner.status, site.inner.stored = status, stored

    assert site.upload(wheel()).status.startswith(expected)


def test_a_registry_that_is_down_is_logged_and_refuses(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.broker.is_down = True

    answered = site.upload(wheel())

    assert answered.headers["Retry-After"] == "5"
    assert caplog.messages == ["the registry: it is down"]
    assert site.inner.seen == []


# Starting


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> list[Seen]:
    """Let the guard find a pypiserver that keeps its options."""
    options: list[Seen] = []

    def app(**given: Any) -> Inner:
        options.append(given)
        return Inner()

    monkeypatch.setitem(sys.modules, "pypiserver", SimpleNamespace(app=app))
    return options


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("PYTP_GUARD_REGISTRY", "https://packages.example.com/acme/")
    monkeypatch.setenv("PYTP_GUARD_CLIENT", "guard")
    monkeypatch.setenv("PYTP_GUARD_SECRET", "a-long-random-secret")
    monkeypatch.setenv("PYTP_GUARD_PACKAGES", str(tmp_path))
    return tmp_path


def test_pypiserver_never_replaces_a_file_or_asks_for_a_password(
    fake: list[Seen], variables: Path
) -> None:
    pypiserver.app(overwrite=True, authenticate=["update"], welcome_msg="hello")

    assert fake == [
        {
            "roots": [variables],
            "disable_fallback": True,
            "welcome_msg": "hello",
            "authenticate": [],
            "password_file": ".",
            "overwrite": False,
        }
    ]


@pytest.mark.usefixtures("fake", "variables")
def test_the_guard_knows_how_large_a_file_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTP_GUARD_MAX_FILE_SIZE", "5 MB")
    monkeypatch.setattr(pypiserver, "Guard", lambda _broker, **options: options)

    assert pypiserver.app().guard == {"max_file_bytes": 5_000_000}  # type: ignore[comparison-overlap]


def test_a_guard_without_a_folder_does_not_start(variables: Path) -> None:
    with pytest.raises(SettingsError, match="must be the folder"):
        pypiserver.app(packages=variables / "missing")


def test_the_command_serves_what_its_options_say(
    fake: list[Seen], variables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[tuple[GuardedIndex, str, int]] = []
    monkeypatch.setattr(pypiserver, "serve", lambda *given: served.append(given))

    status = pypiserver.main(
        ["--reads", "public", "--port", "0", "--registry", "https://a.example"]
    )

    ((guarded, host, port),) = served
    assert (status, host, port) == (0, "127.0.0.1", 0)
    assert guarded.settings.is_public
    assert guarded.settings.registry_url == "https://a.example"


def test_the_command_says_which_setting_is_wrong(
    variables: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["pypiserver", "--client", "a b"])
    monkeypatch.delitem(sys.modules, "pytp_broker.guards.pypiserver")

    with pytest.raises(SystemExit) as ended:
        runpy.run_module("pytp_broker.guards.pypiserver", run_name="__main__")

    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("error: PYTP_GUARD_CLIENT is `a b`; it must be")
