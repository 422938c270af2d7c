"""A time-stamping authority (RFC 3161) with keys of its own, which can also be wrong in every way.

It writes its replies byte by byte: the libraries that can write them refuse to write wrong ones.
"""

import hashlib
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from rfc3161_client._rust import parse_timestamp_request

from pytp_broker.oidc.documents import FetchError
from pytp_broker.oidc.fetch import Kinds
from pytp_broker.registries import Access, Timestamping

NOW: Final = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
AUTHORITY: Final = Timestamping("https://timestamps.example.com/ask")
TIME_STAMPING: Final = ExtendedKeyUsageOID.TIME_STAMPING

_SIGNED_DATA: Final = "1.2.840.113549.1.7.2"
_TST_INFO: Final = "1.2.840.113549.1.9.16.1.4"
_SHA256: Final = "2.16.840.1.101.3.4.2.1"
_ECDSA: Final = "1.2.840.10045.4.3.2"
_CONTENT_TYPE: Final = "1.2.840.113549.1.9.3"
_MESSAGE_DIGEST: Final = "1.2.840.113549.1.9.4"
_SIGNING_CERTIFICATE: Final = "1.2.840.113549.1.9.16.2.47"
_POLICY: Final = "1.3.6.1.4.1.99999.1"


@dataclass(frozen=True)
class Said:
    """What one reply says; `certificates` are those that it holds, in DER."""

    imprint: bytes
    nonce: int | None
    made_at: datetime
    certificates: Sequence[bytes]
    hash_algorithm: str = _SHA256
    accuracy_seconds: int | None = None
    status: int = 0


@dataclass
class TimeAuthority:
    """An authority with a root of its own.

    `name` is the root's. `purpose` is what the authority's certificate is for, and `change` returns
    what a reply says instead.
    """

    now: Callable[[], datetime] = lambda: NOW
    name: str = "Root"
    purpose: x509.ObjectIdentifier = TIME_STAMPING
    change: Callable[[Said], Said] = lambda said: said
    queries: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._root_key, self._key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        self.root = self._certify(self.name, self._root_key, None)
        self.certificate = self._certify("Authority", self._key, self.purpose)

    def says(self, **changes: Any) -> None:
        """Make every reply from now on say this."""
        self.change = lambda said: replace(said, **changes)

    def answer(self, query: bytes) -> bytes:
        """Return the reply to a query."""
        self.queries.append(query)
        asked = parse_timestamp_request(query)
        said = Said(
            asked.message_imprint.message, asked.nonce, self.now(), [_der_of(self.certificate)]
        )
        return self.write(self.change(said))

    def stamp(self, signature: bytes, **changes: Any) -> bytes:
        """Return a timestamp of a signature that says this."""
        imprint = hashlib.sha256(signature).digest()
        said = Said(imprint, None, self.now(), [_der_of(self.certificate)])
        return self.write(replace(self.change(said), **changes))

    def write(self, said: Said) -> bytes:
        """Return a reply that says this."""
        status = _sequence(_integer(said.status))
        return _sequence(status, b"" if said.status else self._token(said))

    def twin(self, purpose: x509.ObjectIdentifier) -> bytes:
        """Return another certificate with the authority's name and number, that nobody signed."""
        builder = _builder(("Authority", self.name), self._key, purpose, self.now())
        number = self.certificate.serial_number
        stranger = ec.generate_private_key(ec.SECP256R1())
        return _der_of(builder.serial_number(number).sign(stranger, SHA256()))

    def _certify(
        self, name: str, key: ec.EllipticCurvePrivateKey, purpose: x509.ObjectIdentifier | None
    ) -> x509.Certificate:
        builder = _builder((name, self.name), key, purpose, self.now())
        number = x509.random_serial_number()
        return builder.serial_number(number).sign(self._root_key, SHA256())

    def _token(self, said: Said) -> bytes:
        info = _tst_info(said)
        algorithm = _sequence(_oid(_SHA256))
        content = _sequence(_oid(_TST_INFO), _tagged(0, _octets(info)))
        certificates = _tagged(0, *sorted(said.certificates)) if said.certificates else b""
        signers = _der(0x31, self._signer_info(info))
        signed = _sequence(_integer(3), _der(0x31, algorithm), content, certificates, signers)
        return _sequence(_oid(_SIGNED_DATA), _tagged(0, signed))

    def _signer_info(self, info: bytes) -> bytes:
        digest = hashlib.sha256(info).digest()
        own = hashlib.sha256(_der_of(self.certificate)).digest()
        attributes = b"".join(
            (
                _attribute(_CONTENT_TYPE, _oid(_TST_INFO)),
                _attribute(_MESSAGE_DIGEST, _octets(digest)),
                _attribute(_SIGNING_CERTIFICATE, _sequence(_sequence(_sequence(_octets(own))))),
            )
        )
        signature = self._key.sign(_der(0x31, attributes), ec.ECDSA(SHA256()))
        signer = _sequence(
            _name(self.name).public_bytes(), _integer(self.certificate.serial_number)
        )
        return _sequence(
            _integer(1),
            signer,
            _sequence(_oid(_SHA256)),
            _tagged(0, attributes),
            _sequence(_oid(_ECDSA)),
            _octets(signature),
        )


