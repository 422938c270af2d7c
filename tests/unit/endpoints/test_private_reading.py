"""Who may read a private registry, and what everybody else is told."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import pytest

from pytp_broker.grants import Grant, Permission
from pytp_broker.local.gateway_events import HttpRequest, build_event
from pytp_broker.local.routes import GatewayRoute, Selected
from pytp_broker.registries import PRIVATE, Registry
from pytp_broker.tokens import SINGLE_USE, UploadToken
from tests.support.deployment import HOST, Answer, basic
from tests.support.distributions import form, wheel
from tests.support.shelf import Shelf
from tests.support.signing import NOW
from tests.support.stock import SDIST, WHEEL_PATH, stocked_shelf

WIDGETS: Final = ("acme", "widgets", "p-widgets")
SECRET: Final = ("other", "secret-project", "p-secret")
PAGES: Final = ("/acme/simple/", "/acme/simple/widgets/", WHEEL_PATH, f"{WHEEL_PATH}.metadata")
ROUTE: Final = GatewayRoute("$default", "ReadFunction")
# What is not there, or is at another address, next to what is there.
NOWHERE: Final = (
    "/acme/simple/nothing/",
    "/acme/simple/Widgets/",
    "/acme/simple/widgets",
    "/acme/simple",
    "/acme/simple/-/",
    f"/acme/files/{'0' * 64}/nothing-1.0.tar.gz",
    f"/acme/files/{SDIST.sha256}/{SDIST.filename}.metadata",
)


@pytest.fixture
def shelf() -> Shelf:
    """Return an index whose registries `acme` and `other` are private and have files."""
    shelf = stocked_shelf()
    assert shelf.post(form_of_secret(), path="/other/legacy/").status == 200
    shelf.configuration = replace(
        shelf.configuration,
        registries={
            name: replace(registry, access=PRIVATE)
            for name, registry in shelf.configuration.registries.items()
        },
    )
    shelf.apply()
    return shelf


def form_of_secret() -> bytes:
    return form(wheel("secret-project"))


def read(shelf: Shelf, path: str, authorization: str | None, **headers: str) -> Answer:
    sent = {} if authorization is None else {"authorization": authorization}
    return shelf.get(path, None, **sent, **headers)


def read_token(shelf: Shelf, registry: str = "acme", publisher_id: str = "p-widgets") -> str:
    """Return the credentials of a reader: a token with the permission to read, and no other."""
    token = shelf.mint(lookup_id="4" * 32)
    record = shelf.store.tokens[token.lookup_id]
    grant = Grant(registry, None, Permission.READ, {publisher_id: 0})
    shelf.store.tokens[token.lookup_id] = replace(record, grants=(grant,), projects={})
    return shelf.basic(token)


# Who may read


def test_a_registry_is_private_by_default() -> None:
    assert not Registry("acme", None).is_public


def test_a_registry_that_an_earlier_version_stored_is_private() -> None:
    document = Registry("acme", None, access="public").document()
    del document["access"]

    assert not Registry.from_document(document).is_public


@pytest.mark.promise("private-registry")
@pytest.mark.parametrize("path", PAGES)
def test_without_a_token_nobody_reads(shelf: Shelf, path: str) -> None:
    answer = read(shelf, path, None)

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="acme"'
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.code == "unauthorized"


@pytest.mark.parametrize("path", PAGES)
def test_an_upload_token_reads_its_own_registry(shelf: Shelf, path: str) -> None:
    assert read(shelf, path, shelf.basic()).status == 200


@pytest.mark.parametrize("path", PAGES)
def test_a_read_token_reads(shelf: Shelf, path: str) -> None:
    assert read(shelf, path, read_token(shelf)).status == 200


def test_an_upload_token_reads_projects_that_it_may_not_upload_to(shelf: Shelf) -> None:
    token = shelf.mint(("acme", "my-widgets", "p-my"))

    assert read(shelf, "/acme/simple/widgets/", shelf.basic(token)).status == 200


def test_a_token_reads_at_the_registrys_own_host(shelf: Shelf) -> None:
    token = shelf.basic(shelf.mint(SECRET))

    answer = shelf.call("GET", "/simple/", b"", {"authorization": token}, host="other.example.com")

    assert answer.status == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "token"])
def test_a_token_may_be_sent_as_bearer(shelf: Shelf, scheme: str) -> None:
    answer = read(shelf, "/acme/simple/", f"{scheme} {shelf.token.reveal()}")

    assert answer.status == 200


def test_a_single_use_token_reads_until_it_is_used(shelf: Shelf) -> None:
    shelf.token = shelf.mint(WIDGETS, feature=SINGLE_USE)
    for _ in range(2):  # reading does not use it up
        assert read(shelf, "/acme/simple/", shelf.basic()).status == 200
    assert shelf.publish(wheel(version="2.0")).status == 200
    shelf.advance(seconds=10)

    assert read(shelf, "/acme/simple/", shelf.basic()).status == 401


# Who may not


def burned_token(shelf: Shelf) -> str:
    token = shelf.mint(WIDGETS)
    assert shelf.store.burn_token(token.lookup_id, token.hash, None, shelf.now)
    return shelf.basic(token)


BAD: Final[dict[str, Callable[[Shelf], str]]] = {
    "empty": lambda _: "",
    "no scheme": lambda s: s.token.reveal(),
    "another scheme": lambda s: f"Digest {s.token.reveal()}",
    "not base64": lambda _: "Basic !!!",
    "no password": lambda _: basic("__token__"),
    "an empty password": lambda _: basic("__token__", ""),
    "another form of token": lambda _: basic("__token__", "pypi-AgEIcHlwaS5vcmc"),
    "another user": lambda s: basic("alice", s.token.reveal()),
    "the token as the user": lambda s: basic(s.token.reveal(), ""),
    "a wrong checksum": lambda s: basic("__token__", s.token.reveal()[:-1] + "!"),
    "unknown": lambda _: basic("__token__", UploadToken.mint("e" * 32).reveal()),
    "another secret": lambda s: basic("__token__", UploadToken.mint(s.token.lookup_id).reveal()),
    "of another registry": lambda s: s.basic(s.mint(SECRET)),
    "a read token of another registry": lambda s: read_token(s, "other", "p-secret"),
    "expired": lambda s: s.basic(s.mint(WIDGETS, age_seconds=900)),
    "burned": burned_token,
    "sent twice": lambda s: f"{s.basic()}, {s.basic()}",
    "sent twice as bearer": lambda s: ",".join([f"Bearer {s.token.reveal()}"] * 2),
}


@pytest.mark.promise("private-registry")
@pytest.mark.parametrize("path", PAGES[:3])
@pytest.mark.parametrize("credentials", BAD.values(), ids=BAD)
def test_credentials_that_are_not_good_get_401(
    shelf: Shelf, credentials: Callable[[Shelf], str], path: str
) -> None:
    answer = read(shelf, path, credentials(shelf))

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="acme"'


@pytest.mark.parametrize("why", ["another user", "the token as the user"])
def test_another_user_name_is_told_the_right_one(shelf: Shelf, why: str) -> None:
    answer = read(shelf, "/acme/simple/", BAD[why](shelf))

    assert "the user name is not __token__: send " in answer.detail
    assert "alice" not in answer.detail
    assert shelf.token.reveal() not in answer.text


def test_the_answer_does_not_say_why_a_token_is_not_good(shelf: Shelf) -> None:
    reasons = ("unknown", "another secret", "of another registry", "expired", "burned")
    bodies = {read(shelf, "/acme/simple/", BAD[why](shelf)).body for why in reasons}

    assert len(bodies) == 1


@pytest.mark.promise("removed-publisher")
@pytest.mark.parametrize("credentials", [Shelf.basic, read_token])
def test_removing_the_publisher_ends_the_reading_of_its_tokens(
    shelf: Shelf, credentials: Callable[[Shelf], str]
) -> None:
    shelf.token = shelf.mint(WIDGETS)
    authorization = credentials(shelf)
    shelf.publishers = shelf.publishers[1:]
    shelf.apply()

    answer = read(shelf, "/acme/simple/", authorization)

    assert answer.status == 403
    assert "WWW-Authenticate" not in answer.headers
    assert "no longer trusts" in answer.detail


@pytest.mark.promise("switched-off")
@pytest.mark.parametrize(
    "switch",
    [Shelf.switch_off, Shelf.switch_issuer_off, lambda shelf: shelf.change(enabled=False)],
    ids=["everything", "the issuer", "the registry"],
)
def test_what_is_switched_off_ends_the_reading_of_its_tokens(
    shelf: Shelf, switch: Callable[[Shelf], None]
) -> None:
    switch(shelf)

    answer = read(shelf, "/acme/simple/", shelf.basic())

    assert answer.status == 403
    assert "switched off" in answer.detail


def test_a_read_token_may_not_upload(shelf: Shelf) -> None:
    answer = shelf.post(form_of_secret(), read_token(shelf), path="/acme/legacy/")

    assert answer.status == 403
    assert "this token may only read" in answer.detail


# What strangers learn


@pytest.mark.promise("private-registry")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("authorization", [None, "Basic !!!", "Bearer unknown"])
def test_strangers_cannot_tell_what_is_there_from_what_is_not(
    shelf: Shelf, method: str, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"authorization": authorization}

    answers = [shelf.call(method, path, headers=headers) for path in (*PAGES, *NOWHERE)]

    assert {answer.status for answer in answers} == {401}
    assert len({json.dumps(dict(answer.headers)) for answer in answers}) == 1
    seen = {json.dumps({**answer.json, "instance": ""}) for answer in answers}
    assert len(seen) == 1


@pytest.mark.parametrize("path", PAGES)
def test_a_cached_copy_or_a_range_tells_strangers_nothing(shelf: Shelf, path: str) -> None:
    etag = read(shelf, path, shelf.basic()).headers["ETag"]

    for headers in ({"if-none-match": etag}, {"if-none-match": "*"}, {"range": "bytes=0-0"}):
        assert shelf.call("GET", path, headers=headers).status == 401


def test_a_refusal_asks_the_store_for_the_token_alone_and_leaves_no_record(shelf: Shelf) -> None:
    read(shelf, "/acme/simple/widgets/", None)
    shelf.store.calls.clear()
    shelf.records.clear()

    read(shelf, "/acme/simple/widgets/", BAD["unknown"](shelf))

    assert shelf.store.calls == ["find_token"]
    assert not shelf.records


def test_a_token_in_the_query_is_not_a_credential(shelf: Shelf) -> None:
    query = {"token": shelf.token.reveal()}

    assert shelf.call("GET", "/acme/simple/", query=query).status == 401


def test_a_store_that_does_not_answer_is_not_a_wrong_token(shelf: Shelf) -> None:
    shelf.store.fail_next("find_token")

    assert read(shelf, "/acme/simple/", shelf.basic()).code == "store-unavailable"


# Public registries


@pytest.mark.parametrize("credentials", BAD.values(), ids=BAD)
def test_a_public_registry_ignores_credentials(
    shelf: Shelf, credentials: Callable[[Shelf], str]
) -> None:
    authorization = credentials(shelf)
    shelf.change(access="public")
    shelf.store.calls.clear()

    assert read(shelf, "/acme/simple/widgets/", authorization).status == 200
    assert "find_token" not in shelf.store.calls


def test_a_registry_that_becomes_private_is_so_within_ten_seconds(shelf: Shelf) -> None:
    shelf.change(access="public")
    assert read(shelf, "/acme/simple/", None).status == 200

    shelf.change(access=PRIVATE)

    assert read(shelf, "/acme/simple/", None).status == 401


def test_basic_credentials_may_have_blanks_around_the_token(shelf: Shelf) -> None:
    padded = base64.b64encode(f"__token__: {shelf.token.reveal()}\n".encode()).decode()

    assert read(shelf, "/acme/simple/", f"Basic {padded}").status == 200


# Caches


@pytest.mark.parametrize("path", [*PAGES, "/acme/simple", "/acme/simple/Widgets/"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_shared_cache_keeps_nothing_of_a_private_registry(
    shelf: Shelf, method: str, path: str
) -> None:
    answer = shelf.call(method, path, headers={"authorization": shelf.basic()})

    assert answer.status in {200, 301}
    assert "private" in answer.headers["Cache-Control"]
    assert "Authorization" in answer.headers["Vary"]


@pytest.mark.parametrize("path", PAGES)
def test_an_answer_that_the_cached_copy_is_current_says_the_same(shelf: Shelf, path: str) -> None:
    first = read(shelf, path, shelf.basic())

    again = read(shelf, path, shelf.basic(), if_none_match=first.headers["ETag"])

    assert again.status == 304
    for name in ("Cache-Control", "Vary"):
        assert again.headers[name] == first.headers[name]


def test_the_pages_of_a_public_registry_may_be_shared_and_its_files_may_not(shelf: Shelf) -> None:
    shelf.change(access="public")

    pages = [read(shelf, path, None).headers for path in PAGES[:2]]
    files = [read(shelf, path, None).headers for path in PAGES[2:]]

    assert {page["Cache-Control"] for page in pages} == {
        "public, s-maxage=5, max-age=0, must-revalidate"
    }
    assert {page["Vary"] for page in pages} == {"Accept, Accept-Encoding"}
    assert {file["Cache-Control"] for file in files} == {"private, max-age=31536000, immutable"}
    assert not [file for file in files if "Vary" in file]


def test_a_download_url_is_kept_by_nobody_and_has_no_token_in_it(shelf: Shelf) -> None:
    shelf.files.elsewhere = "https://bucket.example.com"

    answer = read(shelf, WHEEL_PATH, shelf.basic())

    assert answer.status == 302
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Location"].startswith("https://bucket.example.com/")
    assert shelf.token.reveal() not in answer.headers["Location"]


def test_without_a_token_nobody_gets_a_download_url(shelf: Shelf) -> None:
    shelf.files.elsewhere = "https://bucket.example.com"

    answer = read(shelf, WHEEL_PATH, None)

    assert answer.status == 401
    assert "Location" not in answer.headers


@pytest.mark.promise("no-secret-written")
def test_a_redirect_does_not_repeat_a_token_in_the_query(shelf: Shelf) -> None:
    sent = {"authorization": shelf.basic()}

    answer = shelf.call(
        "GET", "/acme/simple/Widgets/", headers=sent, query={"token": shelf.token.reveal()}
    )

    assert answer.headers["Location"] == "/acme/simple/widgets/"


@pytest.mark.parametrize("other", ["", "Basic !!!", None])
def test_two_authorization_headers_get_401(shelf: Shelf, other: str | None) -> None:
    """The gateway joins them, and neither counts: two servers could each read another one."""
    mine = shelf.basic()
    headers = [
        ("host", HOST),
        ("authorization", mine),
        ("authorization", mine if other is None else other),
    ]
    request = HttpRequest("GET", "/acme/simple/", headers=headers)

    answer = shelf.hand("read", build_event(request, Selected(ROUTE, {}), NOW))

    assert answer.status == 401
