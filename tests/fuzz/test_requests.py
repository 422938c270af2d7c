"""Events of the gateway, to every function: methods, paths, queries, hosts, headers, bodies."""

import base64
import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.subject import SECRET, Subject, event
from tests.support.deployment import HOST, basic

FUNCTIONS = ("broker", "upload", "read", "web", "introspect")
KNOWN = [
    "acme",
    "other",
    "_",
    "oidc",
    "audience",
    "mint-token",
    "burn-token",
    "discover",
    "legacy",
    "upload",
    "publish",
    "extend",
    "complete",
    "bytes",
    "stage",
    "stage_" + "0" * 43,
    "simple",
    "files",
    "token",
    "introspect",
    "verify",
    ".well-known",
    "pytp",
    "widgets",
    "widgets-1.0-py3-none-any.whl",
    "..",
    ".",
    "",
    "%2e%2e",
    "%2F",
    "%00",
    "\x00",
    "ACME",
    "acme;x",
    "acme%20",
    "\u212a",
    "a" * 3000,
    "0" * 64,
]

texts = st.text(st.characters(exclude_categories=[]), max_size=30)
paths = st.lists(st.sampled_from(KNOWN) | texts, max_size=5).map(lambda s: "/" + "/".join(s))
hosts = st.sampled_from(
    [HOST, HOST + ":443", "other.example.com", "OTHER.example.com.", "[::1]", "[", ":", "", "a:b:c"]
)
NAMES = [
    "accept",
    "authorization",
    "content-type",
    "range",
    "if-none-match",
    "if-range",
    "x-forwarded-host",
    "forwarded",
    "x-original-url",
    "content-length",
    "transfer-encoding",
]
headers = st.dictionaries(st.sampled_from(NAMES) | texts, texts, max_size=4)
methods = st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "get", "", "\n"])


@given(
    st.sampled_from(FUNCTIONS),
    methods,
    paths,
    hosts | texts,
    headers,
    st.none() | st.binary(max_size=50),
    st.none()
    | st.dictionaries(st.sampled_from(["discover", "q", "page"]) | texts, paths, max_size=2),
)
def test_any_request(  # noqa: PLR0917 - hypothesis gives each
    subject: Subject,
    function: str,
    method: str,
    path: str,
    host: str,
    sent: dict[str, str],
    body: bytes | None,
    query: dict[str, str] | None,
) -> None:
    sent = {**sent, "host": host}
    subject.send(function, event(method, path, body, sent, queryStringParameters=query))


@given(st.sampled_from(FUNCTIONS), st.none() | texts, st.booleans())
def test_any_body_as_the_gateway_wraps_it(
    subject: Subject, function: str, body: str | None, encoded: bool
) -> None:
    sent = event("POST", "/acme/_/oidc/mint-token", body)
    subject.send(function, {**sent, "isBase64Encoded": encoded})


@given(st.sampled_from(FUNCTIONS), st.sets(st.sampled_from(["headers", "body", "isBase64Encoded"])))
def test_any_member_of_an_event_that_may_be_absent(
    subject: Subject, function: str, absent: set[str]
) -> None:
    sent = event("POST", "/acme/legacy/", "x")
    subject.send(function, {name: v for name, v in sent.items() if name not in absent})


credentials = texts | st.binary(max_size=60).map(lambda b: base64.b64encode(b).decode())


@given(texts | st.sampled_from(["basic", "Bearer", "token"]), credentials)
def test_any_authorization(subject: Subject, scheme: str, text: str) -> None:
    for function, method, path in (
        ("upload", "POST", "/acme/legacy/"),
        ("upload", "POST", "/acme/upload/"),
        ("upload", "DELETE", f"/acme/upload/stage_{'0' * 43}"),
        ("introspect", "POST", "/acme/_/token/introspect"),
        ("introspect", "GET", "/acme/_/token/verify/widgets"),
    ):
        sent = {"authorization": f"{scheme} {text}"}
        assert subject.send(function, event(method, path, b"", sent)).status == 401


PRIVATE = st.sampled_from(
    [
        ("read", "/other/simple/"),
        ("read", "/other/simple/gadgets/"),
        ("web", "/other/"),
        ("web", "/other/project/gadgets/"),
        ("introspect", "/other/_/token/verify-reader"),
    ]
)


@given(PRIVATE, texts | st.sampled_from(["basic", "Bearer", "token"]), credentials, headers)
def test_nobody_reads_a_private_registry_with_made_up_credentials(
    subject: Subject, place: tuple[str, str], scheme: str, text: str, more: dict[str, str]
) -> None:
    function, path = place
    sent = {**more, "authorization": f"{scheme} {text}"}

    answer = subject.send(function, event("GET", path, None, sent))

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="other"'


@given(texts, texts)
def test_any_user_name_and_password(subject: Subject, user: str, password: str) -> None:
    plain = (user + password).encode(errors="replace").decode()
    sent = {"authorization": basic("__token__", plain)}

    assert subject.send("upload", event("POST", "/acme/legacy/", b"", sent)).status == 401


