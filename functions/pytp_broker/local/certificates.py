"""Certificates for the local server, signed by the server's own authority.

Clients insist on https for the exchange, so the server needs a certificate that they can trust. The
server makes an authority on the first start and keeps it in the data folder, if there is one, so
that clients go on trusting it. It makes a new certificate at every start, before the old one ends,
and when it serves other names.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from pytp_broker.local.authority import RENEWAL, Authority
from pytp_broker.names import LOOPBACK_HOSTS


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where the certificates are: ``ca`` is for clients, the others are the server's.

    ``ca`` is None for a certificate that the operator gave. ``remarks`` say what the operator
    should know about the certificates.
    """

    ca: Path | None
    certificate: Path
    private_key: Path
    remarks: tuple[str, ...] = ()


def issue_certificate(folder: Path, names: Iterable[str], now: datetime) -> CertificateFiles:
    """Write a certificate for the loopback names and these names; keep the folder's authority."""
    all_names = tuple(dict.fromkeys((*LOOPBACK_HOSTS, *names)))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    had_one = (folder / "ca.pem").exists()
    kept = _load_authority(folder, now)
    authority = kept or _make_authority(folder, all_names, now)
    leaf = authority.issue([name for name in all_names if authority.permits(name)], now)
    certificate, private_key = folder / "server.pem", folder / "server.key"
    certificate.write_bytes(leaf.certificate)
    _write_secret(private_key, leaf.private_key)
    remarks = tuple(_remarks(authority, all_names, folder, is_replaced=had_one and kept is None))
    return CertificateFiles(folder / "ca.pem", certificate, private_key, remarks)


def _remarks(
    authority: Authority, names: Sequence[str], folder: Path, *, is_replaced: bool
) -> Iterable[str]:
    how = f"move {folder} away and start again; then every client must trust the new ca.pem"
    if is_replaced:
        yield (
            f"the certificate authority in {folder} could not be used any more, so there is a new "
            "one: every client must trust the new ca.pem"
        )
    if authority.is_unlimited:
        yield (
            f"the certificate authority in {folder} is of an earlier version and can sign for any "
            f"name: for one that is limited to the names of this server, {how}"
        )
    if refused := [name for name in names if not authority.permits(name)]:
        yield (
            f"the certificate authority in {folder} may not sign for {', '.join(refused)}, so "
            f"https does not work there: to serve that as well, {how}"
        )


def _load_authority(folder: Path, now: datetime) -> Authority | None:
    try:
        authority = Authority.load(
            (folder / "ca.pem").read_bytes(), (folder / "ca.key").read_bytes()
        )
    except (OSError, ValueError, TypeError):  # TypeError: the key has a passphrase
        return None
    ends_at = authority.certificate.not_valid_after_utc
    return authority if now.astimezone(UTC) + RENEWAL < ends_at else None


def _make_authority(folder: Path, names: Iterable[str], now: datetime) -> Authority:
    authority = Authority.make(names, now)
    _write_secret(folder / "ca.key", authority.private_key_pem)
    (folder / "ca.pem").write_bytes(authority.certificate_pem)
    return authority


def _write_secret(path: Path, content: bytes) -> None:
    """Write a file that nobody but its owner can read at any moment."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


class OwnCertificate:
    """The certificate that the server's own authority signs."""

    def __init__(self, folder: Path, names: Sequence[str], now: datetime) -> None:
        """Raise OSError when the folder cannot be written."""
        self._folder = folder
        self._issue(names, now)

    def refresh(self, names: Sequence[str], now: datetime) -> bool:
        """Issue a new certificate if it is due or the names have changed; say whether it did."""
        if now < self._renew_at and tuple(names) == self._names:
            return False
        self._issue(names, now)
        return True

    def _issue(self, names: Sequence[str], now: datetime) -> None:
        """Issue a new certificate; if the disk fails, it stays due."""
        self.files = issue_certificate(self._folder, names, now)
        issued = x509.load_pem_x509_certificate(self.files.certificate.read_bytes())
        self._renew_at = issued.not_valid_after_utc - RENEWAL
        self._names = tuple(names)
