"""The local server's certificate authority, which may sign only for the names served.

Its certificate lists those names (RFC 5280 §4.2.1.10), and clients refuse what it signs for any
other name. So somebody who steals its key can pretend to be those names only, and only to clients
that trust the authority.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFETIME: Final = timedelta(days=3650)
# Some clients refuse a longer lifetime, even from an authority that the user trusts.
LIFETIME: Final = timedelta(days=397)
# A certificate is replaced this long before its end, because a machine may be off for weeks.
RENEWAL: Final = timedelta(days=30)
# A client's clock may be behind ours.
_SKEW: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Leaf:
    """A server's certificate and its private key, in PEM."""

    certificate: bytes
    private_key: bytes


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority and the private key that it signs with."""

    certificate: x509.Certificate
    private_key: ec.EllipticCurvePrivateKey

    @classmethod
    def make(cls, names: Iterable[str], now: datetime) -> Self:
        """Return a new authority for these names: host names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        serial = x509.random_serial_number()
        # The subject has the serial number, because some clients mix up two authorities with one
        # subject.
        name = _name(f"pytp-broker local CA {serial:x}"[:64])
        permitted = [_constraint(each) for each in names]
        usage = key_usage(signs_certificates=True)
        builder = (
            _builder(name, name, key.public_key(), serial)
            .not_valid_before(now - _SKEW)
            .not_valid_after(now + AUTHORITY_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.NameConstraints(permitted, None), critical=True)
        )
        return cls(builder.sign(key, hashes.SHA256()), key)

    @classmethod
    def load(cls, certificate: bytes, private_key: bytes) -> Self:
        """Return the authority in these files; raise ValueError if they hold none."""
        loaded = x509.load_pem_x509_certificate(certificate)
        key = load_pem_private_key(private_key, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != (
            loaded.public_key()
        ):
            raise ValueError("the private key is not the certificate's")
        return cls(loaded, key)

    @property
    def certificate_pem(self) -> bytes:
        """Return the certificate, which clients must trust."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def private_key_pem(self) -> bytes:
        """Return the private key."""
        return _private_pem(self.private_key)

    @property
    def is_unlimited(self) -> bool:
        """Say whether it may sign for any name, as authorities of earlier versions may."""
        return self._permitted is None

    def permits(self, name: str) -> bool:
        """Say whether clients accept what it signs for this name."""
        permitted = self._permitted
        return permitted is None or any(_is_within(name, subtree) for subtree in permitted)

    @property
    def _permitted(self) -> Sequence[x509.GeneralName] | None:
        try:
            limits = self.certificate.extensions.get_extension_for_class(x509.NameConstraints)
        except x509.ExtensionNotFound:
            return None
        return limits.value.permitted_subtrees or []

    def issue(self, names: Iterable[str], now: datetime) -> Leaf:
        """Return a server certificate for these names; it ends no later than the authority."""
        key = ec.generate_private_key(ec.SECP256R1())
        serial = x509.random_serial_number()
        alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
        identifier = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier
        subject = _name("pytp-broker server")
        ends_at = min(now + LIFETIME, self.certificate.not_valid_after_utc)
        builder = (
            _builder(subject, self.certificate.subject, key.public_key(), serial)
            .not_valid_before(now - _SKEW)
            .not_valid_after(ends_at)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(key_usage(signs_certificates=False), critical=True)
            .add_extension(issuer_key(identifier.value), critical=False)
            .add_extension(alternatives, critical=False)
        )
        chain = builder.sign(self.private_key, hashes.SHA256()).public_bytes(Encoding.PEM)
        return Leaf(chain, _private_pem(key))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, serial: int
) -> x509.CertificateBuilder:
    purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .add_extension(purposes, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """Return what a key may sign: certificates, or else what is not one (RFC 5280 §4.2.1.3)."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "pytp-broker"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name.lower())


def _constraint(name: str) -> x509.GeneralName:
    found = _general_name(name)
    return x509.IPAddress(ip_network(name)) if isinstance(found, x509.IPAddress) else found


def _is_within(name: str, subtree: x509.GeneralName) -> bool:
    found = _general_name(name)
    if isinstance(subtree, x509.IPAddress):
        return isinstance(found, x509.IPAddress) and ip_network(found.value) == subtree.value
    # A permitted host name also permits all names below it.
    return isinstance(found, x509.DNSName) and f".{found.value}".endswith(f".{subtree.value}")


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
