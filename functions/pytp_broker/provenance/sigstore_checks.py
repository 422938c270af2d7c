"""Verify attestations (PEP 740) without a network, against a trusted root of Sigstore.

The statement must be about the file. The certificate must be of an authority of the trusted root,
valid when the transparency log took the entry, listed by a certificate log, and of the publisher.
The log's entry must be of this signature, and proven. The library checks the last two sentences.

Importing the library takes half a second, so nothing imports this file before it is needed.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from pypi_attestations import Attestation
from sigstore.errors import CertValidationError, VerificationError
from sigstore.errors import Error as SigstoreError
from sigstore.models import Bundle, TrustedRoot
from sigstore.verify import Verifier
from sigstore.verify.policy import VerificationPolicy

from pytp_broker.errors import StoreUnavailable
from pytp_broker.provenance.attester import (
    AttestationQuestion,
    AttestationState,
    AttestationStatus,
)
from pytp_broker.provenance.identities import policy_of
from pytp_broker.provenance.judgement import (
    NotVerifiedError,
    Reason,
    RefusedError,
    UnverifiedError,
)
from pytp_broker.provenance.statements import Sent, read_sent
from pytp_broker.provenance.trusted_roots import SHIPPED_ROOT, read_log_ids
from pytp_broker.redaction import legible

# The library quotes whole proofs.
_MAX_SENTENCE_CHARACTERS: Final = 300
# Some of our own sentences quote a certificate, in which a stranger may name a book. The reason is
# kept with the file, and every listing of the project repeats it.
_MAX_REASON_CHARACTERS: Final = 600


class SigstoreAttester:
    """An Attester of this process.

    The first of the trusted roots that exists is used; by default, the one that the package ships.
    It is read again when it changes.
    """

    def __init__(self, *trusted_roots: Path) -> None:
        self._files = trusted_roots or (SHIPPED_ROOT,)
        self._read: tuple[tuple[Path, int, int], _Authorities] | None = None

    def verify(self, question: AttestationQuestion) -> AttestationState:
        """Return what is known of the attestations; raise StoreUnavailable without a root."""
        authorities = self._authorities()
        try:
            _verify_all(question, authorities)
        except UnverifiedError as error:
            return AttestationState(AttestationStatus.UNVERIFIED, _reason_of(error))
        except RefusedError as error:
            return AttestationState(AttestationStatus.REFUSED, _reason_of(error))
        return AttestationState(AttestationStatus.VERIFIED)

    def _authorities(self) -> "_Authorities":
        file = next((each for each in self._files if each.exists()), self._files[-1])
        try:
            status = file.stat()
            version = (file, status.st_mtime_ns, status.st_size)
            if self._read is None or self._read[0] != version:
                self._read = (version, _Authorities.read(file))
            return self._read[1]
        except (OSError, ValueError, SigstoreError) as error:
            raise StoreUnavailable(
                "attestations cannot be verified now",
                operator_detail=f"the trusted root {file} cannot be read: {error}",
            ) from None


@dataclass(frozen=True, slots=True)
class _Authorities:
    """Who is trusted: certificate authorities by their names, and logs by their ids."""

    verifier: Verifier
    names: frozenset[bytes]
    transparency_logs: frozenset[bytes]
    certificate_logs: frozenset[bytes]

    @classmethod
    def read(cls, path: Path) -> "_Authorities":
        """Return what the file says; raise OSError, ValueError, SigstoreError."""
        root = TrustedRoot.from_file(str(path))
        document = json.loads(path.read_bytes())
        names = (certificate.subject.public_bytes() for certificate in root.get_fulcio_certs())
        return cls(
            Verifier(trusted_root=root),
            frozenset(names),
            read_log_ids(document, "tlogs"),
            read_log_ids(document, "ctlogs"),
        )


def check_trusted_root(path: Path) -> None:
    """Raise ValueError unless the file is a trusted root that attestations can be verified with."""
    try:
        _Authorities.read(path)
    except SigstoreError as error:
        raise ValueError(str(error)) from None


def _verify_all(question: AttestationQuestion, authorities: _Authorities) -> None:
    """Verify each one. A wrong one counts more than one that nobody here can verify."""
    unverified: UnverifiedError | None = None
    for sent in read_sent(question):
        try:
            _verify_one(sent, question.publisher, authorities)
        except UnverifiedError as error:
            unverified = unverified or error
    if unverified is not None:
        raise unverified


def _verify_one(sent: Sent, publisher: Mapping[str, Any], authorities: _Authorities) -> None:
    # The library reads bytes of strangers, and raises whatever its many parsers raise.
    try:
        certificate = _read_certificate(sent)
        _check_is_known(certificate, sent, authorities)
        _verify_evidence(sent, authorities.verifier)
        _check_identity(certificate, policy_of(publisher))
    except (RefusedError, UnverifiedError):
        raise
    except Exception as error:  # noqa: BLE001 - see above
        kind = type(error).__name__
        raise RefusedError(Reason.UNREADABLE, f"it cannot be read ({kind})") from None


def _read_certificate(sent: Sent) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(sent.certificate)
    except ValueError:
        raise RefusedError(
            Reason.MALFORMED_CERTIFICATE, "its certificate is not an X.509 certificate"
        ) from None


def _check_is_known(certificate: x509.Certificate, sent: Sent, authorities: _Authorities) -> None:
    """Raise UnverifiedError if an authority or a log is one that we know nothing of."""
    if certificate.issuer.public_bytes() not in authorities.names:
        issuer = certificate.issuer.rfc4514_string()
        raise UnverifiedError(
            Reason.FOREIGN_AUTHORITY,
            f"the certificate is of `{issuer}`, which is not in the trusted root; a private "
            "Sigstore has such certificates",
        )
    if sent.log_id is None:
        raise UnverifiedError(
            Reason.NO_ENTRY,
            "no transparency log has an entry of it; those of private repositories have none",
        )
    if sent.log_id not in authorities.transparency_logs:
        raise UnverifiedError(
            Reason.UNKNOWN_LOG, "the transparency log of the entry is not in the trusted root"
        )
    if not authorities.certificate_logs.issuperset(_certificate_logs(certificate)):
        raise UnverifiedError(
            Reason.UNKNOWN_LOG, "the log of the certificate is not in the trusted root"
        )


def _certificate_logs(certificate: x509.Certificate) -> Iterator[bytes]:
    try:
        listed = certificate.extensions.get_extension_for_class(
            x509.PrecertificateSignedCertificateTimestamps
        )
    except x509.ExtensionNotFound:
        return  # the verifier refuses it
    for timestamp in listed.value:
        yield timestamp.log_id


class _AnyIdentity:
    """The identity is checked after everything else, so that its refusal says just that."""

    def verify(self, cert: x509.Certificate) -> None:
        """Accept every certificate."""


def _verify_evidence(sent: Sent, verifier: Verifier) -> None:
    try:
        verifier.verify_dsse(_bundle_of(sent), _AnyIdentity())
    except CertValidationError as error:
        raise RefusedError(Reason.BAD_CERTIFICATE, _shorten(error)) from None
    except SigstoreError as error:
        raise RefusedError(Reason.BAD_EVIDENCE, _shorten(error)) from None


def _bundle_of(sent: Sent) -> Bundle:
    try:
        return Attestation.model_validate(sent.document).to_bundle()
    except ValueError as error:
        kind = type(error).__name__
        raise RefusedError(
            Reason.MALFORMED, f"its log entry or its signature is malformed ({kind})"
        ) from None


def _check_identity(certificate: x509.Certificate, policy: VerificationPolicy) -> None:
    try:
        policy.verify(certificate)
    except (VerificationError, x509.ExtensionNotFound) as error:
        raise RefusedError(Reason.WRONG_IDENTITY, _shorten(error)) from None


def _reason_of(error: NotVerifiedError) -> str:
    """Return the reason as a plain text that is short and safe to show."""
    return str(legible(str(error), _MAX_REASON_CHARACTERS))


def _shorten(error: Exception) -> str:
    return legible(" ".join(map(str, error.args)), _MAX_SENTENCE_CHARACTERS)
