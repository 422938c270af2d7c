"""Timestamps (RFC 3161): which replies of an authority count, and which prove a time."""

import base64
import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from pytp_broker.provenance.timestamps import (
    MAX_REPLY_BYTES,
    NoStamper,
    Query,
    TimestampError,
    check_reply,
    make_query,
    read_roots,
    verify_timestamp,
)
from tests.support.time_authority import AUTHORITY, NOW, TimeAuthority

SIGNATURE = b"the bytes of a signature"
# What `openssl ts -reply` of OpenSSL 3.0 made for the data "hi" and an end of line; and its root.
OPENSSL_REPLY = (
    "MIIDbTADAgEAMIIDZAYJKoZIhvcNAQcCoIIDVTCCA1ECAQMxDzANBglghkgBZQMEAgEFADCBkAYLKoZIhvcNAQkQ"
    "AQSggYAEfjB8AgEBBgkrBgEEAYaNHwEwMTANBglghkgBZQMEAgEFAAQgmOpuTyFvL7S2n/+bOkSELDhobKaF8/Vd"
    "xIxdP7EQe+QCAQMYDzIwMjYxMTI5MDc1NjA5WjADAgEBAQH/AgkAsTpUFFkPBEGgEqQQMA4xDDAKBgNVBAMMA3Rz"
    "YaCCAYYwggGCMIIBJ6ADAgECAgEHMAoGCCqGSM49BAMCMA8xDTALBgNVBAMMBHJvb3QwHhcNMjYxMTI5MDc1NTU3"
    "WhcNMjYxMjA5MDc1NTU3WjAOMQwwCgYDVQQDDAN0c2EwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQjFoi/DdOo"
    "ygLTp5FtHqntP12dMMJAiIX20c4rRJO/eCfCq8M+U2G/FxmxXaNu4kHMMPTclHUFxZen0Z1uPe16o3UwczAWBgNV"
    "HSUBAf8EDDAKBggrBgEFBQcDCDAOBgNVHQ8BAf8EBAMCB4AwCQYDVR0TBAIwADAdBgNVHQ4EFgQUEWBDdqEA+T2B"
    "iTucz1YvocNfrOQwHwYDVR0jBBgwFoAU3uzQdRv8Uezs+cbAgdrLrCsYUCEwCgYIKoZIzj0EAwIDSQAwRgIhAI1G"
    "scRKvXYewH/4wotaLgeE94qcIqJQD6kpx7xp7QFGAiEAjJTQdAH7eRoNquMJI84POvovyNM5f2AAKRuJJRnEQLcx"
    "ggEcMIIBGAIBATAUMA8xDTALBgNVBAMMBHJvb3QCAQcwDQYJYIZIAWUDBAIBBQCggZgwGgYJKoZIhvcNAQkDMQ0G"
    "CyqGSIb3DQEJEAEEMBwGCSqGSIb3DQEJBTEPFw0yNjExMjkwNzU2MDlaMCsGCyqGSIb3DQEJEAIMMRwwGjAYMBYE"
    "FCdiBrIUtVsMuuzVc0B2Mul/H+aSMC8GCSqGSIb3DQEJBDEiBCC/UO22vyziNybdCYKNq18BiJt6/d7ale6M4qEw"
    "03+YUzAKBggqhkjOPQQDAgRHMEUCIFNDdRIi1Zftr81IDSbOjWuh4mWyBl6o3ucFXZF/xmltAiEAjaeuqJy69iOl"
    "wpVDGSNnl+tVXCuzbKQANCkyG/L4hFk="
)
OPENSSL_ROOT = """\
-----BEGIN CERTIFICATE-----
MIIBczCCARmgAwIBAgIUUZ0VdfOsBRoN+s0Nx2cysSjQs1owCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEcm9vdDAeFw0yNjExMjkwNzU1NTdaFw0yNjEyMDkwNzU1NTda
MA8xDTALBgNVBAMMBHJvb3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASvVU0X
wJ5dayPlTbyXuh6vLUy2Ig7P99bNWlBDM2JJAD2GPlc/phyFfAQNdxrI7AWu6IfV
53yF8tvYxLyBNmIIo1MwUTAdBgNVHQ4EFgQU3uzQdRv8Uezs+cbAgdrLrCsYUCEw
HwYDVR0jBBgwFoAU3uzQdRv8Uezs+cbAgdrLrCsYUCEwDwYDVR0TAQH/BAUwAwEB
/zAKBggqhkjOPQQDAgNIADBFAiB1NjxJIdIq+6uTUTArpeLAoW/5w4NK3OV6dlMM
8rKv8AIhANtr9ODDUVAyW3W/NcBE5yLCzRkNnNpTQkhiWJ7izojt
-----END CERTIFICATE-----
"""
OPENSSL_TIME = datetime(2026, 11, 29, 7, 56, 9, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority() -> TimeAuthority:
    return TimeAuthority()


def refusal(authority: TimeAuthority, timestamp: bytes, signature: bytes = SIGNATURE) -> str:
    with pytest.raises(TimestampError) as refused:
        verify_timestamp(timestamp, signature, [authority.root])
    return str(refused.value)


# --- proof ----------------------------------------------------------------------------------------


def test_a_timestamp_proves_when_the_signature_was_there(authority: TimeAuthority) -> None:
    at = verify_timestamp(authority.stamp(SIGNATURE), SIGNATURE, [authority.root])

    assert at == NOW


def test_what_the_clock_of_the_authority_may_be_late_counts(authority: TimeAuthority) -> None:
    timestamp = authority.stamp(SIGNATURE, accuracy_seconds=2)

    at = verify_timestamp(timestamp, SIGNATURE, [authority.root])

    assert at == NOW + timedelta(seconds=2)


def test_a_timestamp_of_openssl_is_read() -> None:
    roots = read_roots(OPENSSL_ROOT.encode())

    at = verify_timestamp(base64.b64decode(OPENSSL_REPLY), b"hi\n", roots)

    assert at == OPENSSL_TIME + timedelta(seconds=1)


def test_one_of_several_authorities_is_enough(authority: TimeAuthority) -> None:
    roots = [TimeAuthority(name="Other").root, authority.root]

    assert verify_timestamp(authority.stamp(SIGNATURE), SIGNATURE, roots) == NOW


def test_a_timestamp_of_another_signature_proves_nothing(authority: TimeAuthority) -> None:
    assert refusal(authority, authority.stamp(b"another")) == "it is for another signature"


def test_a_hash_of_another_kind_proves_nothing(authority: TimeAuthority) -> None:
    timestamp = authority.stamp(SIGNATURE, hash_algorithm="1.3.14.3.2.26")

    assert refusal(authority, timestamp) == "it is for another signature"


def test_a_stranger_is_no_authority(authority: TimeAuthority) -> None:
    timestamp = TimeAuthority().stamp(SIGNATURE)

    assert refusal(authority, timestamp) == "none of the given authorities has signed it"


@pytest.mark.parametrize(
    "purpose", [ExtendedKeyUsageOID.CODE_SIGNING, ExtendedKeyUsageOID.SERVER_AUTH]
)
def test_a_certificate_for_something_else_makes_no_timestamps(purpose: Any) -> None:
    authority = TimeAuthority(purpose=purpose)

    said = refusal(authority, authority.stamp(SIGNATURE))

    assert said == "none of the given authorities has signed it"


def test_a_forged_certificate_does_not_lend_its_purpose_to_another_one() -> None:
    authority = TimeAuthority(purpose=ExtendedKeyUsageOID.CODE_SIGNING)
    own = authority.certificate.public_bytes(Encoding.DER)
    twin = authority.twin(ExtendedKeyUsageOID.TIME_STAMPING)

    said = refusal(authority, authority.stamp(SIGNATURE, certificates=[own, twin]))

    assert said == "it has two certificates with one number"


@pytest.mark.parametrize("days", [-31, 366])
def test_the_authority_must_have_been_valid_at_that_time(
    authority: TimeAuthority, days: int
) -> None:
    timestamp = authority.stamp(SIGNATURE, made_at=NOW + timedelta(days=days))

    assert refusal(authority, timestamp) == "none of the given authorities has signed it"


def test_a_certificate_that_cannot_be_read_is_refused(authority: TimeAuthority) -> None:
    own = authority.certificate.public_bytes(Encoding.DER)
    broken = own.replace(b"\x0c\x04Root", b"\x0c\x04\xff\xff\xff\xff")  # not UTF-8

    said = refusal(authority, authority.stamp(SIGNATURE, certificates=[broken]))

    assert said == "it has a certificate that cannot be read"


def test_a_timestamp_without_certificates_names_no_authority(authority: TimeAuthority) -> None:
    timestamp = authority.stamp(SIGNATURE, certificates=[])

    assert refusal(authority, timestamp) == "none of the given authorities has signed it"


@pytest.mark.parametrize("octets", [b"", b"\x30", b"{}", b"\x30\x80\x00\x00", b"\x00" * 1000])
def test_what_is_not_a_timestamp_is_refused(authority: TimeAuthority, octets: bytes) -> None:
    assert refusal(authority, octets) == "it is not a timestamp"


def test_a_huge_timestamp_is_not_read(authority: TimeAuthority) -> None:
    assert refusal(authority, b"\x30" * (MAX_REPLY_BYTES + 1)) == "it has more than 16384 bytes"


def test_a_refusal_of_the_authority_is_no_timestamp(authority: TimeAuthority) -> None:
    timestamp = authority.stamp(SIGNATURE, status=2)

    assert refusal(authority, timestamp) == "the authority has not granted it (status 2)"


def test_an_accuracy_beyond_all_times_is_refused(authority: TimeAuthority) -> None:
    timestamp = authority.stamp(SIGNATURE, accuracy_seconds=2**62)

    assert refusal(authority, timestamp) == "it is not a timestamp"


# cryptography reads a changed number of a certificate, and warns that it should not.
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_a_changed_timestamp_proves_no_other_time(authority: TimeAuthority) -> None:
    timestamp, dice = authority.stamp(SIGNATURE), random.Random(20261122)  # noqa: S311 - no secret
    for _ in range(600):
        changed = bytearray(timestamp)
        changed[dice.randrange(len(changed))] = dice.randrange(256)
        length = len(changed) if dice.random() < 0.9 else dice.randrange(len(changed))
        try:
            at = verify_timestamp(bytes(changed[:length]), SIGNATURE, [authority.root])
        except TimestampError:
            continue
        assert at == NOW


# --- replies --------------------------------------------------------------------------------------


def reply_refusal(authority: TimeAuthority, **changes: Any) -> str:
    query = make_query(SIGNATURE)
    authority.says(**changes)
    octets = authority.answer(query.octets)
    with pytest.raises(TimestampError) as refused:
        check_reply(octets, query, SIGNATURE, NOW)
    return str(refused.value)


def test_the_reply_to_our_query_is_accepted() -> None:
    authority, query = TimeAuthority(), make_query(SIGNATURE)

    check_reply(authority.answer(query.octets), query, SIGNATURE, NOW + timedelta(minutes=4))

    assert authority.queries == [query.octets]


def test_each_query_has_a_nonce_of_its_own() -> None:
    assert make_query(SIGNATURE).nonce != make_query(SIGNATURE).nonce


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"nonce": 7}, "it is for another query: its nonce differs"),
        ({"nonce": None}, "it is for another query: its nonce differs"),
        ({"imprint": b"x" * 32}, "it is for another signature"),
        ({"certificates": []}, "it has no certificate, although the query wants one"),
        ({"status": 5}, "the authority has not granted it (status 5)"),
        (
            {"made_at": NOW + timedelta(minutes=6)},
            "its time is 2026-11-22T12:06:00.000000Z: is our clock right?",
        ),
        (
            {"made_at": NOW - timedelta(minutes=6)},
            "its time is 2026-11-22T11:54:00.000000Z: is our clock right?",
        ),
    ],
)
def test_a_wrong_reply_is_refused(changes: dict[str, Any], said: str) -> None:
    assert reply_refusal(TimeAuthority(), **changes) == said


def test_a_reply_without_a_nonce_answers_no_query(authority: TimeAuthority) -> None:
    query = make_query(SIGNATURE)

    with pytest.raises(TimestampError, match="nonce differs"):
        check_reply(authority.stamp(SIGNATURE), query, SIGNATURE, NOW)
    check_reply(authority.stamp(SIGNATURE), Query(b"", None), SIGNATURE, NOW)


# --- the rest -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pem", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_file_without_certificates_has_no_authority(pem: bytes) -> None:
    with pytest.raises(ValueError, match="it holds no certificate in PEM"):
        read_roots(pem)


def test_a_function_that_signs_nothing_asks_nobody() -> None:
    with pytest.raises(TimestampError, match=r"nothing here asks https://timestamps\.example\.com"):
        NoStamper().stamp(AUTHORITY, SIGNATURE)


def test_a_registry_without_an_authority_loads_no_library() -> None:
    script = (
        "import sys, pytp_broker.stamping, pytp_broker.provenance.checking\n"
        "sys.exit('rfc3161_client' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
