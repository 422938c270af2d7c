"""The requests of an upload over real HTTP on loopback: what they carry, and their limits."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pytp_broker.client.transport import UnreachableError
from pytp_broker.client.uploads import wire
from pytp_broker.client.uploads.bodies import Body, BytesPart, FilePart
from pytp_broker.client.uploads.wire import Request, Wire
from pytp_broker.redaction import Hidden
from tests.support.misbehaving import BEHAVIOURS, DISCOVERY, MisbehavingIssuer, answering
from tests.support.untrusted import untrusted_server


@pytest.fixture
def host() -> Iterator[MisbehavingIssuer]:
    with MisbehavingIssuer() as running:
        yield running


def body_of(size: int, folder: Path) -> Body:
    path = folder / "file"
    path.write_bytes(b"x" * size)
    return Body([BytesPart(b"<"), FilePart(path, size)])


def test_an_answer_has_its_headers_in_lower_case(host: MisbehavingIssuer) -> None:
    host.misbehave(answering(b'{"a": 1}', "201 Created", "Location: /x", "Retry-After: 5"))

    reply = Wire().send(Request("GET", f"{host.url}{DISCOVERY}", authorization=Hidden("Basic x")))

    assert (reply.status, reply.phrase, reply.document) == (201, "Created", {"a": 1})
    assert (reply.headers["location"], reply.headers["retry-after"]) == ("/x", "5")
    assert reply.is_success
    assert "Authorization: Basic x" in host.heads[-1]


def test_a_body_is_sent_with_its_length(host: MisbehavingIssuer, tmp_path: Path) -> None:
    Wire().send(Request("PUT", f"{host.url}{DISCOVERY}", body=body_of(1000, tmp_path)))

    assert host.heads[-1].startswith(f"PUT {DISCOVERY} ")
    assert "Content-Length: 1001" in host.heads[-1]
    assert "Authorization" not in host.heads[-1]
    assert "chunked" not in host.heads[-1]


def test_a_refusal_before_the_end_of_a_body_is_seen(
    host: MisbehavingIssuer, tmp_path: Path
) -> None:
    host.misbehave(answering(b"{}", "413 Content Too Large"))

    try:
        status = (
            Wire()
            .send(Request("PUT", f"{host.url}{DISCOVERY}", body=body_of(100_000, tmp_path)))
            .status
        )
    except UnreachableError:
        # The system may drop the answer together with the connection.
        status = 413
    assert status == 413


def test_a_redirect_is_an_answer(host: MisbehavingIssuer) -> None:
    host.misbehave(answering(b"", "307 Temporary", f"Location: {host.url}/x"))

    assert Wire().send(Request("GET", f"{host.url}{DISCOVERY}")).status == 307
    assert len(host.heads) == 1


@pytest.mark.parametrize("name", sorted(n for n in BEHAVIOURS if "dripping" in n or "hang" in n))
@pytest.mark.parametrize("has_body", [True, False])
def test_a_server_that_never_ends_does_not_hold_us(
    host: MisbehavingIssuer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    has_body: bool,
) -> None:
    monkeypatch.setattr(wire, "ANSWER_SECONDS", 0.3)
    host.misbehave(BEHAVIOURS[name])
    body = body_of(5, tmp_path) if has_body else None

    with pytest.raises(UnreachableError):
        Wire().send(Request("GET", f"{host.url}{DISCOVERY}", body=body))


@pytest.mark.parametrize("name", ["a gzip bomb", "endless chunks", "no HTTP", "reset"])
def test_an_answer_that_is_none_is_said(host: MisbehavingIssuer, name: str) -> None:
    host.misbehave(BEHAVIOURS[name])

    with pytest.raises(UnreachableError):
        Wire().send(Request("GET", f"{host.url}{DISCOVERY}"))


def test_a_long_answer_is_not_read(host: MisbehavingIssuer) -> None:
    host.misbehave(answering(b" " * 11))

    with pytest.raises(UnreachableError, match="longer than 10 bytes"):
        Wire().send(Request("GET", f"{host.url}{DISCOVERY}", max_answer_bytes=10))


def test_a_server_that_cannot_be_trusted_is_said_with_what_to_set(host: MisbehavingIssuer) -> None:
    with pytest.raises(UnreachableError, match=r"TLS connection .* in REQUESTS_CA_BUNDLE"):
        Wire().send(Request("GET", host.url.replace("http:", "https:")))


def test_a_certificate_that_is_not_trusted_is_no_better_later() -> None:
    with untrusted_server() as url, pytest.raises(UnreachableError, match="CA_BUNDLE") as caught:
        Wire().send(Request("GET", url))

    assert not caught.value.may_pass


def test_a_secret_is_not_in_what_a_request_shows() -> None:
    request = Request("GET", "https://x/", body=b"secret", authorization=Hidden("Basic secret"))

    assert "secret" not in repr(request)