@contextmanager
def serving(authority: TimeAuthority, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve an authority on loopback while the block lasts; return the URL that takes queries."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            reply = authority.answer(query)
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        scheme = "http" if context is None else "https"
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        try:
            yield f"{scheme}://127.0.0.1:{server.server_port}/ask"
        finally:
            server.shutdown()


class Line:
    """The way to an authority, without a network: it counts questions, and may fail."""

    def __init__(self, authority: TimeAuthority) -> None:
        self._authority = authority
        self.failure: FetchError | None = None
        self.asked: list[tuple[str, Access, Kinds]] = []

    def reach(self, access: Access) -> "Sender":
        return Sender(self, access)

    def send(self, url: str, access: Access, kinds: Kinds, body: bytes) -> bytes:
        self.asked.append((url, access, kinds))
        if self.failure is not None:
            raise self.failure
        return self._authority.answer(body)


@dataclass(frozen=True)
class Sender:
    line: Line
    access: Access

    def post(self, url: str, body: bytes, kinds: Kinds) -> bytes:
        return self.line.send(url, self.access, kinds, body)


def _builder(
    names: tuple[str, str],
    key: ec.EllipticCurvePrivateKey,
    purpose: x509.ObjectIdentifier | None,
    now: datetime,
) -> x509.CertificateBuilder:
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(names[0]))
        .issuer_name(_name(names[1]))
        .public_key(key.public_key())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=purpose is None, path_length=None), critical=True)
    )
    if purpose is None:
        return builder
    return builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=True)


def _tst_info(said: Said) -> bytes:
    imprint = _sequence(_sequence(_oid(said.hash_algorithm)), _octets(said.imprint))
    time = _der(0x18, f"{said.made_at:%Y%m%d%H%M%SZ}".encode())
    accuracy = said.accuracy_seconds
    return _sequence(
        _integer(1),
        _oid(_POLICY),
        imprint,
        _integer(1),
        time,
        b"" if accuracy is None else _sequence(_integer(accuracy)),
        b"" if said.nonce is None else _integer(said.nonce),
    )


def _attribute(kind: str, value: bytes) -> bytes:
    return _sequence(_oid(kind), _der(0x31, value))


def _der_of(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _der(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(length)]) + length + content


def _sequence(*parts: bytes) -> bytes:
    return _der(0x30, *parts)


def _tagged(number: int, *parts: bytes) -> bytes:
    return _der(0xA0 | number, *parts)


def _octets(content: bytes) -> bytes:
    return _der(0x04, content)


def _integer(number: int) -> bytes:
    return _der(0x02, number.to_bytes(number.bit_length() // 8 + 1))


def _oid(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    return _der(0x06, b"".join(_base128(each) for each in (first * 40 + second, *rest)))


def _base128(number: int) -> bytes:
    digits = [number & 0x7F]
    while number := number >> 7:
        digits.append(0x80 | number & 0x7F)
    return bytes(reversed(digits))
