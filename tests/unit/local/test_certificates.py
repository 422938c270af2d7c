"""The certificates of the local server: those that it makes, and those that it is given."""

import socket
import ssl
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from pytp_broker.local.authority import Authority
from pytp_broker.local.certificates import (
    CertificateFiles,
    OwnCertificate,
    issue_certificate,
)
from pytp_broker.local.given_certificate import CertificateError, GivenCertificate

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def load(path: Path | None) -> x509.Certificate:
    assert path is not None
    return x509.load_pem_x509_certificate(path.read_bytes())


def names_in(certificate: Path) -> set[str]:
    leaf = load(certificate)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    return addresses | set(names.get_values_for_type(x509.DNSName))


def content(path: Path | None) -> bytes:
    assert path is not None
    return path.read_bytes()


def test_a_certificate_is_for_loopback_and_every_name_given(tmp_path: Path) -> None:
    files = issue_certificate(tmp_path / "tls", ["192.0.2.1", "acme.example.com"], NOW)

    assert names_in(files.certificate) == {
        *("127.0.0.1", "::1", "localhost", "192.0.2.1", "acme.example.com")
    }
    assert files.remarks == ()


@pytest.mark.promise("data-folder")
def test_private_keys_are_their_owners_alone(tmp_path: Path) -> None:
    issue_certificate(tmp_path / "tls", [], NOW)
    files = issue_certificate(tmp_path / "tls", [], NOW)

    places = [tmp_path / "tls", files.private_key, tmp_path / "tls" / "ca.key"]
    assert [stat.S_IMODE(place.stat().st_mode) for place in places] == [0o700, 0o600, 0o600]


def test_the_authority_is_kept_and_the_certificate_is_not(tmp_path: Path) -> None:
    files = issue_certificate(tmp_path, ["a.example.com", "b.example.com"], NOW)
    first = content(files.ca), content(files.certificate)

    issue_certificate(tmp_path, ["a.example.com"], NOW)

    assert content(files.ca) == first[0]
    assert content(files.certificate) != first[1]
    assert "b.example.com" not in names_in(files.certificate)


@pytest.mark.parametrize("spoil", ["ca.key", "ca.pem", "time", "pair"])
def test_an_authority_that_is_no_good_is_replaced_and_the_operator_told(
    tmp_path: Path, spoil: str
) -> None:
    files = issue_certificate(tmp_path, [], NOW)
    first = content(files.ca)
    if spoil == "pair":
        other = ec.generate_private_key(ec.SECP256R1())
        (tmp_path / "ca.key").write_bytes(pem(other))
    elif spoil != "time":
        (tmp_path / spoil).write_text("spoilt")

    later = NOW + timedelta(days=3640) if spoil == "time" else NOW
    issued = issue_certificate(tmp_path, [], later)

    assert content(files.ca) != first
    assert "every client must trust the new ca.pem" in issued.remarks[0]


def test_a_name_that_the_authority_may_not_sign_for_is_left_out_and_told(tmp_path: Path) -> None:
    first = issue_certificate(tmp_path, ["a.example.com"], NOW)
    authority = content(first.ca)

    files = issue_certificate(tmp_path, ["a.example.com", "evil.example.org", "192.0.2.9"], NOW)

    assert content(files.ca) == authority
    assert names_in(files.certificate) == {"127.0.0.1", "::1", "localhost", "a.example.com"}
    assert "may not sign for evil.example.org, 192.0.2.9" in files.remarks[0]
    assert f"move {tmp_path} away" in files.remarks[0]


def test_an_authority_of_an_earlier_version_is_kept_and_the_operator_told(tmp_path: Path) -> None:
    earlier = trustme.CA(organization_name="pytp-broker")
    earlier.private_key_pem.write_to_path(tmp_path / "ca.key")
    earlier.cert_pem.write_to_path(tmp_path / "ca.pem")

    files = issue_certificate(tmp_path, ["new.example.com"], NOW)

    assert content(files.ca) == earlier.cert_pem.bytes()
    assert "new.example.com" in names_in(files.certificate)
    assert "can sign for any name" in files.remarks[0]
    connect(files, "new.example.com")


