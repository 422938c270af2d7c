"""What an operator sees of `serve`: metrics on a port of their own, and the log as sentences."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from pytp_broker.demo.issuer import Issuer
from pytp_broker.demo.process import ServerError, ServerProcess
from tests.e2e.test_publish import mint, trusting
from tests.support.ports import free_port

pytestmark = pytest.mark.e2e

CONFIGURATION = """
[[issuers]]
url = "{issuer}"
provider = "github"
[[registries]]
name = "acme"
issuers = ["{issuer}"]
[[registries.publishers]]
projects = ["widgets"]
[registries.publishers.github]
repository = "octo-org/widgets"
repository_owner_id = "9919"
workflow = "release.yml"
environment = "release"
"""
SENTENCE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (INFO |WARN |ERROR) .+")


@pytest.fixture(scope="module")
def metrics_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def server(config: Path, metrics_port: int) -> Iterator[ServerProcess]:
    log = config.parent / "server.log"
    options = ("--metrics-port", str(metrics_port), "--log-format", "text")
    with ServerProcess(config, log, *options) as running:
        yield running


def scrape(port: int) -> str:
    return requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text


def test_an_exchange_and_a_refusal_are_seen_in_the_metrics_and_in_the_log(
    server: ServerProcess, issuer: Issuer, metrics_port: int
) -> None:
    with trusting(server) as session:
        mint(session, f"{server.url}/acme", issuer)
        url = f"{server.url}/acme/_/oidc/mint-token"
        assert session.post(url, json={"token": "x\u001b[31m"}).status_code == 422

    shown = scrape(metrics_port)
    exchanges = 'pytp_exchanges_total{outcome="%s",permission="upload",reason="%s"} 1.0'
    assert exchanges % ("accepted", "") in shown
    assert exchanges % ("refused", "invalid-payload") in shown
    assert 'pytp_key_set_age_seconds{provider="github"}' in shown
    assert 'pytp_issuer_fetches_total{outcome="good"} 2.0' in shown
    assert re.search(r"^pytp_certificate_end_timestamp_seconds \d", shown, re.MULTILINE)
    assert re.search(r"^pytp_connections \d", shown, re.MULTILINE)
    lines = server.log.read_text().splitlines()
    assert [line for line in lines if "exchange accepted: octo-org/widgets for acme/w" in line]
    assert [line for line in lines if "WARN  exchange refused: invalid-payload" in line]
    assert all(SENTENCE.fullmatch(line) and line.isprintable() for line in lines)


def test_the_port_of_the_metrics_serves_nothing_of_the_registries(
    server: ServerProcess, metrics_port: int
) -> None:
    for path in ("/acme/simple/", "/_/health", "/acme/_/oidc/audience"):
        answer = requests.get(f"http://127.0.0.1:{metrics_port}{path}", timeout=10)
        assert answer.status_code == 404
    with trusting(server) as session:
        assert "pytp_" not in session.get(f"{server.url}/metrics").text


def test_a_port_for_metrics_that_is_taken_ends_the_start(
    server: ServerProcess, config: Path, metrics_port: int, tmp_path: Path
) -> None:
    options = ("--no-tls", "--metrics-port", str(metrics_port))

    with pytest.raises(ServerError) as refused, ServerProcess(config, tmp_path / "log", *options):
        pass

    assert f"cannot listen on 127.0.0.1:{metrics_port}: " in str(refused.value)
