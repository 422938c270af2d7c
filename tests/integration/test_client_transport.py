"""The client's requests over real HTTP on loopback: its limits, and what it does not follow."""

from collections.abc import Iterator
from threading import Thread

import pytest

from pytp_broker.client import transport
from pytp_broker.client.transport import MAX_ANSWER_BYTES, Answer, Call, UnreachableError, send
from tests.support.misbehaving import (
    BEHAVIOURS,
    DISCOVERY,
    JWKS,
    MisbehavingIssuer,
    answering,
)
from tests.support.untrusted import untrusted_server


@pytest.fixture
def host() -> Iterator[MisbehavingIssuer]:
    with MisbehavingIssuer() as running:
        yield running


def ask(host: MisbehavingIssuer, *, authorization: str = "") -> Answer:
    return send(Call(f"{host.url}{DISCOVERY}", authorization=authorization))


def test_a_json_object_is_an_answer(host: MisbehavingIssuer) -> None:
    assert ask(host).text("issuer") == host.url
    assert ask(host).text("missing") == ""


def test_a_body_is_posted_as_json(host: MisbehavingIssuer) -> None:
    send(Call(f"{host.url}{DISCOVERY}", {"token": "secret"}))

    assert host.heads[-1].startswith(f"POST {DISCOVERY} ")
    assert "Content-Type: application/json" in host.heads[-1]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 20_000])
def test_what_is_not_a_json_object_is_an_empty_one(host: MisbehavingIssuer, body: bytes) -> None:
    host.misbehave(answering(body, "418 Teapot"))

    assert ask(host) == Answer(418, {})


@pytest.mark.promise("token-to-one-host")
@pytest.mark.parametrize("status", ["301 Moved", "307 Temporary", "308 Permanent"])
def test_a_redirect_is_not_followed(host: MisbehavingIssuer, status: str) -> None:
    host.misbehave(answering(b"", status, f"Location: {host.url}{JWKS}"))

    assert ask(host).status == int(status[:3])
    assert len(host.heads) == 1


@pytest.mark.promise("token-to-one-host")
@pytest.mark.parametrize(
    "name", [n for n in sorted(BEHAVIOURS) if any(w in n for w in ("dripping", "hanging"))]
)
def test_a_server_that_never_ends_does_not_hold_us(
    host: MisbehavingIssuer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(transport, "DEADLINE_SECONDS", 0.3)
    host.misbehave(BEHAVIOURS[name])

    with pytest.raises(UnreachableError):
        ask(host)


@pytest.mark.parametrize(
    "name",
    [
        "10 MB",
        "a gzip bomb",
        "a bomb in a bomb",
        "endless chunks",
        "endless headers",
        "no HTTP",
        "reset",
    ],
)
def test_an_answer_that_is_none_is_said(host: MisbehavingIssuer, name: str) -> None:
    host.misbehave(BEHAVIOURS[name])

    with pytest.raises(UnreachableError):
        ask(host)


def test_a_long_answer_is_not_read(host: MisbehavingIssuer) -> None:
    host.misbehave(answering(b" " * (MAX_ANSWER_BYTES + 1)))

    with pytest.raises(UnreachableError, match="too long"):
        ask(host)


def test_a_request_needs_no_thread_where_python_starts_none(
    host: MisbehavingIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python 3.12 starts no thread for what is registered with `atexit`."""

    class NoThread(Thread):
        def start(self) -> None:
            raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(transport, "Thread", NoThread)

    assert ask(host).text("issuer") == host.url


def test_a_server_that_cannot_be_trusted_is_said_with_what_to_set(host: MisbehavingIssuer) -> None:
    with pytest.raises(UnreachableError, match=r"TLS connection .* in REQUESTS_CA_BUNDLE"):
        send(Call(host.url.replace("http:", "https:") + DISCOVERY))


def test_a_certificate_that_is_not_trusted_is_no_better_later() -> None:
    with untrusted_server() as url, pytest.raises(UnreachableError, match="CA_BUNDLE") as caught:
        send(Call(url))

    assert not caught.value.may_pass


def test_nothing_listens_there() -> None:
    with pytest.raises(UnreachableError, match="ConnectionError"):
        send(Call("http://127.0.0.1:1/"))


def test_a_netrc_file_adds_no_password(
    host: MisbehavingIssuer, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    path = f"{tmp_path}/netrc"
    with open(path, "w") as file:  # noqa: PTH123 - a name is enough here
        file.write("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", path)

    ask(host)
    assert "Authorization" not in host.heads[-1]
    ask(host, authorization="Bearer mine")
    assert "Authorization: Bearer mine" in host.heads[-1]


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE"])
def test_the_callers_authorities_are_used(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    for name in transport._CA_FILES:
        monkeypatch.delenv(name, raising=False)
    assert transport.authorities() is True

    monkeypatch.setenv(variable, "ca.pem")

    assert transport.authorities() == "ca.pem"


def test_a_file_of_authorities_that_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/ca.pem")

    with pytest.raises(UnreachableError, match="OSError"):
        send(Call("https://127.0.0.1:1/"))
