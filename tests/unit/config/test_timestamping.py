"""The time-stamping authority in the configuration: `[timestamping]`."""

import re
from pathlib import Path

import pytest
import trustme

from pytp_broker import config
from pytp_broker.config import ConfigurationError
from pytp_broker.registries import Timestamping

URL = "https://timestamps.example.com/ask"


def load(folder: Path, *lines: str, allow_loopback: bool = False) -> Timestamping | None:
    file = folder / "broker.toml"
    file.write_text("\n".join(["[[registries]]", 'name = "acme"', *lines]))
    return config.load(file, allow_loopback=allow_loopback).configuration.timestamping


def mistake(folder: Path, *lines: str, allow_loopback: bool = False) -> str:
    with pytest.raises(ConfigurationError) as refused:
        load(folder, "[timestamping]", *lines, allow_loopback=allow_loopback)
    (line,) = refused.value.lines
    return line.removeprefix(f"{folder}/broker.toml:")


def test_there_is_no_authority_unless_the_file_names_one(tmp_path: Path) -> None:
    assert load(tmp_path) is None


def test_an_authority_has_a_url(tmp_path: Path) -> None:
    assert load(tmp_path, "[timestamping]", f'url = "{URL}"') == Timestamping(URL)


def test_the_certificates_are_read_beside_the_configuration(tmp_path: Path) -> None:
    pem = trustme.CA().cert_pem.bytes().decode()
    (tmp_path / "ca.pem").write_text(pem)

    found = load(tmp_path, "[timestamping]", f'url = "{URL}"', 'ca_file = "ca.pem"')

    assert found == Timestamping(URL, pem)


def test_the_table_that_the_documentation_shows_is_accepted(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs/configuration.md").read_text()
    section = page.partition("## A time-stamping authority")[2].partition("\n## ")[0]
    (table,) = re.findall(r"```toml\n(.*?)```", section, re.DOTALL)
    (tmp_path / "corp-ca.pem").write_bytes(trustme.CA().cert_pem.bytes())

    found = load(tmp_path, table)

    assert found is not None
    assert found.url == "https://timestamps.example.com"
    assert found.ca_pem.startswith("-----BEGIN CERTIFICATE-----")


@pytest.mark.parametrize("url", ["http://127.0.0.1:318/", "https://localhost/", "http://[::1]:1"])
def test_an_authority_on_this_machine_is_for_local_use(tmp_path: Path, url: str) -> None:
    line = f'url = "{url}"'

    assert load(tmp_path, "[timestamping]", line, allow_loopback=True) == Timestamping(url)
    assert "must" in mistake(tmp_path, line)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://timestamps.example.com", "must be https (http only for this machine, in `serve`)"),
        ("ftp://timestamps.example.com", "must be https (http only for this machine, in `serve`)"),
        ("https://10.1.2.3/", "must name its host by a fully qualified name, not by an address"),
        ("https://2130706433/", "must name its host by a fully qualified name, not by an address"),
        ("https:///ask", "must name its host by a fully qualified name, not by an address"),
        ("https://tsa.example.com:0/", "has a malformed host or port"),
        ("https://tsa.example.com/#x", "is not a plain URL: it must have no query"),
        ("https://tsa.example.com/?key=s3cret", "is not a plain URL: it must have no query"),
        ("https://tsa.example.com/ x", "is not a plain URL: it must have no query"),
        ("https://tsa.example.com/é", "is not a plain URL: it must have no query"),
    ],
)
def test_a_url_that_could_lead_elsewhere_is_refused(tmp_path: Path, url: str, said: str) -> None:
    assert f"timestamping.url: `{url}` {said}" in mistake(tmp_path, f'url = "{url}"')


def test_a_password_in_a_url_is_not_said_again(tmp_path: Path) -> None:
    said = mistake(tmp_path, 'url = "https://user:hunter2@tsa.example.com/"')

    assert "is not a plain URL" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((), '3: timestamping.url: missing; write, for example, `url = "https://timestamps.ex'),
        (('url = ""',), "4: timestamping.url: is empty; write a value, such as"),
        ((f'url = "{URL}"', "urls = 1"), "5: timestamping.urls: unknown key `urls`; did you mean"),
        ((f'url = "{URL}"', 'ca_file = "no.pem"'), "5: timestamping.ca_file: `"),
    ],
)
def test_a_mistake_is_named_with_its_line(
    tmp_path: Path, lines: tuple[str, ...], said: str
) -> None:
    assert mistake(tmp_path, *lines).startswith(said)


def test_a_list_of_authorities_is_told_to_be_one_table(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="timestamping: is a list; expected a table"):
        load(tmp_path, "[[timestamping]]", f'url = "{URL}"')


def test_two_files_may_not_both_name_an_authority(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.toml", "b.toml")]
    for file in files:
        file.write_text(f'[timestamping]\nurl = "{URL}"')

    with pytest.raises(ConfigurationError, match=r"b\.toml:1: timestamping: the same key is in"):
        config.load(*files, allow_loopback=False)
