"""The certificates of the local server."""

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from pytp_broker.local.certificates import issue_certificate

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def names_in(certificate: Path) -> set[str]:
    leaf = x509.load_pem_x509_certificate(certificate.read_bytes())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    return addresses | set(names.get_values_for_type(x509.DNSName))


def test_a_certificate_is_for_loopback_and_every_name_given(tmp_path: Path) -> None:
    files = issue_certificate(tmp_path / "tls", ["192.0.2.1", "acme.example.com"], NOW)

    assert names_in(files.certificate) == {
        *("127.0.0.1", "::1", "localhost", "192.0.2.1", "acme.example.com")
    }


def test_private_keys_are_their_owners_alone(tmp_path: Path) -> None:
    issue_certificate(tmp_path / "tls", [], NOW)
    files = issue_certificate(tmp_path / "tls", [], NOW)

    places = [tmp_path / "tls", files.private_key, tmp_path / "tls" / "ca.key"]
    assert [stat.S_IMODE(place.stat().st_mode) for place in places] == [0o700, 0o600, 0o600]


def test_the_authority_is_kept_and_the_certificate_is_not(tmp_path: Path) -> None:
    files = issue_certificate(tmp_path, [], NOW)
    first = files.ca.read_bytes(), files.certificate.read_bytes()

    issue_certificate(tmp_path, ["new.example.com"], NOW)

    assert files.ca.read_bytes() == first[0]
    assert files.certificate.read_bytes() != first[1]
    assert "new.example.com" in names_in(files.certificate)


@pytest.mark.parametrize("spoil", ["ca.key", "ca.pem", "time"])
def test_an_authority_that_is_no_good_is_replaced(tmp_path: Path, spoil: str) -> None:
    files = issue_certificate(tmp_path, [], NOW)
    first = files.ca.read_bytes()
    if spoil != "time":
        (tmp_path / spoil).write_text("spoilt")

    issue_certificate(tmp_path, [], datetime(2999, 6, 1, tzinfo=UTC) if spoil == "time" else NOW)

    assert files.ca.read_bytes() != first
