"""Timestamps of receipts (RFC 3161): when a signature existed, as another authority says.

Somebody who has stolen a key can sign a receipt with any date in it. Such a person cannot get a
timestamp with an earlier time, because a time-stamping authority signs with its own key and takes
the time from its own clock. The timestamp is of the signature's bytes.

The libraries are imported when they are needed: most registries have no authority.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol, Self

from pytp_broker.provenance.receipts import write_time
from pytp_broker.registries import Timestamping

if TYPE_CHECKING:
    from cryptography import x509
    from rfc3161_client import TimeStampResponse
    from rfc3161_client.tsp import Accuracy, TimeStampTokenInfo

QUERY_TYPE: Final = "application/timestamp-query"
REPLY_TYPE: Final = "application/timestamp-reply"
# A reply with two certificates has 2 to 6 KiB, and an envelope has room for 64 KiB.
MAX_REPLY_BYTES: Final = 16 * 1024
# The clocks of the authority and of the registry may differ by this much.
LEEWAY: Final = timedelta(minutes=5)

_SHA256: Final = "2.16.840.1.101.3.4.2.1"
_GRANTED: Final = 0


class TimestampError(Exception):
    """There is no timestamp, or it is not one of this signature; the message says why."""


class Stamper(Protocol):
    """Gets timestamps from the authority that the operator has configured."""

    def stamp(self, authority: Timestamping, signature: bytes) -> bytes:
        """Return the authority's reply for a signature; raise TimestampError."""


class NoStamper:
    """The stamper of a function that signs nothing: nobody asks it."""

    def stamp(self, authority: Timestamping, signature: bytes) -> bytes:  # noqa: ARG002
        """Raise TimestampError."""
        raise TimestampError(f"nothing here asks {authority.url}")


@dataclass(frozen=True, slots=True)
class Query:
    """What an authority is asked; its reply must have the same nonce."""

    octets: bytes
    nonce: int | None


def make_query(signature: bytes) -> Query:
    """Return a query for a timestamp of a signature."""
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

    builder = TimestampRequestBuilder().data(signature).hash_algorithm(HashAlgorithm.SHA256)
    query = builder.cert_request(cert_request=True).nonce(nonce=True).build()
    return Query(query.as_bytes(), query.nonce)


def check_reply(octets: bytes, query: Query, signature: bytes, now: datetime) -> None:
    """Check that a reply answers our query; raise TimestampError.

    Whether the authority has signed it is for a verifier to check, who knows whom to trust.
    """
    reply = _Reply.read(octets)
    reply.check_imprint(signature)
    if reply.nonce != query.nonce:
        raise TimestampError("it is for another query: its nonce differs")
    if not reply.certificates:
        raise TimestampError("it has no certificate, although the query wants one")
    if abs(reply.made_at - now) > LEEWAY:
        raise TimestampError(f"its time is {write_time(reply.made_at)}: is our clock right?")


def check_library() -> None:
    """Raise ModuleNotFoundError unless timestamps can be read here."""
    import rfc3161_client  # noqa: F401


def read_roots(pem: bytes) -> "tuple[x509.Certificate, ...]":
    """Return the certificates of authorities in a PEM file; raise ValueError."""
    from cryptography import x509

    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except (ValueError, x509.InvalidVersion):
        raise ValueError("it holds no certificate in PEM") from None


def verify_timestamp(
    timestamp: bytes, signature: bytes, roots: "Sequence[x509.Certificate]"
) -> datetime:
    """Return the time at which the signature was surely there; raise TimestampError.

    ``roots`` are the certificates of authorities that are trusted, with those between them and the
    one that signs, unless the timestamp has these. They must have been valid at that time; they may
    have expired since.
    """
    from rfc3161_client import VerificationError, VerifierBuilder

    reply = _Reply.read(timestamp)
    reply.check_imprint(signature)
    reply.check_certificates()
    try:
        VerifierBuilder(roots=list(roots)).build().verify_message(reply.response, signature)
    except (VerificationError, ValueError):
        raise TimestampError("none of the given authorities has signed it") from None
    return reply.latest


@dataclass(frozen=True, slots=True)
class _Reply:
    """What a reply says; nobody has checked yet that an authority has signed it."""

    response: "TimeStampResponse"
    imprint: tuple[str, bytes]
    nonce: int | None
    made_at: datetime
    latest: datetime
    certificates: Sequence[bytes]

    @classmethod
    def read(cls, octets: bytes) -> Self:
        """Return what a reply says; raise TimestampError."""
        from rfc3161_client import decode_timestamp_response

        if len(octets) > MAX_REPLY_BYTES:
            raise TimestampError(f"it has more than {MAX_REPLY_BYTES} bytes")
        try:
            response = decode_timestamp_response(octets)
            if response.status == _GRANTED:
                return cls._of(response)
        except (ValueError, OverflowError):  # the library parses each part when it is asked for it
            raise TimestampError("it is not a timestamp") from None
        raise TimestampError(f"the authority has not granted it (status {response.status})")

    @classmethod
    def _of(cls, response: "TimeStampResponse") -> Self:
        said = response.tst_info
        imprint = said.message_imprint
        return cls(
            response,
            (imprint.hash_algorithm.dotted_string, imprint.message),
            said.nonce,
            said.gen_time,
            said.gen_time + _accuracy_of(said),
            tuple(response.signed_data.certificates),
        )

    def check_imprint(self, signature: bytes) -> None:
        """Check that the reply is for a signature; raise TimestampError."""
        if self.imprint != (_SHA256, hashlib.sha256(signature).digest()):
            raise TimestampError("it is for another signature")

    def check_certificates(self) -> None:
        """Check that no two certificates have one name and number; raise TimestampError.

        The library finds the signer's certificate by these, in a set. With two such certificates
        it could check the purpose of one, and the signature by the other.
        """
        from cryptography import x509

        try:
            found = [x509.load_der_x509_certificate(each) for each in self.certificates]
            numbers = {(each.issuer, each.serial_number) for each in found}
        except (ValueError, x509.InvalidVersion):
            raise TimestampError("it has a certificate that cannot be read") from None
        if len(numbers) != len(found):
            raise TimestampError("it has two certificates with one number")


def _accuracy_of(said: "TimeStampTokenInfo") -> timedelta:
    """Return by how much the authority's clock may be late."""
    accuracy: Accuracy | None = said.accuracy  # the library's annotation omits None
    if accuracy is None:
        return timedelta()
    return timedelta(
        seconds=accuracy.seconds or 0,
        milliseconds=accuracy.millis or 0,
        microseconds=accuracy.micros or 0,
    )