QUESTIONS = ["token", "project", "filename", "sha256", "consume", "token_type_hint", "x"]
answers = texts | st.sampled_from(
    [
        "widgets",
        "W" * 3000,
        "widgets-1.0.tar.gz",
        "-1.0.whl",
        "../x",
        "true",
        "\x00",
        "w\u0456dgets",
    ]
)


@given(st.lists(st.tuples(st.sampled_from(QUESTIONS), answers), max_size=5), st.booleans())
def test_any_introspection(
    subject: Subject, question: list[tuple[str, str]], is_live: bool
) -> None:
    pairs = [("token", subject.upload_token.reveal()), *question] if is_live else question
    body = "&".join(f"{name}={quote(v.encode(errors='replace'))}" for name, v in pairs).encode()
    sent = {"authorization": basic("devpi", SECRET)}

    answer = subject.send("introspect", event("POST", "/acme/_/token/introspect", body, sent))

    assert answer.status in {200, 400}


@given(paths, st.booleans())
def test_any_verification(subject: Subject, path: str, is_live: bool) -> None:
    sent = {"authorization": subject.authorization} if is_live else {}
    answer = subject.send("introspect", event("GET", f"/acme/_/token/verify{path}", None, sent))

    assert answer.status in {200, 401, 403, 404}


@given(
    st.sampled_from(["bytes=0-", "bytes=-1", "bytes=5-2", "bytes=", "", "bytes=0-0,1-1"]) | texts,
    texts,
)
def test_any_range(subject: Subject, wanted: str, tag: str) -> None:
    (file,) = subject.store.files.values()
    path = f"/acme/files/{file.sha256}/{file.filename}"
    sent = {"range": wanted, "if-range": tag, "if-none-match": tag}

    assert subject.send("read", event("GET", path, None, sent)).status in {200, 206, 304, 416}


@pytest.mark.parametrize(
    "name", ["a" * 300, "a" * 3000, "\u0456" * 1000, "\ud800", "\x00"], ids=ascii
)
def test_a_name_that_no_store_could_hold_is_nobodys(subject: Subject, name: str) -> None:
    """An earlier version answered 503, and clients and proxies would have tried again."""
    token = {"authorization": subject.authorization}
    path = f"/acme/_/token/verify/{name}"
    assert subject.send("introspect", event("GET", path, None, token)).status == 403
    question = {"token": subject.upload_token.reveal(), "project": name}
    body = urlencode(question, errors="replace").encode()
    client = {"authorization": basic("devpi", SECRET)}
    asked = event("POST", "/acme/_/token/introspect", body, client)
    assert subject.send("introspect", asked).json == {"active": False}
    assert subject.send("read", event("GET", f"/acme/simple/{name}/")).status == 404


# Requests about a session: what follows its address, and bodies that are nearly right.
PARTS = [
    "",
    "/publish",
    "/extend",
    "/files",
    "/files/widgets-2.0-py3-none-any.whl/" + "0" * 32,
    "/files/widgets-2.0-py3-none-any.whl/" + "0" * 32 + "/complete",
    "/files//",
]
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
)
MEMBERS = ["name", "version", "filename", "size", "hashes", "mechanism", "extend-for"]
GOOD: dict[str, Any] = {
    "meta": {"api-version": "2.0"},
    "name": "widgets",
    "version": "2.0",
    "filename": "widgets-2.0.tar.gz",
    "size": 5,
    "hashes": {"sha256": "0" * 64},
    "mechanism": "http-post-bytes",
    "extend-for": 60,
}
UPLOAD_TYPE = "application/vnd.pypi.upload.v2+json"


@given(
    st.sampled_from(["GET", "POST", "DELETE", "PUT"]),
    st.sampled_from(PARTS) | paths,
    st.dictionaries(st.sampled_from([*MEMBERS, "meta"]) | texts, values, max_size=3),
    st.sampled_from([UPLOAD_TYPE, "application/json", ""]) | texts,
)
def test_any_request_about_a_session(
    subject: Subject, method: str, part: str, changes: dict[str, Any], kind: str
) -> None:
    path = subject.begin_session() + part
    body = json.dumps({**GOOD, **changes}).encode()
    sent = {"authorization": subject.authorization, "content-type": kind}

    answer = subject.send("upload", event(method, path, body, sent))

    assert answer.status < 500
    if answer.status >= 400 and "/upload" in path:
        assert answer.json["meta"] == {"api-version": "2.0"}


@given(st.dictionaries(st.sampled_from(MEMBERS), values, min_size=1, max_size=3))
def test_any_member_of_a_session(subject: Subject, changes: dict[str, Any]) -> None:
    """A member of another type or form is refused, whatever else the request says."""
    for path in ("/acme/upload/", f"{subject.begin_session()}/files"):
        body = json.dumps({**GOOD, **changes}).encode()
        sent = {"authorization": subject.authorization, "content-type": UPLOAD_TYPE}
        answer = subject.send("upload", event("POST", path, body, sent))
        assert answer.status in {201, 202, 400, 403, 409, 413, 422, 429}


def test_a_recorded_event_is_answered(subject: Subject) -> None:
    """Without this, a subject that refuses everything would pass."""
    sent: Any = event("GET", "/acme/_/oidc/audience")

    assert json.loads(subject.send("broker", sent).body) == {"audience": "acme"}
