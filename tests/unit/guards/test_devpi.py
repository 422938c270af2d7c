"""devpi's plug-in, with requests as Pyramid makes them: what a token may do, and who may read."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from pytp_broker.errors import Forbidden, InvalidUpload, Problem, Unauthorized
from pytp_broker.guards import devpi
from pytp_broker.guards.devpi_requests import Desk, TokenIdentity
from pytp_broker.guards.judging import Guard
from pytp_broker.guards.settings import SettingsError, read_indexes
from tests.support.asked_brokers import TOKEN, AskedBroker
from tests.support.deployment import basic
from tests.support.distributions import Distribution, fields, wheel

BASIC = basic("__token__", TOKEN.reveal())
PLAIN = BASIC.removeprefix("Basic ")
ACL = tuple(
    ("Allow", "system.Everyone", permission)
    for permission in ("pkg_read", "upload", "pypi_submit", "del_entry", "index_modify")
)

USER = "root"
INDEX = f"{USER}/prod"


class Post(dict[str, list[Any]]):
    """A form as WebOb parses it."""

    def getall(self, name: str) -> list[Any]:
        return self.get(name, [])


def posted(file: Distribution, **changes: str) -> Post:
    texts = {name: [value] for name, value in fields(file, **changes)}
    content = SimpleNamespace(filename=file.filename, file=io.BytesIO(file.content))
    return Post({**texts, "content": [content]})


class Model:
    """Has the indexes `root/prod`, which inherits from `root/base`, and `root/other`."""

    def getstage(self, user: str, index: str) -> Any:
        if index == "missing":
            return None
        names = ("root/prod", "root/base") if index == "prod" else (f"{user}/{index}",)
        return SimpleNamespace(sro=lambda: (SimpleNamespace(name=name) for name in names))


@dataclass
class Request:
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=lambda: {"Authorization": BASIC})
    path: str = f"/{INDEX}/"
    POST: Any = None
    matchdict: Mapping[str, str] | None = None
    matched_route: Any = None
    identity: Any = None
    registry: Any = field(default_factory=lambda: {"xom": SimpleNamespace(model=Model())})
    response: Any = field(default_factory=SimpleNamespace)
    environ: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.environ["PATH_INFO"] = self.path


@pytest.fixture
def broker() -> AskedBroker:
    return AskedBroker()


@pytest.fixture
def desk(broker: AskedBroker, monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = Desk(Guard(broker), is_public=False, indexes=frozenset({"root/prod", "root/missing"}))
    monkeypatch.setattr(devpi, "desk", lambda: made)
    return made


def stage(name: str = "root/prod", *, volatile: bool = False) -> Any:
    return SimpleNamespace(name=name, ixconfig={"volatile": volatile})


def upload(file: Distribution | None = None, **changes: str) -> Request:
    return Request("POST", POST=posted(file or wheel(), **changes))


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": BASIC},
        {"Authorization": f"Bearer {TOKEN.reveal()}"},
        {"X-Devpi-Auth": PLAIN},
        {"Authorization": "Basic cm9vdDp4", "X-Devpi-Auth": PLAIN},
    ],
)
def test_a_token_is_found_wherever_devpi_takes_credentials(
    desk: Desk, headers: dict[str, str]
) -> None:
    request = Request(headers=headers)

    desk.judge(request)

    assert devpi.devpiserver_get_credentials(request) == ("__token__", "")
    identity = devpi.devpiserver_get_identity(request, ("__token__", ""))
    assert identity == TokenIdentity(may_upload=False)
    assert identity.groups == ["pytp"]


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Basic cm9vdDp4"}, {"Authorization": "Basic a"}]
)
def test_other_credentials_are_left_to_devpi(
    desk: Desk, broker: AskedBroker, headers: dict[str, str]
) -> None:
    request = Request("DELETE", headers)

    desk.judge(request)

    assert devpi.devpiserver_get_credentials(request) is None
    assert devpi.devpiserver_get_identity(request, ("root", "x")) is None
    assert devpi.devpiserver_get_identity(request, None) is None
    assert desk.identify(request) is None
    assert broker.questions == []


def test_a_request_that_no_tween_has_seen_is_judged_as_one_that_reads(
    desk: Desk, broker: AskedBroker
) -> None:
    assert desk.identify(Request()) == TokenIdentity(may_upload=False)

    broker.reading = broker.plain = None
    with pytest.raises(Unauthorized):
        Desk(Guard(broker), desk.is_public, desk.indexes).identify(Request())


def test_an_upload_is_judged_and_left_for_devpi_to_read(desk: Desk) -> None:
    request = upload()

    desk.judge(request)

    assert desk.identify(request) == TokenIdentity(may_upload=True)
    assert request.POST["content"][0].file.read() == wheel().content


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "PUSH", "OPTIONS"])
def test_a_token_makes_no_other_request(desk: Desk, method: str) -> None:
    with pytest.raises(Forbidden, match="nothing else"):
        desk.judge(replace(upload(), method=method))


@pytest.mark.parametrize(
    "path", [f"/{USER}/other/", "/+login", f"/{INDEX}/+f/a", "/", f"/{USER.upper()}/prod"]
)
def test_a_token_uploads_to_guarded_indexes_alone(desk: Desk, path: str) -> None:
    request = upload()
    request.environ["PATH_INFO"] = path

    with pytest.raises(Forbidden, match="nothing else"):
        desk.judge(request)


class Unreadable:
    def __contains__(self, _name: str) -> bool:
        raise ValueError("no boundary")


TWICE = posted(wheel())
TWICE["name"] = ["widgets", "gadgets"]
AS_FILE = posted(wheel())
AS_FILE["name"] = [SimpleNamespace(filename="name", file=io.BytesIO(b"widgets"))]
AS_TEXT = Post({**posted(wheel()), "content": ["text"]})
TWO_FILES = Post({**posted(wheel()), "content": posted(wheel())["content"] * 2})


@pytest.mark.parametrize(
    "post",
    [Unreadable(), {}, TWICE, AS_FILE, AS_TEXT, TWO_FILES, Post()],
    ids=["broken", "no form", "two names", "a file as name", "text", "two files", "empty"],
)
def test_a_form_that_can_be_read_in_two_ways_is_refused(desk: Desk, post: Any) -> None:
    with pytest.raises(InvalidUpload):
        desk.judge(Request("POST", POST=post))


def test_a_token_may_do_what_was_judged_and_nothing_else(desk: Desk) -> None:
    request = upload()
    desk.judge(request)
    request.identity = desk.identify(request)

    def denied(where: Any) -> set[str]:
        found = devpi.devpiserver_auth_denials(request, ACL, where)
        assert found is not None
        assert {principal for principal, _ in found} <= {"system.Everyone"}
        return {permission for _, permission in found}

    assert denied(stage()) == {"del_entry", "index_modify"}
    others = {"upload", "pypi_submit", "del_entry", "index_modify"}
    assert denied(stage("root/other")) == denied(None) == others
    request.identity = TokenIdentity(may_upload=False)
    assert denied(stage()) == others


def test_a_volatile_index_takes_no_file(desk: Desk) -> None:
    request = upload()
    request.identity = TokenIdentity(may_upload=True)

    with pytest.raises(Forbidden, match="volatile=False"):
        devpi.devpiserver_auth_denials(request, ACL, stage(volatile=True))


def test_what_devpi_allows_others_is_left_to_devpi(desk: Desk) -> None:
    request = Request(identity=SimpleNamespace(username="root", groups=[]))

    assert devpi.devpiserver_auth_denials(request, ACL, stage()) is None


# Reading


def see(desk: Desk, **changes: Any) -> None:
    desk.check_view(Request(**changes))


def test_nobody_sees_a_view_without_an_identity(desk: Desk) -> None:
    with pytest.raises(Unauthorized):
        see(desk)
    see(desk, identity=SimpleNamespace(username="root"))
    see(desk, matched_route=SimpleNamespace(name="/+login"))
    with pytest.raises(Unauthorized):
        see(desk, matched_route=SimpleNamespace(name="/"))


def test_everybody_sees_a_public_server(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    see(replace(desk, is_public=True))

    assert devpi.devpiserver_stage_get_principals_for_pkg_read() == [":AUTHENTICATED:"]
    monkeypatch.setattr(devpi, "desk", lambda: replace(desk, is_public=True))
    assert devpi.devpiserver_stage_get_principals_for_pkg_read() is None


@pytest.mark.parametrize("index", ["prod", "base", "prod/"])
def test_a_token_reads_a_guarded_index_and_what_it_inherits(desk: Desk, index: str) -> None:
    see(desk, identity=TokenIdentity(may_upload=False), matchdict={"user": "root", "index": index})


@pytest.mark.parametrize(
    "matchdict", [None, {}, {"user": "root"}, {"user": "root", "index": "other"}]
)
def test_a_token_reads_nothing_else(desk: Desk, matchdict: Mapping[str, str] | None) -> None:
    with pytest.raises(Forbidden):
        see(desk, identity=TokenIdentity(may_upload=False), matchdict=matchdict)


# Inside devpi


def test_the_tween_writes_a_refusal_as_the_registry_does(desk: Desk) -> None:
    reached: list[Request] = []

    def answer(request: Request) -> str:
        reached.append(request)
        return "answer"

    handler = devpi.tween(answer, None)

    assert handler(upload()) == "answer"
    response = handler(Request("DELETE"))

    assert len(reached) == 1
    assert response.status == "403 a token reads and uploads files here, and does nothing else"
    assert json.loads(response.body)["errors"][0]["code"] == "forbidden"
    assert ("Content-Type", "application/problem+json") in response.headerlist


def test_a_view_is_guarded_before_it_runs(desk: Desk) -> None:
    guarded = devpi.guard_view(lambda context, _request: context, None)

    assert guarded("context", Request(identity=SimpleNamespace())) == "context"
    with pytest.raises(Problem):
        guarded("context", Request())


class Pyramid:
    def __init__(self) -> None:
        self.added: list[tuple[Any, ...]] = []

    def add_tween(self, *given: Any, **options: Any) -> None:
        self.added.append((*given, options))

    def add_view_deriver(self, *given: Any, **options: Any) -> None:
        self.added.append((*given, options))


def test_the_guard_runs_before_devpi_opens_a_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    devpi.desk.cache_clear()
    monkeypatch.setenv("PYTP_GUARD_REGISTRY", "https://packages.example.com/acme/")
    monkeypatch.setenv("PYTP_GUARD_CLIENT", "devpi")
    monkeypatch.setenv("PYTP_GUARD_SECRET", "a-long-random-secret")
    monkeypatch.setenv("PYTP_GUARD_INDEXES", "root/prod, root/dev")
    pyramid = Pyramid()

    devpi.devpiserver_pyramid_configure(pyramid)

    tween, deriver = pyramid.added
    assert tween[0] == "pytp_broker.guards.devpi.tween"
    assert tween[1]["over"] == "devpi_server.views.tween_keyfs_transaction"
    assert deriver[0] is devpi.guard_view
    assert devpi.desk().indexes == {"root/prod", "root/dev"}
    devpi.desk.cache_clear()


def test_the_guard_knows_how_large_a_file_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    devpi.desk.cache_clear()
    monkeypatch.setenv("PYTP_GUARD_REGISTRY", "https://packages.example.com/acme/")
    monkeypatch.setenv("PYTP_GUARD_CLIENT", "devpi")
    monkeypatch.setenv("PYTP_GUARD_SECRET", "a-long-random-secret")
    monkeypatch.setenv("PYTP_GUARD_INDEXES", "root/prod")
    monkeypatch.setenv("PYTP_GUARD_MAX_FILE_SIZE", "5 MB")
    monkeypatch.setattr(devpi, "Guard", lambda _broker, **options: options)

    assert devpi.desk().guard == {"max_file_bytes": 5_000_000}  # type: ignore[comparison-overlap]
    devpi.desk.cache_clear()


def test_a_server_whose_guard_has_no_settings_does_not_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    devpi.desk.cache_clear()
    monkeypatch.delenv("PYTP_GUARD_REGISTRY", raising=False)

    with pytest.raises(SystemExit, match="PYTP_GUARD_REGISTRY is not set"):
        devpi.devpiserver_pyramid_configure(Pyramid())


@pytest.mark.parametrize("text", ["", "prod", "root/prod,", "root/prod/", "root/a b"])
def test_the_guarded_indexes_are_named_in_full(text: str) -> None:
    with pytest.raises(SettingsError, match="PYTP_GUARD_INDEXES"):
        read_indexes({"PYTP_GUARD_INDEXES": text})


def test_the_plug_in_never_checks_a_password_for_devpi() -> None:
    # With this hook, `/+login` would make a session of ten hours of any token.
    assert not hasattr(devpi, "devpiserver_auth_request")
    assert not hasattr(devpi, "devpiserver_auth_user")