def test_the_authority_is_limited_in_names_depth_use_and_time(tmp_path: Path) -> None:
    files = issue_certificate(tmp_path, ["acme.example.com", "2001:db8::1"], NOW)

    authority = load(files.ca)
    found = authority.extensions
    limits = found.get_extension_for_class(x509.NameConstraints)
    basic = found.get_extension_for_class(x509.BasicConstraints)
    usage = found.get_extension_for_class(x509.KeyUsage)
    assert [str(subtree.value) for subtree in limits.value.permitted_subtrees or []] == [
        *("127.0.0.1/32", "localhost", "::1/128", "acme.example.com", "2001:db8::1/128")
    ]
    assert (basic.value.ca, basic.value.path_length) == (True, 0)
    assert (usage.value.key_cert_sign, usage.value.digital_signature) == (True, False)
    assert all(extension.critical for extension in (limits, basic, usage))
    assert authority.not_valid_after_utc == NOW + timedelta(days=3650)
    assert "pytp-broker local CA" in authority.subject.rfc4514_string()
    assert load(files.certificate).not_valid_after_utc == NOW + timedelta(days=397)


def test_no_certificate_outlives_its_authority(tmp_path: Path) -> None:
    files = issue_certificate(tmp_path, [], NOW)

    issue_certificate(tmp_path, [], NOW + timedelta(days=3600))

    assert load(files.certificate).not_valid_after_utc == load(files.ca).not_valid_after_utc


# --- what clients make of it ----------------------------------------------------------------------


