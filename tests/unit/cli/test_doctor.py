"""`pytp-broker doctor`: its options, its lines on a terminal, and what it says of wrong ones."""

import argparse
import re
from contextlib import redirect_stdout
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

import pytest
import trustme

from pytp_broker.cli import main
from pytp_broker.cli.doctor import _place, _print_lines
from pytp_broker.doctor.arrival import Asked, arrived
from pytp_broker.doctor.checks import Need
from pytp_broker.doctor.findings import Finding, Outcome
from pytp_broker.errors import StoreUnavailable
from pytp_broker.storage.sqlite import SqliteStore
from tests.support.configurations import registry

FINDINGS = (
    Finding("clock", Outcome.OK, "the clocks agree"),
    Finding("ttl-off", Outcome.FAULT, "TTL is DISABLED", "run " + "something long " * 9 + "end"),
    Finding("disk-low", Outcome.WARNING, "little room", "free room"),
    Finding("alarms", Outcome.NOT_CHECKED, "the right x is missing"),
)


class Screen(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return the data folder of a broker that no server holds."""
    tmp_path.chmod(0o700)
    SqliteStore(tmp_path / "broker.sqlite3").close()
    return tmp_path


def shown(stream: StringIO) -> list[str]:
    with redirect_stdout(stream):
        _print_lines(iter(FINDINGS), dict.fromkeys(Outcome, 1))
    return re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()).splitlines()


def test_a_pipe_gets_a_line_for_each_check_and_one_for_each_cure() -> None:
    lines = shown(StringIO())

    assert lines[0] == "✓ clock                    the clocks agree"
    assert lines[1] == "✗ ttl-off                  TTL is DISABLED"
    assert lines[2].strip().startswith("cure: run something long")
    assert lines[5] == "\N{EN DASH} alarms                   not checked: the right x is missing"
    assert lines[6] == "1 well, 1 warning, 1 fault, 1 not checked"
    assert len(lines) == 7


def test_a_terminal_gets_lines_of_its_width_and_every_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")

    lines = shown(Screen())

    assert all(len(line.rstrip()) <= 60 for line in lines)
    assert "end" in " ".join(lines).split()
    assert lines[0].split() == ["✓", "clock", "the", "clocks", "agree"]


def test_a_terminal_without_the_marks_gets_plain_ones() -> None:
    written = BytesIO()
    stream = TextIOWrapper(written, encoding="ascii", write_through=True)

    with redirect_stdout(stream):
        _print_lines(iter(FINDINGS), dict.fromkeys(Outcome, 1))

    lines = written.getvalue().decode().splitlines()
    assert lines[0].startswith("+ clock")
    assert lines[5].startswith("- alarms")


@pytest.mark.parametrize(
    ("text", "place"),
    [("127.0.0.1:8443", ("127.0.0.1", 8443)), ("[::1]:443", ("::1", 443)), ("a.b:1", ("a.b", 1))],
)
def test_a_place_to_connect_to_has_a_host_and_a_port(text: str, place: tuple[str, int]) -> None:
    assert _place(text) == place


@pytest.mark.parametrize("text", ["", "host", "host:", "host:70000", "https://host:1", "a b:1"])
def test_another_place_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="HOST:PORT"):
        _place(text)


@pytest.mark.parametrize(
    ("options", "said", "status"),
    [
        ("", "give --url, --data, --stack or --table", 2),
        ("--url packages.example.com", "is not the URL of a broker", 2),
        ("--data {tmp_path}/nothing", "is not the data folder of a broker", 1),
        ("--url https://localhost --ca-bundle {tmp_path}/no.pem", "has no certificates in PEM", 2),
    ],
    ids=["nothing", "no URL", "no folder", "no certificates"],
)
def test_wrong_options_are_told(
    options: str, said: str, status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", *options.format(tmp_path=tmp_path).split()]) == status

    assert said in capsys.readouterr().err


def test_a_folder_without_a_server_is_looked_at_from_inside(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--data", str(data)]) == 1

    printed = capsys.readouterr().out
    assert "✗ not-served " in printed
    assert "✗ receipt-key-missing " in printed
    assert "! configuration-empty " in printed
    assert "outside                  not checked: no address is known: give --url" in printed


def test_a_configuration_without_a_store_is_enough_for_issuers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "broker.toml"
    path.write_text(registry("acme"))

    main(["doctor", "--url", "https://localhost:1", "--config", str(path)])

    assert "✓ configuration            registries: 1" in capsys.readouterr().out


# --- arrival --------------------------------------------------------------------------------------


def test_a_store_that_cannot_be_opened_is_found(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StoreUnavailable("the store did not answer", operator_detail="SQLITE_BUSY")

    monkeypatch.setattr(SqliteStore, "__init__", fail)

    with arrived(Asked(data=data)) as (visit, findings):
        assert [finding.name for finding in findings] == ["store-unreachable"]
        assert "SQLITE_BUSY" in findings[0].seen
        assert not visit.has(Need.STORE)


def test_a_store_that_cannot_be_read_is_found(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise StoreUnavailable("the store did not answer")

    monkeypatch.setattr(SqliteStore, "load_setup", fail)

    with arrived(Asked(data=data)) as (visit, findings):
        assert [finding.name for finding in findings] == ["store-unreachable"]
        assert not visit.has(Need.STORE)


def test_a_server_that_has_no_url_is_not_asked(data: Path) -> None:
    (data / "serve.lock").write_text('{"pid": 1, "user": "x", "address": "no URL"}')

    with arrived(Asked(data=data)) as (visit, _):
        assert visit.web is None


def test_the_environments_authorities_are_trusted(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    from pytp_broker.doctor.arrival import _authorities

    assert _authorities(Asked(data=data)) == (str(path),)


def test_a_profile_that_is_not_there_is_a_finding(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")

    assert main(["doctor", "--stack", "broker"]) == 1

    assert "✗ store-unreachable " in capsys.readouterr().out


def test_an_endpoint_that_is_not_a_url_is_a_finding(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    options = ["--region", "us-east-1", "--endpoint-url", "nonsense"]

    assert main(["doctor", "--stack", "broker", *options]) == 1

    assert "InvalidEndpoint" in capsys.readouterr().out
