"""A server that lies about sessions: each lie is refused with a sentence, and gets no token."""

from typing import Any

import pytest

from pytp_broker.client.uploads.answers import S3_PUT, PutUrl, read_upload
from pytp_broker.client.uploads.refusals import UploadError
from pytp_broker.client.uploads.wire import Reply
from tests.support.upload_server import BUCKET, ROOT
from tests.unit.client.uploads.conftest import Client

STRANGER = "https://evil.example/x"
STRANGE_URLS = [
    STRANGER,
    "http://packages.example.com/acme/upload/x",
    "https://packages.example.com:8443/acme/upload/x",
    "https://packages.example.com@evil.example/x",
    "https://user@packages.example.com/acme/upload/x",
    "https://packages.example.com\\@evil.example/",
    "https://packages.example.com\n.evil.example/",
    "https://packages.example.com.evil.example/",
    "https://packages.example.com/##vso[task.complete]x",
    "/acme/upload/x",
    "https://[::1/x",
    "",
]


def lie(client: Client, path: str, value: Any) -> None:
    """Let every answer have another value there, if it has that member at all."""
    *parents, name = path.split(".")

    def change(document: dict[str, Any]) -> None:
        for parent in parents:
            document = document.get(parent, {})
        if name in document:
            document[name] = value

    client.server.change = change


@pytest.mark.promise("bytes-without-a-token")
@pytest.mark.parametrize("url", STRANGE_URLS)
@pytest.mark.parametrize("link", ["session", "upload", "publish", "extend", "stage"])
def test_a_session_at_another_address_gets_no_token(client: Client, link: str, url: str) -> None:
    lie(client, f"links.{link}", url)

    with pytest.raises(UploadError, match=f"the link `{link}` leads to .* token is sent nowhere"):
        client.open()
    assert client.server.log == ["POST root"]


@pytest.mark.parametrize("url", STRANGE_URLS)
def test_a_session_that_exists_elsewhere_is_not_joined(client: Client, url: str) -> None:
    client.server.plan("POST root", Reply(409, "Conflict", {"location": url} if url else {}))

    with pytest.raises(UploadError, match=r"sent nowhere else|no session: Conflict"):
        client.open()
    assert client.server.log == ["POST root"]


@pytest.mark.parametrize("link", ["file-upload-session", "complete", "extend"])
def test_an_upload_at_another_address_gets_no_token(client: Client, link: str) -> None:
    lie(client, f"links.{link}", STRANGER)

    with pytest.raises(UploadError, match=f"the link `{link}` leads to {STRANGER}"):
        client.deliver()


@pytest.mark.parametrize("name", ["file_url", "attestations_url"])
def test_bytes_are_posted_to_the_registry_alone(client: Client, name: str) -> None:
    client.server.mechanisms = ["http-post-bytes"]
    client.server.takes_attestations = True
    lie(client, f"mechanism.{name}", STRANGER)

    with pytest.raises(UploadError, match=f"the link `{name}` leads to {STRANGER}"):
        client.deliver()


def test_the_address_of_a_staged_file_is_checked(client: Client) -> None:
    client.deliver()
    lie(client, "files.widgets-1.0-py3-none-any.whl.link", STRANGER)
    parts: list[str] = []

    def change(document: dict[str, Any]) -> None:
        for entry in document["files"].values() if isinstance(document["files"], dict) else ():
            entry["link"] = STRANGER
            parts.append("lied")

    client.server.change = change

    with pytest.raises(UploadError, match=f"the link `link` leads to {STRANGER}"):
        client.open()
    assert parts


@pytest.mark.promise("bytes-without-a-token")
@pytest.mark.parametrize(
    "url",
    ["http://bucket.example.net/x", "ftp://bucket.example.net/x", "bucket", "https://a b/", ""],
)
def test_bytes_are_put_only_where_nobody_reads_them(client: Client, url: str) -> None:
    lie(client, "mechanism.url", url)

    with pytest.raises(UploadError, match="which is not https"):
        client.deliver()


LOOPBACK = ["127.0.0.1:8080", "localhost", "[::1]:8080"]


@pytest.mark.parametrize("host", LOOPBACK)
def test_another_machine_sends_no_bytes_to_this_one(client: Client, host: str) -> None:
    lie(client, "mechanism.url", f"http://{host}/x")

    with pytest.raises(UploadError, match="which is not https"):
        client.deliver()


@pytest.mark.parametrize("host", LOOPBACK)
def test_a_registry_on_this_machine_may_have_its_store_here_without_tls(host: str) -> None:
    mechanism = {"identifier": S3_PUT, "url": f"http://{host}/x", "headers": {}}
    links = dict.fromkeys(("file-upload-session", "complete"), "https://localhost/x")
    upload = {
        "links": links,
        "status": "pending",
        "expires-at": "2030-01-01T00:00:00Z",
        "mechanism": mechanism,
    }

    assert read_upload(upload, "https://localhost").target == PutUrl(f"http://{host}/x", {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Authorization", "Bearer x"),
        ("cookie", "a=b"),
        ("Host", "evil.example"),
        ("Content-Length", "1"),
        ("Transfer-Encoding", "chunked"),
        ("X\r\nY", "z"),
        ("X", "a\r\nAuthorization: b"),
        ("X", 5),
    ],
)
def test_a_storage_gets_no_header_of_ours(client: Client, name: str, value: object) -> None:
    lie(client, "mechanism.headers", {name: value})

    with pytest.raises(UploadError, match="the server wants a header"):
        client.deliver()
    assert "PUT object" not in client.server.log