@contextmanager
def listening(files: CertificateFiles) -> Iterator[int]:
    """Run a TLS server with these files; return its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.private_key)

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):
            connection, _ = listener.accept()
            with connection, context.wrap_socket(connection, server_side=True):
                pass

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


def connect(files: CertificateFiles, name: str) -> None:
    """Shake hands as a strict client that trusts the authority; raise ssl.SSLError."""
    context = ssl.create_default_context(cafile=files.ca)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with (
        listening(files) as port,
        socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
        context.wrap_socket(connection, server_hostname=name),
    ):
        pass


@pytest.mark.parametrize("name", ["127.0.0.1", "::1", "localhost", "acme.example.com"])
def test_a_strict_client_accepts_every_name_served(tmp_path: Path, name: str) -> None:
    files = issue_certificate(tmp_path, ["acme.example.com"], datetime.now(UTC))

    connect(files, name)


@pytest.mark.promise("stolen-certificate-key")
@pytest.mark.parametrize("name", ["evil.example.org", "192.0.2.9"])
def test_a_client_refuses_what_the_stolen_key_of_the_authority_signs(
    tmp_path: Path, name: str
) -> None:
    now = datetime.now(UTC)
    files = issue_certificate(tmp_path, [], now)
    stolen = Authority.load(content(files.ca), (tmp_path / "ca.key").read_bytes())

    forged = stolen.issue([name], now)

    files.certificate.write_bytes(forged.certificate)
    files.private_key.write_bytes(forged.private_key)
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        connect(files, name)


# --- renewal while the server runs ----------------------------------------------------------------


def test_the_own_certificate_is_renewed_a_month_before_its_end(tmp_path: Path) -> None:
    own = OwnCertificate(tmp_path, ["acme.example.com"], NOW)
    authority = content(own.files.ca)

    assert not own.refresh(["acme.example.com"], NOW + timedelta(days=366))
    assert own.refresh(["acme.example.com"], NOW + timedelta(days=367))
    assert not own.refresh(["acme.example.com"], NOW + timedelta(days=368))

    assert content(own.files.ca) == authority
    ends_at = load(own.files.certificate).not_valid_after_utc
    assert ends_at == NOW + timedelta(days=367 + 397)


def test_the_own_certificate_follows_the_names_that_are_served(tmp_path: Path) -> None:
    own = OwnCertificate(tmp_path, ["a.example.com", "b.example.com"], NOW)

    assert own.refresh(["b.example.com"], NOW)

    assert "a.example.com" not in names_in(own.files.certificate)


def test_a_certificate_that_could_not_be_written_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = OwnCertificate(tmp_path, ["a.example.com"], NOW)
    with monkeypatch.context() as full:
        full.setattr(Path, "write_bytes", Mock(side_effect=OSError("the disk is full")))
        with pytest.raises(OSError, match="full"):
            own.refresh(["localhost"], NOW)

    assert own.refresh(["localhost"], NOW)


# --- a certificate of the operator's own ----------------------------------------------------------


class Pair:
    """A certificate and its key, in two files, as certbot leaves them."""

    def __init__(self, folder: Path) -> None:
        self.certificate, self.key = folder / "fullchain.pem", folder / "privkey.pem"
        self.authority = trustme.CA()
        self.write()

    def write(self, *names: str, begins: int = 0, ends: int = 90) -> None:
        leaf = self.authority.issue_cert(
            *(names or ("packages.example.com", "*.example.net", "192.0.2.1")),
            not_before=NOW + timedelta(days=begins),
            not_after=NOW + timedelta(days=ends),
        )
        leaf.private_key_pem.write_to_path(self.key)
        self.certificate.write_bytes(b"".join(each.bytes() for each in leaf.cert_chain_pems))

    def open(self, *names: str) -> GivenCertificate:
        return GivenCertificate(self.certificate, self.key, names, NOW)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def sign_itself(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "packages.example.com")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW.replace(year=2027))
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, passphrase: bytes = b"") -> bytes:
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def test_a_given_certificate_is_used_as_it_is(pair: Pair) -> None:
    given = pair.open("packages.example.com", "Beta.Example.net", "192.0.2.1")

    assert given.files == CertificateFiles(None, pair.certificate, pair.key)


def test_names_that_a_given_certificate_is_not_for_are_told(pair: Pair) -> None:
    given = pair.open("packages.example.com", "a.b.example.net", "192.0.2.2")

    assert "not for a.b.example.net, 192.0.2.2" in given.files.remarks[0]


def test_a_certificate_without_names_is_for_nobody(pair: Pair) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pair.certificate.write_bytes(sign_itself(key))
    pair.key.write_bytes(pem(key))

    assert "not for packages.example.com" in pair.open("packages.example.com").files.remarks[0]


def spoil_certificate(pair: Pair) -> None:
    pair.certificate.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")


def spoil_key(pair: Pair) -> None:
    pair.key.write_text("no key")


def take_key_away(pair: Pair) -> None:
    pair.key.unlink()


def swap_key(pair: Pair) -> None:
    pair.key.write_bytes(pem(ec.generate_private_key(ec.SECP256R1())))


def lock_key(pair: Pair) -> None:
    pair.key.write_bytes(pem(ec.generate_private_key(ec.SECP256R1()), b"secret"))


def let_it_end(pair: Pair) -> None:
    pair.write(begins=-90, ends=-1)


def let_it_begin_later(pair: Pair) -> None:
    pair.write(begins=1)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoil_certificate, "fullchain.pem does not hold a certificate in PEM"),
        (spoil_key, "privkey.pem does not hold a private key in PEM"),
        (take_key_away, "cannot read .*privkey.pem: No such file or directory"),
        (swap_key, "privkey.pem is not the key of .*fullchain.pem"),
        (lock_key, "privkey.pem has a passphrase"),
        (let_it_end, "fullchain.pem ended at 2026-11-21 12:00 UTC"),
        (let_it_begin_later, "fullchain.pem is not valid before 2026-11-23 12:00 UTC"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_refused_in_one_sentence(
    pair: Pair, spoil: Callable[[Pair], None], said: str
) -> None:
    spoil(pair)

    with pytest.raises(CertificateError, match=said):
        pair.open()


def test_a_key_that_tls_does_not_take_is_refused(pair: Pair) -> None:
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505 - too short on purpose
    pair.certificate.write_bytes(sign_itself(key))
    pair.key.write_bytes(pem(key))

    with pytest.raises(CertificateError, match="TLS does not accept"):
        pair.open()


def test_a_renewed_certificate_is_taken_once(pair: Pair) -> None:
    given = pair.open()
    assert not given.refresh([], NOW)

    pair.write("packages.example.com", "new.example.com")

    assert given.refresh(["packages.example.com"], NOW)
    assert not given.refresh(["packages.example.com"], NOW)


def test_a_name_that_is_served_later_and_is_not_in_a_given_certificate_is_told(
    pair: Pair,
) -> None:
    given = pair.open("packages.example.com")

    assert not given.refresh(["packages.example.com", "late.example.com"], NOW)

    [remark] = given.files.remarks
    assert "is not for late.example.com" in remark


def test_half_of_a_renewed_pair_is_waited_for(pair: Pair) -> None:
    given = pair.open()
    key = pair.key.read_bytes()
    pair.write()
    new = pair.key.read_bytes()

    pair.key.write_bytes(key)
    assert not given.refresh([], NOW)
    pair.key.write_bytes(new)

    assert given.refresh([], NOW)


def test_a_renewed_certificate_that_cannot_be_used_is_told_once_and_the_old_one_stays(
    pair: Pair,
) -> None:
    given = pair.open()
    old = pair.certificate.read_bytes()
    pair.certificate.write_text("")

    assert not given.refresh([], NOW)
    with pytest.raises(CertificateError, match="does not hold a certificate"):
        given.refresh([], NOW)
    assert not given.refresh([], NOW)

    pair.certificate.write_bytes(old)
    assert not given.refresh([], NOW)
