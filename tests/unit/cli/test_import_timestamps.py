"""An import into a registry with a time-stamping authority."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pytp_broker.cli import main
from pytp_broker.provenance.dsse import Envelope
from pytp_broker.provenance.timestamps import verify_timestamp
from pytp_broker.storage.file_folder import FolderFiles
from pytp_broker.storage.file_store import receipt_key
from tests.support.distributions import sdist, wheel
from tests.support.fakes import stored_bytes
from tests.support.importing import Move, move
from tests.support.time_authority import TimeAuthority, serving

__all__ = ["move"]


@pytest.fixture
def authority(move: Move) -> Iterator[TimeAuthority]:
    """Let the registry have an authority on this machine, until the fixture ends."""
    found = TimeAuthority(lambda: datetime.now(UTC))
    with serving(found) as url:
        configure(move, url)
        yield found


def configure(move: Move, url: str) -> None:
    file = move.data.parent / "broker.toml"
    file.write_text(f'[timestamping]\nurl = "{url}"\n[[registries]]\nname = "acme"\n')
    assert main(["apply", "--yes", "--config", str(file), "--data", str(move.data), "--prune"]) == 0
    move.capsys.readouterr()


def timestamps(move: Move) -> list[tuple[bytes | None, bytes]]:
    """Return the timestamp and the signature of every receipt."""
    files = FolderFiles(Path(move.data) / "files")
    found = []
    for file in move.files().values():
        assert file.receipt_sha256 is not None
        key = receipt_key(file.registry, file.receipt_sha256, file.filename)
        envelope = Envelope.read(stored_bytes(files, key))
        found.append((envelope.timestamp, envelope.signature.octets))
    return found


def test_imported_files_have_timestamps(move: Move, authority: TimeAuthority) -> None:
    move.put(wheel(), sdist())

    seen = move.folder()

    assert "timestamp" not in seen
    found = timestamps(move)
    assert len(found) == 2
    for timestamp, signature in found:
        assert timestamp is not None
        at = verify_timestamp(timestamp, signature, [authority.root])
        assert at <= datetime.now(UTC)


def test_the_report_says_how_many_files_have_none_and_why(
    move: Move, authority: TimeAuthority
) -> None:
    authority.says(nonce=7)
    move.put(wheel(), sdist())

    seen = move.folder()

    assert "imported 2 files" in seen
    assert "2 files got no timestamp: http://127.0.0.1:" in seen
    assert "it is for another query: its nonce differs\n" in seen
    assert [timestamp for timestamp, _ in timestamps(move)] == [None, None]


def test_the_report_for_programs_counts_them(move: Move, authority: TimeAuthority) -> None:
    authority.says(nonce=7)
    move.put(wheel())

    report = move.report(f"--from-folder {move.packages}")

    assert (report["imported"], report["without_timestamp"]) == (1, 1)
