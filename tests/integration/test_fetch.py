"""Fetching an issuer's document: hard limits, no environment, no way into our own network."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from pytp_broker.oidc import connections, sockets
from pytp_broker.oidc.documents import FetchError
from pytp_broker.oidc.fetch import MAX_DOCUMENT_BYTES, MAX_THREADS, HttpFetch, Kinds
from pytp_broker.registries import ENVIRONMENT_PROXY, Access
from tests.support.lookups import NAME, never, refusal_of, resolve
from tests.support.misbehaving import (
    BEHAVIOURS,
    JWKS,
    MisbehavingIssuer,
    answering,
)
from tests.support.proxy import Proxy

DEADLINE_SECONDS = 0.25
# Far less than a slow issuer takes, and far more than a machine with much to do is late.
SOON_SECONDS = 10


@pytest.fixture
def issuer() -> Iterator[MisbehavingIssuer]:
    with MisbehavingIssuer() as found:
        yield found


@pytest.fixture
def fetch() -> HttpFetch:
    """Return a fetcher whose deadline is long enough for a good answer on a busy machine."""
    return HttpFetch(only_public=False, deadline_seconds=SOON_SECONDS)


@pytest.fixture
def hasty() -> HttpFetch:
    return HttpFetch(only_public=False, deadline_seconds=DEADLINE_SECONDS)


# --- time and size --------------------------------------------------------------------------------


SLOW = [name for name in BEHAVIOURS if "dripping" in name or "endless" in name or name == "hanging"]


@pytest.mark.parametrize("behaviour", SLOW)
def test_the_deadline_is_one_for_all_and_its_thread_ends_with_it(
    issuer: MisbehavingIssuer, hasty: HttpFetch, behaviour: str
) -> None:
    before = _threads()
    issuer.misbehave(BEHAVIOURS[behaviour])
    started_at = time.monotonic()

    with pytest.raises(FetchError):
        hasty(issuer.jwks_url)

    assert time.monotonic() - started_at < SOON_SECONDS
    _wait_until(lambda: _threads() <= before)


def test_threads_do_not_pile_up(issuer: MisbehavingIssuer, fetch: HttpFetch) -> None:
    before, most, enough = _threads(), [0], threading.Event()
    refusals: list[str] = []

    def hang_until_all_others_were_refused(_: MisbehavingIssuer) -> Iterator[bytes]:
        enough.wait(SOON_SECONDS)
        yield b""

    def attempt(_: int) -> None:
        refusal = refusal_of(fetch, issuer.jwks_url)
        most[0] = max(most[0], len(_threads() - before))
        refusals.append(refusal)
        if len(refusals) >= 64 - MAX_THREADS:
            enough.set()

    issuer.misbehave(hang_until_all_others_were_refused)
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(attempt, range(64)))

    assert most[0] <= 32 + MAX_THREADS
    assert issuer.connections == MAX_THREADS
    too_many = "too many documents are being fetched at this time"
    assert refusals.count(too_many) == 64 - MAX_THREADS
    _wait_until(lambda: _threads() <= before)
    issuer.behave()
    assert fetch(issuer.jwks_url)


def test_a_thread_that_cannot_be_started_does_not_count_as_a_fetch(
    fetch: HttpFetch, issuer: MisbehavingIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    issuer.behave()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        refusals = [refusal_of(fetch, issuer.jwks_url) for _ in range(MAX_THREADS + 1)]

    assert set(refusals) == {"no thread can be started to fetch the document"}
    assert fetch(issuer.jwks_url)


def test_a_host_name_that_is_looked_up_for_ever_does_not_hold_us(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    over = threading.Event()

    def look_up(*_: Any, **__: Any) -> list[Any]:
        over.wait(5)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    fetch = HttpFetch(only_public=True, deadline_seconds=0.05)
    before = _threads()

    refusals = [refusal_of(fetch, f"https://{NAME}/jwks") for _ in range(20)]

    assert len(_threads() - before) <= MAX_THREADS
    assert refusals.count("the issuer did not answer in time") == MAX_THREADS
    over.set()
    _wait_until(lambda: _threads() <= before)


def test_a_body_may_be_sent_with_its_kind_and_the_kind_of_the_answer(
    issuer: MisbehavingIssuer, fetch: HttpFetch
) -> None:
    issuer.misbehave(answering(b"reply"))

    answer = fetch.post(issuer.jwks_url, b"query", Kinds("application/query", "application/reply"))

    assert answer == b"reply"
    (head,) = issuer.heads
    assert head.startswith(f"POST {JWKS} ")
    for line in (
        "Content-Type: application/query",
        "Accept: application/reply",
        "Content-Length: 5",
    ):
        assert f"\r\n{line}\r\n" in head


@pytest.mark.parametrize("behaviour", SLOW)
def test_the_deadline_holds_for_a_body_that_is_sent(
    issuer: MisbehavingIssuer, hasty: HttpFetch, behaviour: str
) -> None:
    issuer.misbehave(BEHAVIOURS[behaviour])
    started_at = time.monotonic()

    with pytest.raises(FetchError):
        hasty.post(issuer.jwks_url, b"query", Kinds("application/query", "application/reply"))

    assert time.monotonic() - started_at < SOON_SECONDS


@pytest.mark.parametrize(("size", "fits"), [(MAX_DOCUMENT_BYTES, True), (100 * 1024 + 1, False)])
def test_a_document_has_at_most_100_kib(
    issuer: MisbehavingIssuer, fetch: HttpFetch, size: int, fits: bool
) -> None:
    issuer.misbehave(answering(b" " * size))

    if fits:
        assert len(fetch(issuer.jwks_url)) == size
    else:
        assert refusal_of(fetch, issuer.jwks_url) == "the issuer's document is too large"


@pytest.mark.row("A059")
def test_a_redirect_is_not_followed(issuer: MisbehavingIssuer, fetch: HttpFetch) -> None:
    with MisbehavingIssuer() as elsewhere:
        for place in ("http://169.254.169.254/latest/", elsewhere.jwks_url):
            issuer.misbehave(answering(b"{}", "302 Found", f"Location: {place}"))
            assert refusal_of(fetch, issuer.discovery_url) == "the issuer answered 302"

        assert issuer.connections == 2
        assert elsewhere.connections == 0


def test_a_document_may_come_in_chunks(issuer: MisbehavingIssuer, fetch: HttpFetch) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    issuer.misbehave(lambda _: iter([head, b"2\r\n{}\r\n", b"3\r\n   \r\n", b"0\r\n\r\n"]))

    assert fetch(issuer.jwks_url) == b"{}   "


def test_a_document_that_is_cut_is_none(issuer: MisbehavingIssuer, fetch: HttpFetch) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
    issuer.misbehave(lambda _: iter([head, b"{}"]))
    assert refusal_of(fetch, issuer.jwks_url) == "the issuer's document is shorter than announced"

    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    issuer.misbehave(lambda _: iter([head, b"5\r\n{}"]))
    assert "cannot be reached (IncompleteRead)" in refusal_of(fetch, issuer.jwks_url)


def test_what_is_compressed_is_not_unpacked(issuer: MisbehavingIssuer, fetch: HttpFetch) -> None:
    issuer.misbehave(BEHAVIOURS["a gzip bomb"])

    assert fetch(issuer.jwks_url).startswith(b"\x1f\x8b")


# --- nothing from the environment -----------------------------------------------------------------


def test_a_request_says_nothing_of_us(
    issuer: MisbehavingIssuer, fetch: HttpFetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name)
    with MisbehavingIssuer() as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://me:secret@127.0.0.1:{proxy.port}")
            monkeypatch.setenv(name.upper(), f"http://me:secret@127.0.0.1:{proxy.port}")

        fetch(issuer.jwks_url)

        assert proxy.connections == 0
    (head,) = issuer.heads
    names = {line.partition(":")[0].lower() for line in head.splitlines()[1:]}
    assert names == {"host", "accept", "accept-encoding", "user-agent"}
    assert "Accept-Encoding: identity" in head
    assert "application/jwk-set+json" in head  # all that Kubernetes serves


def test_cookies_are_not_kept(issuer: MisbehavingIssuer, fetch: HttpFetch) -> None:
    issuer.misbehave(answering(b"{}", "200 OK", "Set-Cookie: session=1; Path=/"))

    for _ in range(2):
        fetch(issuer.jwks_url)

    assert "cookie" not in "".join(issuer.heads).lower()


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.com/jwks",
        "http://",
        "https://",
        "x",
        "",
        "https://a..b",
        "https://ä..b",
        "https://me:secret@example.com/",
        "https://example.com:port/",
        "http://127.0.0.1/a path",
        "http://127.0.0.1/a\r\nX-Header: b",
        "http://127.0.0.1/ä",
    ],
)
def test_what_is_no_web_address_is_not_fetched(fetch: HttpFetch, url: str) -> None:
    assert "cannot be reached" in refusal_of(fetch, url)


def test_nobody_at_home_is_no_answer(fetch: HttpFetch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    assert "cannot be reached" in refusal_of(fetch, f"http://127.0.0.1:{port}/")


# --- TLS ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def asked_for() -> list[str | None]:
    """Return the names that the issuer was asked for in TLS."""
    return []


@pytest.fixture
def secure(authority: trustme.CA, asked_for: list[str | None]) -> Iterator[MisbehavingIssuer]:
    with MisbehavingIssuer(_context(authority, NAME, asked_for), NAME) as found:
        yield found


def _context(
    authority: trustme.CA, name: str, asked_for: list[str | None] | None = None
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    if asked_for is not None:
        context.sni_callback = lambda _socket, asked, _context: asked_for.append(asked)
    return context


def test_the_address_is_looked_up_once_and_the_name_is_what_tls_verifies(
    secure: MisbehavingIssuer,
    asked_for: list[str | None],
    ca_file: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_up = resolve(monkeypatch, "127.0.0.1")

    body = HttpFetch(only_public=False, ca_file=ca_file)(secure.jwks_url)

    assert body == secure.fetch(secure.jwks_url)
    assert looked_up == [NAME]
    assert asked_for == [NAME]
    assert f"Host: {NAME}:{secure.port}" in secure.heads[0]


def test_an_address_that_does_not_answer_leaves_time_for_the_next(
    secure: MisbehavingIssuer, ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, "127.0.0.9", "::1", "127.0.0.1")

    assert HttpFetch(only_public=False, ca_file=ca_file)(secure.jwks_url)


def test_no_time_left_is_no_connection() -> None:
    with pytest.raises(FetchError):
        HttpFetch(only_public=False, deadline_seconds=1e-9)("https://127.0.0.1/")
    with pytest.raises(TimeoutError):
        sockets.open_first([()], time.monotonic())  # type: ignore[list-item]


@pytest.mark.promise("tls-and-dns")
def test_a_certificate_of_an_unknown_authority_is_refused(
    secure: MisbehavingIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, "127.0.0.1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/dev/null")

    assert "SSLError" in refusal_of(HttpFetch(only_public=False), secure.jwks_url)
    assert secure.heads == []


@pytest.mark.promise("tls-and-dns")
def test_a_certificate_of_another_name_is_refused(
    authority: trustme.CA, ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, "127.0.0.1")
    with MisbehavingIssuer(_context(authority, "evil.example.com"), NAME) as impostor:
        fetch = HttpFetch(only_public=False, ca_file=ca_file)

        assert "SSLError" in refusal_of(fetch, impostor.jwks_url)
        assert impostor.heads == []


def test_the_deadline_holds_for_a_handshake_too(ca_file: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        before = _threads()
        fetch = HttpFetch(only_public=False, ca_file=ca_file, deadline_seconds=DEADLINE_SECONDS)
        started_at = time.monotonic()

        refusal_of(fetch, f"https://127.0.0.1:{silent.getsockname()[1]}/")

        assert time.monotonic() - started_at < SOON_SECONDS
        _wait_until(lambda: _threads() <= before)


@pytest.mark.parametrize("behaviour", SLOW)
def test_the_deadline_holds_over_tls(
    secure: MisbehavingIssuer, ca_file: str, monkeypatch: pytest.MonkeyPatch, behaviour: str
) -> None:
    resolve(monkeypatch, "127.0.0.1")
    secure.misbehave(BEHAVIOURS[behaviour])
    fetch = HttpFetch(only_public=False, ca_file=ca_file, deadline_seconds=DEADLINE_SECONDS)
    before = _threads()
    started_at = time.monotonic()

    refusal_of(fetch, secure.jwks_url)

    assert time.monotonic() - started_at < SOON_SECONDS
    _wait_until(lambda: _threads() <= before)


# --- issuers inside a company ---------------------------------------------------------------------

INTERNAL = ["10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fc00::1", "fd12:3456::1"]
METADATA = [
    "169.254.169.254",
    "169.254.170.2",
    "100.100.100.200",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fd00:42::42",
    "fe80::1",
]
PRIVATE = Access(is_private=True)


def _try(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let every connection be refused; return the addresses that are tried."""
    tried: list[str] = []

    def refuse(entry: Any, _: float) -> socket.socket:
        tried.append(entry[4][0])
        raise ConnectionRefusedError

    monkeypatch.setattr(sockets, "_open", refuse)
    return tried


