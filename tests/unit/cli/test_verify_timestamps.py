"""`verify --timestamp-roots`: what a timestamp proves to a user."""

import json
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from cryptography.hazmat.primitives.serialization import Encoding

from pytp_broker.cli import main
from pytp_broker.provenance.dsse import Envelope
from pytp_broker.provenance.receipt_keys import KeyDocument, Revocation
from tests.support.distributions import wheel
from tests.support.proofs import NOW, SigningRegistry, put
from tests.support.time_authority import TimeAuthority

AUTHORITY = TimeAuthority(lambda: NOW)
LATER = NOW + timedelta(days=30)


class Folder:
    """A folder with a published wheel, its receipt, the keys, and the authority's certificate."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.registry = SigningRegistry()
        self.roots = path / "roots.pem"
        self.file = put(path, wheel())
        self.roots.write_bytes(AUTHORITY.root.public_bytes(Encoding.PEM))
        self.keep_receipt(AUTHORITY)
        self.keep_keys(self.registry.keys())

    def keep_receipt(self, authority: TimeAuthority | None) -> None:
        envelope = Envelope.read(self.registry.sign(self.registry.receipt(wheel())))
        if authority is not None:
            timestamp = authority.stamp(envelope.signature.octets)
            envelope = replace(envelope, timestamp=timestamp)
        (self.path / f"{self.file.name}.receipt").write_bytes(envelope.write())

    def keep_keys(self, keys: KeyDocument) -> None:
        (self.path / "keys.json").write_text(json.dumps(keys.document()))

    def revoke(self, **ago: Any) -> None:
        """Revoke the key since some time before or after the receipt."""
        keys = self.registry.keys()
        revoked = Revocation(NOW + timedelta(**ago), "a laptop was stolen")
        self.keep_keys(
            replace(keys, keys={i: replace(k, revocation=revoked) for i, k in keys.keys.items()})
        )

    def verify(self, *options: str) -> int:
        command = ["verify", str(self.file), "--keys", str(self.path / "keys.json"), *options]
        with time_machine.travel(LATER, tick=False):
            return main(command)

    def verify_with_roots(self, *options: str) -> int:
        return self.verify("--timestamp-roots", str(self.roots), *options)


@pytest.fixture
def folder(quick_path: Path) -> Folder:
    return Folder(quick_path)


def test_a_timestamp_is_shown(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    assert folder.verify_with_roots() == 0

    shown = "  timestamp    2026-11-28 12:00 UTC, by an authority that you trust"
    assert shown in capsys.readouterr().out.splitlines()


def test_programs_get_the_time(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    folder.verify_with_roots("--json")

    (file,) = json.loads(capsys.readouterr().out)["files"]
    assert file["timestampedAt"] == "2026-11-28T12:00:00.000000Z"


def test_nothing_is_said_of_a_timestamp_that_nobody_checks(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert folder.verify("--json") == 0

    (file,) = json.loads(capsys.readouterr().out)["files"]
    assert file["timestampedAt"] is None


def test_a_receipt_needs_no_timestamp(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    folder.keep_receipt(None)

    assert folder.verify_with_roots() == 0

    assert "timestamp" not in capsys.readouterr().out


def test_a_timestamp_of_another_authority_is_refused(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.keep_receipt(TimeAuthority(lambda: NOW, name="Other"))

    assert folder.verify_with_roots() == 1

    assert "NOT VERIFIED: wrong-timestamp: the timestamp is not good" in capsys.readouterr().out


def test_a_timestamp_saves_a_receipt_that_is_older_than_the_revocation(folder: Folder) -> None:
    folder.revoke(days=1)

    assert folder.verify_with_roots() == 0


@pytest.mark.parametrize("with_roots", [True, False])
def test_a_receipt_of_a_revoked_key_is_refused_otherwise(
    folder: Folder, capsys: pytest.CaptureFixture[str], with_roots: bool
) -> None:
    folder.revoke(days=-1 if with_roots else 1)

    assert (folder.verify_with_roots() if with_roots else folder.verify()) == 1

    assert "NOT VERIFIED: revoked-key: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file or directory"), (b"", "it holds no certificate in PEM")],
)
def test_a_file_without_certificates_is_a_mistake(
    folder: Folder, capsys: pytest.CaptureFixture[str], content: bytes | None, said: str
) -> None:
    folder.roots.unlink()
    if content is not None:
        folder.roots.write_bytes(content)

    assert folder.verify_with_roots() == 2

    assert f"roots.pem: {said}" in capsys.readouterr().err


def test_an_install_that_cannot_read_timestamps_names_the_extra(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rfc3161_client", None)

    assert folder.verify_with_roots() == 1

    needed = "`verify` needs rfc3161_client: pip install 'pytp-broker[timestamps]'\n"
    assert capsys.readouterr().err == needed


def test_without_authorities_no_library_is_needed(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rfc3161_client", None)

    assert folder.verify() == 0
