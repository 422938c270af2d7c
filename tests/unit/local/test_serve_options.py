"""The options of `serve` that are checked before anything is written."""

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytp_broker.cli import main

EVERYWHERE = "0.0.0.0"  # noqa: S104 - refused


@dataclass
class Machine:
    """A machine with a folder, where an operator works."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def config(self) -> Path:
        return self.folder / "broker.toml"

    def type(self, *arguments: str) -> tuple[int, str]:
        """Run a command; return its status and what is seen."""
        try:
            status = main(arguments)
        except SystemExit as left:
            status = int(left.code or 0)
        seen = self.capsys.readouterr()
        return status, seen.out + seen.err


@pytest.fixture
def machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Machine:
    machine = Machine(tmp_path, capsys)
    machine.config.write_text('[[registries]]\nname = "acme"\n')
    return machine


HOSTS = [
    ("https://packages.example.com", "packages.example.com"),
    ("http://packages.example.com:8443/x", "packages.example.com"),
    ("packages.example.com:8443", "packages.example.com"),
    ("packages.example.com/", "packages.example.com"),
    ("packages.example.com/pypi", "packages.example.com"),
    (" packages.example.com", "packages.example.com"),
    ("packages.example.com\n", "packages.example.com"),
    ("pack ages", None),
    ("", None),
    ("[::1]", "::1"),
    ("[::1]:8443", "::1"),
    ("[::1", None),
    ("fe80::1%eth0", None),
    ("user@packages.example.com", "packages.example.com"),
    ("packages..example.com", None),
    (".example.com", None),
    ("packages.example.com.", None),
    ("*.example.com", None),
    ("-x.example.com", None),
    ("x_y", None),
    ("256.1.1.1", None),
    ("bücher.example", "xn--bcher-kva.example"),
    ("a" * 64, None),
    (".".join(["a" * 60] * 5), None),
]


@pytest.mark.parametrize(("host", "suggested"), HOSTS)
def test_a_public_host_that_is_no_name_is_refused_in_one_sentence(
    machine: Machine, host: str, suggested: str | None
) -> None:
    status, seen = machine.type(
        *("serve", "--config", str(machine.config), "--data", str(machine.data)),
        f"--public-host={host}",
    )

    assert status == 2
    assert len(seen.strip().splitlines()) == 1
    assert seen.startswith("--public-host: `")
    assert seen.strip().endswith(f"such as {suggested or 'packages.example.com'}")
    assert not machine.data.exists()


@pytest.mark.parametrize("host", [host for host, _ in HOSTS if host not in {"", "x_y"}])
def test_a_host_that_is_no_name_is_refused_in_one_sentence(machine: Machine, host: str) -> None:
    status, seen = machine.type("serve", "--config", str(machine.config), f"--host={host}")

    assert status == 2
    assert seen.startswith("--host: `")
    assert len(seen.strip().splitlines()) == 1


@pytest.mark.parametrize("host", ["https://x", "x:8443", "[::1]", "a b", "x/y"])
def test_a_place_to_listen_that_is_a_url_is_refused_with_a_public_host_too(
    machine: Machine, host: str
) -> None:
    arguments = ("serve", "--config", str(machine.config), "--public-host", "x.example.com")

    status, seen = machine.type(*arguments, f"--host={host}")

    assert (status, seen[:7]) == (2, "--host:")


@pytest.mark.parametrize("host", ["", EVERYWHERE, "::"])
def test_a_server_for_all_addresses_is_told_its_name(machine: Machine, host: str) -> None:
    status, seen = machine.type("serve", "--config", str(machine.config), f"--host={host}")

    assert (status, "--public-host" in seen) == (2, True)


@pytest.mark.parametrize("port", ["abc", "-1", "65536", "", "1e3", "٨٠", "99999999999"])
def test_a_port_that_is_none_is_refused_in_words(machine: Machine, port: str) -> None:
    status, seen = machine.type("serve", "--config", str(machine.config), f"--port={port}")

    assert status == 2
    assert "is not between 0 and 65535" in seen


@pytest.mark.parametrize("number", ["-1", "10", "", "one"])
def test_a_number_of_proxies_that_is_none_is_refused_in_words(
    machine: Machine, number: str
) -> None:
    config = str(machine.config)

    status, seen = machine.type("serve", "--config", config, f"--trusted-proxies={number}")

    assert status == 2
    assert "is not between 0 and 9" in seen


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--cert", "x.pem"), "--cert and --key belong together"),
        (("--key", "x.pem"), "--cert and --key belong together"),
        (("--cert", "x", "--key", "y", "--no-tls"), "--no-tls serves plain http"),
        (("--cert", "no-such.pem", "--key", "y"), "cannot read no-such.pem"),
        (("--metrics-host", "127.0.0.1"), "--metrics-host belongs to --metrics-port"),
        (("--store", "dynamodb"), "--store dynamodb needs"),
        (("--store", "dynamodb", "--table", "x"), "--store dynamodb needs"),
        (("--store", "dynamodb", "--stack", "x"), "leave out --config"),
        (("--store", "dynamodb", "--table", "x", "--bucket", "y"), "leave out --config"),
        (("--store", "dynamodb", "--s3-endpoint", "http://x"), "give both --dynamodb-endpoint"),
        (("--stack", "x"), "--stack belongs to --store dynamodb"),
        (("--s3-endpoint", "http://x"), "--s3-endpoint belongs to --store dynamodb"),
    ],
)
def test_options_that_do_not_go_together_are_refused_before_anything_is_written(
    machine: Machine, options: tuple[str, ...], said: str
) -> None:
    status, seen = machine.type(
        *("serve", "--config", str(machine.config), "--data", str(machine.data), *options)
    )

    assert status == 2
    assert seen.startswith(said)
    assert not machine.data.exists()


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--data", "data"),
        ("--data", "."),
        ("--store", "dynamodb", "--dynamodb-endpoint", "http://x", "--s3-endpoint", "http://x"),
    ],
)
def test_a_server_without_a_file_needs_a_folder_that_has_a_configuration(
    machine: Machine, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(machine.folder)

    status, seen = machine.type("serve", *options)

    assert status == 2
    assert seen.startswith("give --config: ")
    assert not machine.data.exists()


def serve_with_root(machine: Machine) -> tuple[int, str]:
    return machine.type(
        *("serve", "--config", str(machine.config), "--data", str(machine.data)),
        *("--trusted-root", str(machine.folder / "root.json")),
    )


def test_a_trusted_root_that_is_not_a_file_is_refused(machine: Machine) -> None:
    status, seen = serve_with_root(machine)

    assert status == 2
    assert seen == f"--trusted-root: {machine.folder / 'root.json'} is not a file\n"
    assert not machine.data.exists()


@pytest.mark.parametrize("content", ["", "{}", '{"mediaType": "x"}'])
def test_a_file_that_is_not_a_trusted_root_is_refused(machine: Machine, content: str) -> None:
    (machine.folder / "root.json").write_text(content)

    status, seen = serve_with_root(machine)

    assert status == 2
    assert seen.endswith("root.json is not a trusted root of Sigstore\n")
    assert not machine.data.exists()


def test_a_trusted_root_needs_the_library(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (machine.folder / "root.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "pytp_broker.provenance.sigstore_checks", None)

    status, seen = serve_with_root(machine)

    assert status == 2
    assert seen.endswith("pip install 'pytp-broker[attestations]'\n")
