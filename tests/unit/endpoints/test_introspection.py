"""Introspection and verification, as another index or a proxy sees them (RFC 7662)."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlencode

import pytest

from pytp_broker.content import Held
from pytp_broker.endpoints import introspect
from pytp_broker.endpoints.routing import respond
from pytp_broker.grants import Grant, Permission
from pytp_broker.http.messages import Request
from pytp_broker.tokens import SINGLE_USE, TokenRecord, UploadToken
from tests.support.deployment import HOST, Answer, basic
from tests.support.shelf import Shelf, shelf_publisher
from tests.support.world import World

SECRET = "a-long-random-secret"
WHEEL = "widgets-1.0-py3-none-any.whl"


@pytest.fixture
def shelf() -> Shelf:
    shelf = Shelf()
    shelf.change(introspection_clients={"devpi": hashlib.sha256(SECRET.encode()).hexdigest()})
    return shelf


def call(
    shelf: Shelf, method: str, path: str, authorization: str | None, body: bytes = b""
) -> Answer:
    headers = {} if authorization is None else {"authorization": authorization}
    request = Request(method, HOST, path, {}, headers, Held(body))
    response = respond(request, introspect.ROUTES, shelf.index)
    return Answer(response.status, response.headers, response.body)


def ask(shelf: Shelf, token: UploadToken | str | None = None, **parameters: str) -> Answer:
    text = token if isinstance(token, str) else (token or shelf.token).reveal()
    body = urlencode({"token": text, **parameters}).encode()
    return call(shelf, "POST", "/acme/_/token/introspect", basic("devpi", SECRET), body)


def is_active(answer: Answer) -> bool:
    assert answer.status == 200
    assert answer.json["active"] is True or answer.json == {"active": False}
    return bool(answer.json["active"])


def test_a_live_token_is_described(shelf: Shelf) -> None:
    answer = ask(shelf)

    assert answer.json == {
        "active": True,
        "scope": "upload",
        "aud": "acme",
        "iat": int(shelf.now.timestamp()),
        "exp": int(shelf.now.timestamp()) + 900,
        "projects": answer.json["projects"],
        "features": ["multi-use-token"],
        "publisher": answer.json["publisher"],
    }
    assert "widgets" in answer.json["projects"]
    assert "secret-project" not in answer.json["projects"]
    assert answer.json["publisher"]["repository"] == "octo-org/widgets"
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_question_about_one_project_takes_one_round_trip(shelf: Shelf) -> None:
    ask(shelf, project="widgets")
    shelf.store.calls.clear()

    assert is_active(ask(shelf, project="Widgets"))

    assert shelf.store.calls == ["find_token"]


def test_a_question_about_no_project_takes_three_round_trips(shelf: Shelf) -> None:
    ask(shelf, project="widgets")
    shelf.store.calls.clear()

    assert is_active(ask(shelf))

    assert shelf.store.calls == ["find_token", "list_publishers", "list_trust"]


def test_a_token_of_an_earlier_version_is_good_for_the_projects_that_its_record_lists(
    shelf: Shelf,
) -> None:
    (record,) = shelf.store.tokens.values()
    document = record.document()
    for name in ("rights", "identity_key", "project_counts"):
        del document[name]
    earlier = TokenRecord.from_document(document, None, None)
    shelf.store.tokens[record.lookup_id] = earlier
    shelf.publishers[0] = replace(shelf.publishers[0], projects=("widgets", "gadgets"))
    shelf.apply()

    assert ask(shelf).json["projects"] == ["widgets"]
    assert is_active(ask(shelf, project="widgets"))
    assert not is_active(ask(shelf, project="gadgets"))


def test_a_project_given_to_the_publisher_after_the_exchange_is_not_named(shelf: Shelf) -> None:
    shelf.publishers[0] = replace(shelf.publishers[0], projects=("widgets", "gadgets"))
    shelf.apply()

    assert "gadgets" not in ask(shelf).json["projects"]


@pytest.mark.parametrize(
    "parameters",
    [
        {"project": "gadgets"},
        {"project": "secret-project"},
        {"project": ""},
        {"filename": "gadgets-1.0.tar.gz"},
        {"filename": "nonsense"},
        {"filename": "../widgets-1.0.tar.gz/"},
        {"project": "my-widgets", "filename": WHEEL},
    ],
)
def test_a_token_is_inactive_for_what_it_may_not_do(
    shelf: Shelf, parameters: Mapping[str, str]
) -> None:
    assert not is_active(ask(shelf, **parameters))


def test_a_file_names_its_project(shelf: Shelf) -> None:
    answer = ask(shelf, filename=WHEEL, sha256="0" * 64)

    assert answer.json["projects"] == ["widgets"]


@pytest.mark.parametrize(
    "token", ["", "x", "pytp_x", UploadToken.mint("f" * 32).reveal(), "\u0661", "a b"]
)
def test_what_is_no_token_is_inactive(shelf: Shelf, token: str) -> None:
    assert not is_active(ask(shelf, token))


def test_an_expired_token_is_inactive(shelf: Shelf) -> None:
    assert not is_active(ask(shelf, shelf.mint(lookup_id="2" * 32, age_seconds=900)))


def test_a_burned_token_is_inactive(shelf: Shelf) -> None:
    shelf.store.burn_token(shelf.token.lookup_id, shelf.token.hash, None, shelf.now)

    assert not is_active(ask(shelf))


def test_a_token_whose_publisher_was_removed_is_inactive(shelf: Shelf) -> None:
    shelf.publishers = []
    shelf.apply()

    assert not is_active(ask(shelf))
    assert not is_active(ask(shelf, project="widgets"))


@pytest.mark.promise("own-registry")
def test_a_token_of_another_registry_is_inactive(shelf: Shelf) -> None:
    token = shelf.mint(("other", "secret-project", "p-secret"), lookup_id="3" * 32)

    assert not is_active(ask(shelf, token))
    assert not is_active(ask(shelf, token, project="secret-project"))


def test_everything_switched_off_makes_every_token_inactive(shelf: Shelf) -> None:
    shelf.switch_off()

    assert not is_active(ask(shelf))


def test_a_single_use_token_is_consumed_for_one_file(shelf: Shelf) -> None:
    token = shelf.mint(feature=SINGLE_USE, lookup_id="4" * 32)
    file = {"filename": WHEEL, "sha256": "0" * 64}

    assert is_active(ask(shelf, token, **file))
    assert is_active(ask(shelf, token, consume="true", **file))
    assert is_active(ask(shelf, token, consume="true", **file))
    assert not is_active(ask(shelf, token, filename=WHEEL, sha256="1" * 64))
    assert not is_active(ask(shelf, token))


def test_of_two_that_consume_at_once_one_loses(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = shelf.mint(feature=SINGLE_USE, lookup_id="4" * 32)
    monkeypatch.setattr(shelf.store, "use_token", lambda *_: False)

    assert not is_active(ask(shelf, token, consume="true", filename=WHEEL, sha256="0" * 64))


def test_a_multi_use_token_is_not_consumed(shelf: Shelf) -> None:
    for number in range(2):
        assert is_active(ask(shelf, consume="true", filename=WHEEL, sha256=str(number) * 64))


@pytest.mark.parametrize(
    "parameters",
    [
        {"consume": "true"},
        {"consume": "true", "filename": WHEEL},
        {"consume": "true", "filename": WHEEL, "sha256": ""},
        {"consume": "True", "filename": WHEEL, "sha256": "0" * 64},
        {"consume": "1", "filename": WHEEL, "sha256": "0" * 64},
        {"consume": "", "filename": WHEEL, "sha256": "0" * 64},
        {"filename": WHEEL, "sha256": "F" * 64},
    ],
)
def test_a_question_that_might_be_misunderstood_is_refused(
    shelf: Shelf, parameters: Mapping[str, str]
) -> None:
    token = shelf.mint(feature=SINGLE_USE, lookup_id="4" * 32)

    assert ask(shelf, token, **parameters).status == 400
    assert shelf.store.tokens[token.lookup_id].used_for is None


@pytest.mark.parametrize(
    "filename",
    [
        "widgets-" + "9" * 5000 + ".tar.gz",
        "widgets-1.0-" + "9" * 5000 + "-py3-none-any.whl",
        "widgets-1.0-{0}-{0}-{0}.whl".format(".".join(f"p{n}" for n in range(150))),
    ],
)
def test_a_file_name_that_costs_time_is_not_parsed(shelf: Shelf, filename: str) -> None:
    assert not is_active(ask(shelf, filename=filename))


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Basic",
        "Basic !!",
        "Basic " + base64.b64encode(b"devpi").decode(),
        "Basic " + base64.b64encode(b"\xff:\xff").decode(),
        "Bearer " + SECRET,
        basic("devpi", "wrong"),
        basic("devpi", ""),
        basic("nobody", SECRET),
        basic("nobody", ""),
        basic("", SECRET),
    ],
)
def test_only_a_known_client_may_ask(shelf: Shelf, authorization: str | None) -> None:
    body = urlencode({"token": shelf.token.reveal()}).encode()

    answer = call(shelf, "POST", "/acme/_/token/introspect", authorization, body)

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.row("A106")
def test_an_upload_token_is_no_credential_of_a_client(shelf: Shelf) -> None:
    text = shelf.token.reveal()
    body = urlencode({"token": text}).encode()

    for authorization in (f"Bearer {text}", basic("__token__", text), basic("devpi", text)):
        answer = call(shelf, "POST", "/acme/_/token/introspect", authorization, body)
        assert answer.status == 401
    assert World().mint(text).code == "invalid-payload"


def test_a_client_of_one_registry_may_not_ask_another(shelf: Shelf) -> None:
    body = urlencode({"token": shelf.token.reveal()}).encode()

    answer = call(shelf, "POST", "/other/_/token/introspect", basic("devpi", SECRET), body)

    assert answer.status == 401


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"token", 400),
        (b"x=1", 400),
        (b"token=a&token=b", 400),
        (b"token=%ff", 200),
        (b"\xff", 400),
        (b"&".join(b"a%d=1" % n for n in range(30)), 400),
        (b"token=" + b"x" * 70_000, 413),
    ],
)
def test_a_body_that_is_no_question_is_refused(shelf: Shelf, body: bytes, status: int) -> None:
    answer = call(shelf, "POST", "/acme/_/token/introspect", basic("devpi", SECRET), body)

    assert answer.status == status


def test_no_audit_record_of_a_question_holds_the_token_or_the_secret(shelf: Shelf) -> None:
    ask(shelf)
    ask(shelf, "x")

    assert len(shelf.records) == 2
    assert shelf.records[0].facts["client"] == "devpi"
    written = repr(shelf.records)
    assert shelf.token.reveal() not in written
    assert SECRET not in written


# --- reading --------------------------------------------------------------------------------------


@pytest.fixture
def reader(shelf: Shelf) -> UploadToken:
    """Return a token that may read `acme`, and nothing else."""
    token = shelf.mint(lookup_id="4" * 32)
    record = shelf.store.tokens[token.lookup_id]
    grant = Grant("acme", None, Permission.READ, {"p-widgets": 0})
    shelf.store.tokens[token.lookup_id] = replace(record, grants=(grant,), projects={})
    return token


@pytest.mark.parametrize("parameters", [{}, {"permission": "read"}])
def test_a_read_token_is_described(
    shelf: Shelf, reader: UploadToken, parameters: Mapping[str, str]
) -> None:
    answer = ask(shelf, reader, **parameters)

    assert is_active(answer)
    assert answer.json["scope"] == "read"
    assert answer.json["projects"] == []
    assert answer.json["aud"] == "acme"
    assert answer.json["publisher"]["repository"] == "octo-org/widgets"


@pytest.mark.parametrize(
    "parameters",
    [
        {"permission": "upload"},
        {"project": "widgets"},
        {"project": ""},
        {"filename": WHEEL},
        {"filename": WHEEL, "sha256": "0" * 64, "consume": "true"},
    ],
)
def test_a_read_token_is_inactive_for_uploads(
    shelf: Shelf, reader: UploadToken, parameters: Mapping[str, str]
) -> None:
    assert not is_active(ask(shelf, reader, **parameters))


def test_an_upload_token_is_active_for_reading(shelf: Shelf) -> None:
    answer = ask(shelf, permission="read")

    assert is_active(answer)
    assert answer.json["scope"] == "read"


def test_a_token_that_is_asked_about_reading_is_not_used_up(shelf: Shelf) -> None:
    token = shelf.mint(("acme", "widgets", "p-widgets"), feature=SINGLE_USE)

    assert is_active(ask(shelf, token, permission="read"))
    assert shelf.store.tokens[token.lookup_id].used_for is None


@pytest.mark.parametrize("why", ["removed publisher", "switched off", "another registry", "burned"])
def test_a_token_that_may_not_read_is_inactive(shelf: Shelf, reader: UploadToken, why: str) -> None:
    if why == "removed publisher":
        shelf.publishers = shelf.publishers[1:]
        shelf.apply()
    elif why == "switched off":
        shelf.switch_off()
    elif why == "another registry":
        reader = shelf.mint(("other", "secret-project", "p-secret"))
    else:
        shelf.store.burn_token(reader.lookup_id, reader.hash, None, shelf.now)

    for parameters in ({}, {"permission": "read"}):
        assert ask(shelf, reader, **parameters).json == {"active": False}


@pytest.mark.parametrize(
    "parameters",
    [
        {"permission": ""},
        {"permission": "write"},
        {"permission": "READ"},
        {"permission": "read", "project": "widgets"},
        {"permission": "read", "filename": WHEEL},
        {"permission": "read", "consume": "false"},
    ],
)
def test_a_question_about_reading_that_makes_no_sense_is_refused(
    shelf: Shelf, parameters: Mapping[str, str]
) -> None:
    answer = ask(shelf, **parameters)

    assert answer.code == "invalid-request"
    assert "permission" in answer.detail


def verify_reader(shelf: Shelf, authorization: str | None) -> Answer:
    return call(shelf, "GET", "/acme/_/token/verify-reader", authorization)


def test_a_proxy_hears_that_a_caller_may_read(shelf: Shelf, reader: UploadToken) -> None:
    shelf.change(access="private")
    single = shelf.mint(("acme", "widgets", "p-widgets"), feature=SINGLE_USE, lookup_id="5" * 32)

    for token in (reader, shelf.token, single):
        answer = verify_reader(shelf, shelf.basic(token))
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["X-Pytp-Registry"] == "acme"
        assert answer.headers["Cache-Control"] == "no-store"
        record = shelf.records[-1]
        assert record.facts["active"] == 1
        assert token.hash.startswith(str(record.facts["token_hash"]))


@pytest.mark.parametrize("authorization", [None, "Basic !!!", basic("__token__", "x")])
def test_a_proxy_hears_what_to_ask_a_stranger_for(shelf: Shelf, authorization: str | None) -> None:
    shelf.change(access="private")

    answer = verify_reader(shelf, authorization)

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="acme"'


def test_a_proxy_hears_403_for_a_token_without_the_right(shelf: Shelf) -> None:
    shelf.change(access="private")
    shelf.publishers = []
    shelf.apply()

    assert verify_reader(shelf, shelf.basic()).status == 403


def test_everybody_may_read_a_public_registry_by_a_proxy_too(shelf: Shelf) -> None:
    assert verify_reader(shelf, None).status == 200


def test_a_read_token_is_not_verified_for_uploads(shelf: Shelf, reader: UploadToken) -> None:
    for path in ("", "/widgets"):
        answer = verify(shelf, path, reader)
        assert answer.status == 403
        assert "may only read" in answer.detail


# --- verification for forward-auth proxies --------------------------------------------------------


def verify(shelf: Shelf, path: str = "", token: UploadToken | None = None) -> Answer:
    authorization = basic("__token__", (token or shelf.token).reveal())
    return call(shelf, "GET", f"/acme/_/token/verify{path}", authorization)


def test_a_live_token_is_verified(shelf: Shelf) -> None:
    answer = verify(shelf)

    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["X-Pytp-Registry"] == "acme"
    assert "widgets" in answer.headers["X-Pytp-Projects"].split(", ")
    assert "secret-project" not in answer.headers["X-Pytp-Projects"]


def test_a_token_is_verified_for_a_project(shelf: Shelf) -> None:
    assert verify(shelf, "/Widgets").headers["X-Pytp-Projects"] == "widgets"


def test_a_token_for_more_projects_than_a_header_holds_is_verified_for_one(shelf: Shelf) -> None:
    projects = [f"a-project-of-many-{number}" for number in range(400)]
    grants = [("acme", project, "p-widgets") for project in projects]
    shelf.publishers[0] = shelf_publisher("p-widgets", "acme", *projects)
    shelf.apply()
    token = shelf.mint(*grants, lookup_id="4" * 32)

    assert verify(shelf, token=token).status == 403
    assert "ask for one" in verify(shelf, token=token).body.decode()
    assert verify(shelf, "/a-project-of-many-7", token).status == 200


@pytest.mark.parametrize("path", ["/gadgets", "/secret-project", "/widgets/x", "/..", "/%00"])
def test_a_token_is_not_verified_for_another_project(shelf: Shelf, path: str) -> None:
    assert verify(shelf, path).status == 403


def test_a_token_without_a_project_here_is_not_verified(shelf: Shelf) -> None:
    token = shelf.mint(("other", "secret-project", "p-secret"), lookup_id="3" * 32)

    assert verify(shelf, token=token).status == 403


@pytest.mark.parametrize("authorization", [None, "Bearer x", basic("user", "password")])
def test_without_a_token_nothing_is_verified(shelf: Shelf, authorization: str | None) -> None:
    answer = call(shelf, "GET", "/acme/_/token/verify", authorization)

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


def test_a_single_use_token_is_not_verified_for_nobody_here_uses_it_up(shelf: Shelf) -> None:
    token = shelf.mint(feature=SINGLE_USE, lookup_id="4" * 32)

    assert [verify(shelf, path, token).status for path in ("", "/widgets")] == [403, 403]