@pytest.mark.promise("own-network")
@pytest.mark.parametrize("only_public", [True, False])
@pytest.mark.parametrize("address", INTERNAL)
def test_a_private_address_is_connected_to_only_where_the_operator_says_so(
    address: str, only_public: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, address)
    tried = _try(monkeypatch)
    fetch = HttpFetch(only_public=only_public)

    assert "no address" in refusal_of(fetch, f"https://{NAME}/jwks")
    assert tried == []
    assert "cannot be reached" in refusal_of(fetch.reach(PRIVATE), f"https://{NAME}/jwks")
    assert tried == [address]
    assert "no address" in refusal_of(fetch, f"https://{NAME}/jwks")


@pytest.mark.parametrize("address", INTERNAL)
def test_what_to_do_about_a_private_address_is_said(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, "127.0.0.1", address)

    with pytest.raises(FetchError) as refused:
        HttpFetch(only_public=True)(f"https://{NAME}/jwks")

    assert f"{address} is a private address; set `private = true`" in refused.value.explanation


@pytest.mark.promise("own-network")
@pytest.mark.parametrize("only_public", [True, False])
@pytest.mark.parametrize("address", METADATA)
def test_no_issuer_is_at_an_address_that_gives_credentials_away(
    address: str, only_public: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, address)
    monkeypatch.setattr(sockets, "_open", never)

    fetch = HttpFetch(only_public=only_public).reach(PRIVATE)

    with pytest.raises(FetchError) as refused:
        fetch(f"https://{NAME}/jwks")
    assert refused.value.explanation == (
        "the issuer's host has no address that the broker may connect to"
    )


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "0.0.0.0", "::ffff:10.0.0.1"])  # noqa: S104
def test_no_private_issuer_is_this_machine_on_aws(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, address)
    monkeypatch.setattr(sockets, "_open", never)

    assert "no address" in refusal_of(
        HttpFetch(only_public=True).reach(PRIVATE), f"https://{NAME}/"
    )


