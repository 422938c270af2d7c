"""The certificate authority of a stand-in for Sigstore: it names a job in a certificate."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from pytp_broker.demo.sigstore_bytes import to_base64, write_time
from pytp_broker.demo.sigstore_logs import START, CertificateLog
from pytp_broker.local.authority import key_usage

LIFETIME: Final = timedelta(minutes=10)

_FULCIO_ARC: Final = "1.3.6.1.4.1.57264.1"
_FIRST_DER_CLAIM: Final = 8
# From this length on, a byte says how many bytes the length has (X.690 §8.1.3).
_LONG_FORM: Final = 0x80
_SCT_LIST: Final = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_END: Final = datetime(2036, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Identity:
    """What a certificate says of a job: its name, and Fulcio's extensions by their last number."""

    name: x509.GeneralName
    claims: Mapping[int, str]

    def but(self, **changes: str) -> "Identity":
        """Return the identity with these claims changed, as in ``but(_12="…")``."""
        numbered = {int(number[1:]): text for number, text in changes.items()}
        return replace(self, claims={**self.claims, **numbered})

    def without(self, *numbers: int) -> "Identity":
        """Return the identity without the claims of these numbers."""
        return replace(self, claims={n: c for n, c in self.claims.items() if n not in numbers})


def github(claims: Mapping[str, Any], server: str = "https://github.com") -> Identity:
    """Return the identity that Fulcio takes from an identity token of GitHub Actions."""
    repository, owner = claims["repository"], claims["repository_owner"]
    run = f"{server}/{repository}/actions/runs/{claims['run_id']}/attempts/{claims['run_attempt']}"
    return Identity(
        x509.UniformResourceIdentifier(f"{server}/{claims['job_workflow_ref']}"),
        {
            8: claims["iss"],
            9: f"{server}/{claims['job_workflow_ref']}",
            10: claims["job_workflow_sha"],
            11: claims["runner_environment"],
            12: f"{server}/{repository}",
            13: claims["sha"],
            14: claims["ref"],
            15: claims["repository_id"],
            16: f"{server}/{owner}",
            17: claims["repository_owner_id"],
            18: f"{server}/{claims['workflow_ref']}",
            19: claims["workflow_sha"],
            20: claims["event_name"],
            21: run,
            22: claims["repository_visibility"],
        },
    )


@dataclass(frozen=True, slots=True)
class Leaf:
    """A certificate of a job, and the key that it is for, which a real job throws away."""

    key: Any
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        """Return the certificate in DER."""
        return self.certificate.public_bytes(Encoding.DER)


class Authority:
    """A certificate authority as Fulcio is one: a root, an intermediate one, short-lived leaves."""

    def __init__(self, organization: str) -> None:
        self.organization = organization
        self.root_key, self.key = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))
        root_name, name = (_name(organization, each) for each in ("root", "intermediate"))
        self.root = _sign_authority(root_name, self.root_key, root_name, self.root_key, None)
        self.certificate = _sign_authority(name, self.key, root_name, self.root_key, 0)

    def issue(  # noqa: PLR0913 - each is a property of the certificate
        self,
        identity: Identity,
        log: "CertificateLog",
        at: datetime,
        *,
        lifetime: timedelta = LIFETIME,
        usage: ObjectIdentifier = ExtendedKeyUsageOID.CODE_SIGNING,
        has_timestamp: bool = True,
        key: Any = None,  # noqa: ANN401 - of any kind that can sign
    ) -> Leaf:
        """Return a certificate with the log's promise to list it; by default for a new key."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(at)
            .not_valid_after(at + lifetime)
            .add_extension(key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(_key_id(key), critical=False)
            .add_extension(_authority_key_id(self.key), critical=False)
            .add_extension(x509.SubjectAlternativeName([identity.name]), critical=True)
        )
        for number, text in identity.claims.items():
            builder = builder.add_extension(_claim(number, text), critical=False)
        if has_timestamp:
            draft = builder.sign(self.key, SHA384())
            promise = log.promise(draft.tbs_certificate_bytes, self.key.public_key(), at)
            builder = builder.add_extension(
                x509.UnrecognizedExtension(_SCT_LIST, _der(0x04, promise)), critical=False
            )
        return Leaf(key, builder.sign(self.key, SHA384()))

    def document(self) -> dict[str, Any]:
        """Return the authority as a trusted root names it."""
        chain = [each.public_bytes(Encoding.DER) for each in (self.certificate, self.root)]
        return {
            "subject": {"organization": self.organization, "commonName": self.organization},
            "uri": f"https://fulcio.{self.organization}",
            "certChain": {"certificates": [{"rawBytes": to_base64(each)} for each in chain]},
            "validFor": {"start": write_time(START)},
        }


def _sign_authority(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    path_length: int | None,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(START)
        .not_valid_after(_END)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(key_usage(signs_certificates=True), critical=True)
        .add_extension(_key_id(key), critical=False)
        .add_extension(_authority_key_id(issuer_key), critical=False)
    )
    return builder.sign(issuer_key, SHA384())


def _name(organization: str, name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{organization} {name}"),
        ]
    )


def _key_id(key: Any) -> x509.SubjectKeyIdentifier:  # noqa: ANN401 - as of `issue`
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key())


def _authority_key_id(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _claim(number: int, text: str) -> x509.UnrecognizedExtension:
    """Return an extension of Fulcio. The first ones are bare texts, and the later ones are DER."""
    octets = text.encode() if number < _FIRST_DER_CLAIM else _der(0x0C, text.encode())
    return x509.UnrecognizedExtension(ObjectIdentifier(f"{_FULCIO_ARC}.{number}"), octets)


def _der(tag: int, content: bytes) -> bytes:
    """Return an element of DER with its length, which may need several bytes."""
    size = len(content)
    if size < _LONG_FORM:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, _LONG_FORM | len(octets)]) + octets + content