def test_a_put_is_a_put(client: Client) -> None:
    lie(client, "mechanism.method", "POST")

    with pytest.raises(UploadError, match="wants `POST` for vnd-pytp-s3-put"):
        client.deliver()


WRONG: list[tuple[str, Any]] = [
    ("links", []),
    ("links.session", 5),
    ("mechanisms", "http-post-bytes"),
    ("mechanisms", [5]),
    ("expires-at", "tomorrow"),
    ("expires-at", "0001-01-01T00:00:00+23:59"),
    ("expires-at", 5),
    ("status", "done"),
    ("status", None),
    ("files", []),
    ("files", {"x.whl": 5}),
    ("files", {"x.whl": {"status": "completed"}}),
    ("files", {"x.whl": {"status": "who knows", "link": f"{ROOT}x"}}),
    ("notices", "a notice"),
    ("notices", [{}]),
]


@pytest.mark.parametrize(("path", "value"), WRONG)
def test_a_session_of_other_types_is_said(client: Client, path: str, value: object) -> None:
    lie(client, path, value)

    with pytest.raises(
        UploadError, match=r"a publishing session without a good `.+` \(.* expected"
    ):
        client.open()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("status", "uploaded"),
        ("mechanism", None),
        ("mechanism.identifier", "vnd-acme-postal"),
        ("mechanism.url", 5),
        ("mechanism.headers", "none"),
        ("links.complete", None),
    ],
)
def test_an_upload_of_other_types_is_said(client: Client, path: str, value: object) -> None:
    session = client.open()
    lie(client, path, value)

    with pytest.raises(UploadError, match="the upload of a file without a good"):
        client.api.add_file(session, "x.whl", 5, {"sha256": "0" * 64})


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"[" * 50_000, b'{"links": {}}'])
def test_what_is_not_a_session_is_said(client: Client, body: bytes) -> None:
    client.server.plan("POST root", Reply(201, "Created", {}, body))

    with pytest.raises(UploadError, match=r"does not speak the Upload API 2\.0"):
        client.open()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("step", ["POST root", "POST files", "POST file complete"])
def test_a_redirect_is_not_followed(client: Client, step: str, status: int) -> None:
    client.server.plan(step, Reply(status, "Moved", {"location": STRANGER}))

    with pytest.raises(UploadError, match="it redirects, and a token is sent to no other address"):
        client.deliver()


@pytest.mark.parametrize(
    "page",
    [
        b'{"files": 5}',
        b'{"files": [5, {"hashes": 5}, {"hashes": {}}]}',
        b'{"files": [{"filename": 5, "hashes": {"sha256": "x"}}]}',
        b'{"files": [{"filename": "widgets-1.0-py3-none-any.whl", "hashes": {"sha256": 5}}]}',
    ],
)
def test_a_preview_without_digests_proves_nothing(client: Client, page: bytes) -> None:
    client.deliver()
    client.server.plan("GET page", Reply(200, "OK", {}, page))

    assert client.deliver()


def test_links_that_the_server_need_not_give_may_be_missing(client: Client) -> None:
    client.server.has_stage = client.server.has_extend = False

    assert client.open().stage_url is None


@pytest.mark.promise("bytes-without-a-token")
def test_the_storage_gets_exactly_the_headers_of_the_server_and_no_token(client: Client) -> None:
    """The server of this test asserts it."""
    client.deliver()

    assert client.server.count("PUT object") == 1
    assert BUCKET not in ROOT


ANSWERS: list[tuple[Reply, str]] = [
    (Reply(400, "Bad Request"), "Bad Request"),
    (Reply(400), "the server answered 400"),
    (Reply(400, "X", {"content-type": "text/plain"}, b"say it"), "say it"),
    (Reply(400, "X", {"content-type": "text/html"}, b"<p>say it"), "X"),
    (Reply(400, "X", {}, b'{"title": "a title"}'), "a title"),
    (Reply(400, "X", {}, b'{"title": "t", "errors": [5, {"message": "m"}]}'), "t; m"),
    (Reply(400, "X", {}, b'{"errors": [{"source": "s", "message": "m"}]}'), "s: m"),
    (Reply(400, "X", {}, b'{"errors": 5, "detail": 5, "message": "m"}'), "m"),
    (Reply(400, "X", {}, b'{"detail": "pytp_' + b"a1B" * 24 + b'"}'), r"\[a token\]"),
]


@pytest.mark.parametrize(("reply", "said"), ANSWERS)
def test_the_reason_is_shown_as_the_server_gives_it(
    client: Client, reply: Reply, said: str
) -> None:
    client.server.plan("POST root", reply)

    with pytest.raises(UploadError, match=f"^the registry opens no session: {said}$"):
        client.open()