def test_a_private_issuer_isnever_fetched_in_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, "10.0.0.1")
    monkeypatch.setattr(sockets, "_open", never)

    for only_public in (True, False):
        fetch = HttpFetch(only_public=only_public).reach(PRIVATE)
        assert refusal_of(fetch, f"http://{NAME}/jwks")


def test_an_authority_of_ones_own_takes_the_place_of_the_public_ones(
    secure: MisbehavingIssuer, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, "127.0.0.1")
    fetch = HttpFetch(only_public=False)
    own = fetch.reach(Access(ca_pem=authority.cert_pem.bytes().decode()))
    another = fetch.reach(Access(ca_pem=trustme.CA().cert_pem.bytes().decode()))

    assert own(secure.jwks_url)
    with pytest.raises(FetchError) as refused:
        another(secure.jwks_url)
    assert "not signed by an authority in the `ca_file`" in refused.value.explanation
    assert "SSLError" in refusal_of(fetch, secure.jwks_url)
    assert len(secure.heads) == 1


def _as_companies_make_it(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """Return an authority without the extensions that Python demands from 3.13 on."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Corp")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(1))
    return builder.add_extension(x509.BasicConstraints(True, None), critical=False).sign(
        key, hashes.SHA256()
    )


def _signed(
    name: str, issuer: x509.Certificate, key: ec.EllipticCurvePrivateKey, folder: Path
) -> ssl.SSLContext:
    """Return the context of a server whose certificate this authority has signed."""
    own, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    public = own.public_key()
    builder = x509.CertificateBuilder(issuer.subject, subject, public, 2, now, now + timedelta(1))
    names = x509.SubjectAlternativeName([x509.DNSName(name)])
    certificate = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    (folder / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(
        own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def test_an_authority_of_ones_own_is_trusted_as_it_is_by_every_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, "127.0.0.1")
    key = ec.generate_private_key(ec.SECP256R1())
    authority = _as_companies_make_it(key)
    own = Access(ca_pem=authority.public_bytes(Encoding.PEM).decode())

    with MisbehavingIssuer(_signed(NAME, authority, key, tmp_path), NAME) as issuer:
        assert HttpFetch(only_public=False).reach(own)(issuer.jwks_url)


def test_an_authority_below_another_one_is_trusted_by_every_python(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve(monkeypatch, "127.0.0.1")
    intermediate = trustme.CA().create_child_ca()
    own = Access(ca_pem=intermediate.cert_pem.bytes().decode())

    with MisbehavingIssuer(_context(intermediate, NAME), NAME) as issuer:
        assert HttpFetch(only_public=False).reach(own)(issuer.jwks_url)


def test_a_certificate_of_another_name_is_refused_by_an_authority_of_ones_own_too(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, "127.0.0.1")
    own = Access(ca_pem=authority.cert_pem.bytes().decode())
    with MisbehavingIssuer(_context(authority, "evil.example.com"), NAME) as impostor:
        with pytest.raises(FetchError) as refused:
            HttpFetch(only_public=False).reach(own)(impostor.jwks_url)

        assert "Hostname mismatch" in refused.value.explanation
        assert impostor.heads == []


@pytest.mark.parametrize("environment", ["", "https://proxy.example.com:3128"])
def test_a_proxy_of_the_environment_must_be_there(environment: str) -> None:
    fetch = HttpFetch(only_public=True, environment_proxy=environment).reach(
        Access(proxy=ENVIRONMENT_PROXY)
    )

    with pytest.raises(FetchError) as refused:
        fetch(f"https://{NAME}/jwks")

    assert "set HTTPS_PROXY to an http:// URL" in refused.value.explanation


@pytest.mark.parametrize(
    "spelling", ["http://LOCALHOST:{}", "http://me:p%3aw@localhost:{}/", " HTTP://localhost:{}\n"]
)
def test_a_proxy_of_the_environment_may_be_spelt_in_any_way(
    spelling: str, authority: trustme.CA
) -> None:
    own = Access(ca_pem=authority.cert_pem.bytes().decode(), proxy=ENVIRONMENT_PROXY)
    with MisbehavingIssuer(_context(authority, NAME), NAME) as issuer, Proxy() as proxy:
        environment = spelling.format(proxy.url.rpartition(":")[2])

        assert HttpFetch(only_public=True, environment_proxy=environment).reach(own)(
            issuer.jwks_url
        )


def test_a_proxy_that_does_not_answer_is_said() -> None:
    with Proxy() as proxy:
        url = proxy.url

    with pytest.raises(FetchError) as refused:
        HttpFetch(only_public=True).reach(Access(proxy=url))(f"https://{NAME}/jwks")

    assert refused.value.explanation.endswith("(ConnectionRefusedError): its proxy does not answer")


def test_what_is_no_proxy_is_no_answer() -> None:
    with Proxy(b"SSH-2.0-OpenSSH\r\n") as other:
        assert refusal_of(
            HttpFetch(only_public=True).reach(Access(proxy=other.url)), f"https://{NAME}/"
        )


def test_a_proxy_that_refuses_is_no_answer_and_shows_no_password() -> None:
    with Proxy(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n") as proxy:
        url = proxy.url.replace("//", "//me:secret@")
        fetch = HttpFetch(only_public=True, environment_proxy=url).reach(
            Access(proxy=ENVIRONMENT_PROXY)
        )

        with pytest.raises(FetchError) as refused:
            fetch(f"https://{NAME}/jwks")

        assert "its proxy answered 407" in refused.value.explanation
        assert "secret" not in refused.value.explanation
        assert "Proxy-Authorization: Basic" in proxy.heads[0]


def test_the_deadline_holds_for_a_proxy_too() -> None:
    before = _threads()
    with Proxy(b"HTTP/1.1 407 ") as proxy:
        fetch = HttpFetch(only_public=True, deadline_seconds=DEADLINE_SECONDS)
        started_at = time.monotonic()

        refusal_of(fetch.reach(Access(proxy=proxy.url)), f"https://{NAME}/jwks")

        assert time.monotonic() - started_at < SOON_SECONDS
        _wait_until(lambda: not any(t.name != "proxy" for t in _threads() - before))


def test_the_limit_of_threads_is_one_for_all_issuers() -> None:
    fetch = HttpFetch(only_public=True)

    assert fetch.reach(PRIVATE)._threads is fetch._threads


def test_the_deployed_function_fetches_from_the_public_only_and_serve_from_here(
    issuer: MisbehavingIssuer,
) -> None:
    assert HttpFetch(only_public=False)(issuer.jwks_url) == issuer.fetch(issuer.url + JWKS)
    refusal_of(HttpFetch(only_public=True), issuer.jwks_url)
    root = Path(connections.__file__).parents[1]
    assert "HttpFetch(only_public=True, " in (root / "aws" / "broker.py").read_text()


# --- helpers --------------------------------------------------------------------------------------


def _threads() -> set[threading.Thread]:
    # Which, and not how many: one of an earlier test may end at any time.
    return {thread for thread in threading.enumerate() if thread.name != "misbehaving"}


def _wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + SOON_SECONDS
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)
