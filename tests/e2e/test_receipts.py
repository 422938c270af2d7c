"""Receipts of a real server: from a job's publish to what a consumer checks against its log."""

import contextlib
import hashlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
import requests

from pytp_broker.demo.issuer import Issuer
from pytp_broker.demo.packages import TinyPackage
from pytp_broker.demo.process import ServerProcess
from pytp_broker.provenance.checking import Subject, check_receipt
from pytp_broker.provenance.dsse import Envelope
from pytp_broker.provenance.receipt_keys import KeyDocument
from pytp_broker.provenance.receipts import Kind, Receipt
from tests.support.configurations import github_issuer, github_publisher, registry
from tests.support.released import ROOT

pytestmark = pytest.mark.e2e

PROGRAM: Final = (sys.executable, "-m", "pytp_broker.cli")
PAGE: Final = (ROOT / "docs/receipts.md").read_text()
CONFIGURATION: Final = github_issuer("{issuer}") + registry(
    "acme",
    github_publisher("widgets", repository_owner_id="9919", environment="release"),
    issuers=["{issuer}"],
    access="public",
)


@dataclass
class Place:
    """A server, its data folder, and the files that a test publishes there."""

    server: ServerProcess
    data: Path
    dist: Path

    def run(self, *words: str | Path, **variables: str) -> str:
        """Run a command to its end; return what it prints."""
        ca_file = str(self.server.ca_file)
        base = {"HOME": str(self.dist), "PATH": os.defpath, "REQUESTS_CA_BUNDLE": ca_file}
        command = (*PROGRAM, *words)
        ended = subprocess.run(
            command, env=base | variables, capture_output=True, text=True, timeout=120, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def get(self, path: str) -> requests.Response:
        return requests.get(f"{self.server.url}{path}", verify=str(self.server.ca_file), timeout=30)

    def receipt(self, file: Path, version: str) -> Receipt:
        """Return the receipt of a file, after every check that a consumer makes."""
        answer = self.get(f"/acme/integrity/widgets/{version}/{file.name}/receipt")
        assert answer.status_code == 200, answer.text
        keys = KeyDocument.from_document(self.get("/.well-known/pytp-receipt-keys").json())
        octets = file.read_bytes()
        subject = Subject(file.name, hashlib.sha256(octets).hexdigest(), len(octets), "acme")
        return check_receipt(answer.content, keys, subject, datetime.now(UTC))

    def records(self, event: str, **facts: str) -> list[str]:
        """Return the lines of the server's log with these records."""
        lines = self.server.log.read_text().splitlines()
        return [line for line in lines if _is_record(line, {"event": event, **facts})]


def _is_record(line: str, facts: Mapping[str, Any]) -> bool:
    found = json.loads(line) if line.startswith("{") else {}
    return {name: found.get(name) for name in facts} == facts


def documented_hash(line: str) -> str:
    """Return what the snippet on the page prints for a line of a log."""
    (snippet,) = re.findall(r"<!-- hash of a record -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(snippet, {"line": line})  # noqa: S102 - our own page
    return printed.getvalue().strip()


@pytest.fixture(scope="module")
def place(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    data = tmp_path_factory.mktemp("data") / "data"
    log = config.parent / "server.log"
    with ServerProcess(config, log, "--data", str(data)) as server:
        yield Place(server, data, tmp_path_factory.mktemp("job"))


def test_a_session_gives_each_file_a_receipt_with_the_hash_of_its_record(
    place: Place, issuer: Issuer
) -> None:
    files = TinyPackage("widgets", "1.0.0").build(place.dist / "dist")

    url = f"{place.server.url}/acme/legacy/"
    place.run("publish", "--url", url, *files, **issuer.start_job())

    (line,) = place.records("session", action="publish", version="1.0.0")
    for file in files:
        receipt = place.receipt(file, "1.0.0")
        assert receipt.audit_sha256 == documented_hash(line)
        assert receipt.publication.kind is Kind.JOB
        assert receipt.publication.provider == "github"
        assert receipt.publication.claims["repository"] == "octo-org/widgets"
        assert receipt.publication.pins["repository_owner_id"] == "9919"
        assert str(receipt.publication.run_url).endswith(
            f"/octo-org/widgets/actions/runs/{receipt.publication.claims['run']}"
        )


def test_an_operators_upload_has_the_hash_of_its_record(place: Place) -> None:
    (file, *_) = TinyPackage("widgets", "2.0.0").build(place.dist / "operator")
    making = ("token", "create", "--registry", "acme", "--upload", "widgets", "--data", place.data)
    printed = place.run(*making, "--reason", "the CI is down", LOGNAME="olive")
    token = printed.split()[-1]
    content = file.read_bytes()
    answer = requests.post(
        f"{place.server.url}/acme/legacy/",
        auth=("__token__", token),
        files={"content": (file.name, content, "application/octet-stream")},
        data={
            ":action": "file_upload",
            "filetype": "bdist_wheel" if file.suffix == ".whl" else "sdist",
            "metadata_version": "2.1",
            "name": "widgets",
            "version": "2.0.0",
            "pyversion": "py3",
            "sha256_digest": hashlib.sha256(content).hexdigest(),
        },
        verify=str(place.server.ca_file),
        timeout=30,
    )
    assert answer.status_code == 200, answer.text

    receipt = place.receipt(file, "2.0.0")
    (line,) = place.records("upload", filename=file.name, outcome="accepted")
    assert receipt.audit_sha256 == documented_hash(line)
    assert receipt.publication.kind is Kind.OPERATOR
    assert receipt.publication.reason == "the CI is down"
    assert b"olive" not in receipt.write()
    assert token.encode() not in receipt.write()


def test_an_import_has_the_hash_of_the_record_that_it_begins(place: Place) -> None:
    (file, *_) = TinyPackage("widgets", "3.0.0").build(place.dist / "old")

    importing = ("import", "--registry", "acme", "--from-folder", place.dist / "old")
    place.run(*importing, "--data", place.data, LOGNAME="olive")

    receipt = place.receipt(file, "3.0.0")
    lines = place.run("audit", "--data", place.data).splitlines()
    (line,) = (each for each in lines if _is_record(each, {"event": "import", "outcome": "begun"}))
    assert receipt.audit_sha256 == documented_hash(line)
    assert receipt.publication.document() == {"kind": "import"}
    assert b"olive" not in receipt.write()


def test_a_receipt_holds_no_secret_of_the_job_and_the_server(place: Place, issuer: Issuer) -> None:
    files = TinyPackage("widgets", "4.0.0").build(place.dist / "secret")
    url = f"{place.server.url}/acme/legacy/"
    place.run("publish", "--url", url, *files, **issuer.start_job())

    stored = [path for path in (place.data / "files" / "receipts").rglob("*") if path.is_file()]
    statements = [Envelope.read(path.read_bytes()).payload.decode() for path in stored]

    assert len(statements) >= len(files)
    for statement in statements:
        assert "pytp_" not in statement
        assert "PRIVATE" not in statement
        assert not [token for token in issuer.issued if token in statement]
