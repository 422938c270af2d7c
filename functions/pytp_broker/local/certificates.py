"""Certificates for the local server, signed by an authority of its own.

Clients insist on https for the exchange, so there has to be a certificate they can trust. The
authority is made on the first start and, in a data folder, kept, so that clients go on trusting it.
The server's own certificate is made anew at every start, for the names that are served then.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import trustme
from cryptography import x509

# Some clients refuse a longer one, even from an authority that the user trusts.
LIFETIME: Final = timedelta(days=397)
LOOPBACK_NAMES: Final = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where the certificates are: ``ca`` is for clients, the others are the server's."""

    ca: Path
    certificate: Path
    private_key: Path


def issue_certificate(folder: Path, names: Iterable[str], now: datetime) -> CertificateFiles:
    """Write a certificate for the loopback names and these; keep the folder's authority."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = _load_authority(folder, now) or _make_authority(folder)
    leaf = authority.issue_cert(
        *dict.fromkeys((*LOOPBACK_NAMES, *names)),
        not_before=now - timedelta(days=1),
        not_after=now + LIFETIME,
    )
    files = CertificateFiles(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    files.certificate.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    _write_secret(files.private_key, leaf.private_key_pem.bytes())
    return files


def _load_authority(folder: Path, now: datetime) -> trustme.CA | None:
    try:
        certificate, key = (folder / "ca.pem").read_bytes(), (folder / "ca.key").read_bytes()
        valid_until = x509.load_pem_x509_certificate(certificate).not_valid_after_utc
        authority = trustme.CA.from_pem(certificate, key)
    except (OSError, ValueError):
        return None
    return authority if now.astimezone(UTC) + LIFETIME < valid_until else None


def _make_authority(folder: Path) -> trustme.CA:
    authority = trustme.CA(organization_name="pytp-broker")
    _write_secret(folder / "ca.key", authority.private_key_pem.bytes())
    (folder / "ca.pem").write_bytes(authority.cert_pem.bytes())
    return authority


def _write_secret(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, from its first byte on."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
