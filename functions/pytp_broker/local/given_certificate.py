"""A certificate for the local server that the operator gives and renews in place."""

import ssl
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from pytp_broker.local.certificates import CertificateFiles


class CertificateError(Exception):
    """The operator's certificate cannot be used; the text says why."""


class GivenCertificate:
    """A certificate and its key that the operator keeps in two files, and renews there."""

    def __init__(self, certificate: Path, key: Path, names: Sequence[str], now: datetime) -> None:
        """Raise CertificateError when they cannot be used."""
        self._certificate, self._key = certificate, key
        self._complaint, self._is_told = "", False
        self._used, self._names = self._read(), tuple(names)
        self.files = self._check(self._used, names, now)

    def refresh(self, names: Sequence[str], now: datetime) -> bool:
        """Read the files again; say whether they hold a new certificate.

        The remarks also cover names that are served since then. Raises CertificateError for a
        certificate that cannot be used. It does so once, and only when it sees that certificate a
        second time, because the two files are never replaced at the same moment.
        """
        try:
            content = self._read()
            if (content, tuple(names)) != (self._used, self._names):
                self.files = self._check(content, names, now)
        except CertificateError as error:
            if self._is_worth_telling(str(error)):
                raise
            return False
        self._complaint = ""
        is_other = content != self._used
        self._used, self._names = content, tuple(names)
        return is_other

    def _is_worth_telling(self, complaint: str) -> bool:
        is_known = complaint == self._complaint
        is_due = is_known and not self._is_told
        self._complaint, self._is_told = complaint, is_known
        return is_due

    def _read(self) -> tuple[bytes, bytes]:
        return _read_file(self._certificate), _read_file(self._key)

    def _check(
        self, content: tuple[bytes, bytes], names: Sequence[str], now: datetime
    ) -> CertificateFiles:
        certificate = _parse_certificate(self._certificate, content[0])
        key = _parse_key(self._key, content[1])
        if _public_bytes(certificate) != _public_bytes(key):
            raise CertificateError(
                f"{self._key} is not the key of {self._certificate}: give the two that belong "
                "together"
            )
        _check_dates(self._certificate, certificate, now)
        _check_server_takes(self._certificate, self._key)
        remarks = tuple(_name_remarks(self._certificate, certificate, names))
        return CertificateFiles(None, self._certificate, self._key, remarks)


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(f"cannot read {path}: {error.strerror}") from None


def _parse_certificate(path: Path, content: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(content)[0]
    except ValueError:
        raise CertificateError(f"{path} does not hold a certificate in PEM") from None


def _parse_key(path: Path, content: bytes) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(content, None)
    except TypeError:
        raise CertificateError(
            f"the key in {path} has a passphrase, which nobody can enter here: store it without one"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError(f"{path} does not hold a private key in PEM") from None


def _public_bytes(holder: x509.Certificate | PrivateKeyTypes) -> bytes:
    key = holder.public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _check_dates(path: Path, certificate: x509.Certificate, now: datetime) -> None:
    begins_at, ends_at = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now >= ends_at:
        raise CertificateError(f"the certificate in {path} ended at {ends_at:%Y-%m-%d %H:%M} UTC")
    if now < begins_at:
        raise CertificateError(
            f"the certificate in {path} is not valid before {begins_at:%Y-%m-%d %H:%M} UTC"
        )


def _check_server_takes(certificate: Path, key: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except ssl.SSLError as error:  # such as a key that is too short
        raise CertificateError(
            f"TLS does not accept the certificate in {certificate}: {error}"
        ) from None


def _name_remarks(path: Path, certificate: x509.Certificate, names: Iterable[str]) -> Iterable[str]:
    if strange := [name for name in names if not _is_for(certificate, name)]:
        yield (
            f"the certificate in {path} is not for {', '.join(strange)}: clients that use such a "
            "name refuse it"
        )


def _is_for(certificate: x509.Certificate, name: str) -> bool:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    hosts = {host.lower() for host in names.get_values_for_type(x509.DNSName)}
    parent = name.lower().partition(".")[2]
    return name in addresses or not {name.lower(), f"*.{parent}"}.isdisjoint(hosts)
