"""`serve` as its operator sees it: one server for each folder, and changes while it runs."""

import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
import time_machine
import trustme
from cryptography import x509

from pytp_broker.cli import main
from pytp_broker.content import Held
from pytp_broker.demo.process import ServerError, ServerProcess
from pytp_broker.storage.data_folder import open_data_folder
from pytp_broker.storage.file_store import content_key, metadata_key
from pytp_broker.storage.withdrawals import GRACE
from tests.support.configurations import github_publisher, registry
from tests.support.samples import file

pytestmark = pytest.mark.e2e

EVERYWHERE = "0.0.0.0"  # noqa: S104 - with a public host
PATIENCE = 10  # seconds; what an operator changes is in force by then


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

    def write(self, text: str, name: str = "broker.toml") -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def serve(self, *options: str, has_file: bool = True) -> ServerProcess:
        config = self.config if has_file else None
        return ServerProcess(
            config, self.folder / "log", "--no-tls", "--data", str(self.data), *options
        )

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
    machine.write(registry("acme"))
    return machine


def audience_status(server: ServerProcess, registry: str) -> int:
    return requests.get(f"{server.url}/{registry}/_/oidc/audience", timeout=10).status_code


def wait_until(is_so: Callable[[], object]) -> None:
    """Wait for a condition that must hold within ten seconds."""
    until = time.monotonic() + PATIENCE + 1  # and one for a busy machine
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.05)


def changes(server: ServerProcess) -> list[str]:
    return [event["change"] for event in server.events("configuration")]


def warnings(server: ServerProcess) -> list[str]:
    return [event["message"] for event in server.events("warning")]


# --- one server a folder --------------------------------------------------------------------------


def test_a_second_server_on_a_folder_is_refused_and_told_who_holds_it(machine: Machine) -> None:
    with machine.serve() as first:
        machine.write(registry("other"))

        with pytest.raises(ServerError) as refused, machine.serve():
            pass

        said = str(refused.value).splitlines()[-1]
        assert f"{machine.data} is in use" in said
        assert first.url in said
        assert f"process {first._process.pid} of user " in said  # type: ignore[union-attr]
        assert audience_status(first, "acme") == 200


def test_a_killed_server_leaves_no_lock(machine: Machine) -> None:
    with machine.serve() as first:
        first.stop(signal.SIGKILL)

    with machine.serve() as second:
        assert audience_status(second, "acme") == 200


def test_a_server_that_ended_leaves_no_lock_and_commands_need_none(machine: Machine) -> None:
    with machine.serve():
        assert machine.type("token", "list", "--data", str(machine.data))[0] == 0

    with machine.serve():
        pass


def test_a_server_that_has_only_just_come_is_not_named(machine: Machine) -> None:
    machine.data.mkdir()
    holder = (
        "import fcntl, sys\n"
        "file = open(sys.argv[1], 'w')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(machine.data / "serve.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()

        with pytest.raises(ServerError, match="another process serves it"), machine.serve():
            pass

        process.communicate(b"\n")


@pytest.mark.promise("data-folder")
def test_records_are_their_owners_alone_in_a_folder_that_others_may_read(machine: Machine) -> None:
    machine.data.mkdir(mode=0o755)

    with machine.serve():
        for path in machine.data.glob("*.sqlite3*"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600


# --- changes while it runs ------------------------------------------------------------------------


def test_apply_changes_a_running_server_which_says_what_changed(machine: Machine) -> None:
    machine.write(registry("acme", github_publisher("widgets", repository_owner_id="9919")))
    with machine.serve() as server:
        new = machine.write(
            registry("acme", github_publisher("gadgets", repository_owner_id="9919"))
            + registry("beta"),
            "new.toml",
        )

        status, seen = machine.type(
            "apply", "--yes", "--data", str(machine.data), "--config", str(new), "--prune"
        )

        assert status == 0, seen
        wait_until(lambda: audience_status(server, "beta") == 200)
        wait_until(lambda: len(changes(server)) == 2)
        assert set(changes(server)) <= set(seen.splitlines())


def test_the_kill_switch_works_without_a_restart(machine: Machine) -> None:
    with machine.serve() as server:
        off = machine.write(registry("acme") + "enabled = false\n", "off.toml")

        machine.type("apply", "--yes", "--data", str(machine.data), "--config", str(off))

        wait_until(lambda: audience_status(server, "acme") != 200)


def test_apply_takes_an_issuer_on_this_machine_where_the_broker_is_on_it(machine: Machine) -> None:
    issuer = '[[issuers]]\nurl = "http://127.0.0.1:1"\nprovider = "github"\n'
    with machine.serve():
        local = machine.write(issuer + registry("acme"), "local.toml")

        status, seen = machine.type(
            "apply", "--yes", "--data", str(machine.data), "--config", str(local)
        )

        assert (status, "+ issuer" in seen) == (0, True), seen


def test_apply_knows_the_host_of_the_server_on_the_folder(machine: Machine) -> None:
    with machine.serve("--public-host", "packages.example.com") as server:
        taken = machine.write(registry("acme") + 'hosts = ["packages.example.com"]\n', "taken.toml")

        status, seen = machine.type(
            "apply", "--yes", "--data", str(machine.data), "--config", str(taken)
        )

        assert (status, "packages.example.com" in seen) == (2, True), seen
        assert changes(server) == []


def test_a_signal_applies_the_file_again(machine: Machine) -> None:
    with machine.serve() as server:
        machine.write(registry("acme") + registry("beta"))

        server.send(signal.SIGHUP)

        wait_until(lambda: audience_status(server, "beta") == 200)
        wait_until(lambda: changes(server) == ["+ registry beta"])


def test_a_file_that_is_wrong_changes_nothing_and_is_told(machine: Machine) -> None:
    with machine.serve() as server:
        machine.write("registries = 1\n")

        server.send(signal.SIGHUP)

        wait_until(lambda: warnings(server))
        assert "the configuration stays as it was" in warnings(server)[0]
        assert audience_status(server, "acme") == 200
        assert changes(server) == []


def test_a_start_with_an_older_file_says_what_it_changes(machine: Machine) -> None:
    with machine.serve():
        new = machine.write(registry("acme") + registry("beta"), "new.toml")
        machine.type("apply", "--yes", "--data", str(machine.data), "--config", str(new))
    (machine.folder / "log").unlink()

    with machine.serve() as again:
        wait_until(lambda: changes(again))

        assert changes(again) == ["- registry beta"]


def test_a_start_without_a_file_serves_what_was_applied(machine: Machine) -> None:
    with machine.serve():
        new = machine.write(registry("beta"), "new.toml")
        status, seen = machine.type(
            "apply", "--yes", "--data", str(machine.data), "--config", str(new), "--prune"
        )
        assert status == 0, seen

    with machine.serve(has_file=False) as again:
        assert audience_status(again, "beta") == 200
        again.send(signal.SIGHUP)  # there is no file to read
        assert audience_status(again, "acme") == 404
        assert warnings(again) == []


# --- deleted files --------------------------------------------------------------------------------


def test_a_start_removes_the_bytes_of_a_file_whose_time_of_grace_ended_meanwhile(
    machine: Machine,
) -> None:
    """No server runs when the operator deletes the file, nor when the time of grace is over."""
    machine.data.mkdir()
    with open_data_folder(machine.data) as storage:
        keys = [key("acme", file().sha256, file().filename) for key in (content_key, metadata_key)]
        for key in keys:
            storage.files.save(key, Held(b"octets"), file().sha256)
        storage.store.add_file(file())
    with machine.serve() as server:
        server.stop()
    deleted_at = datetime.now(UTC) - GRACE - timedelta(minutes=1)
    with time_machine.travel(deleted_at):
        status, seen = machine.type(
            *("file", "delete", "acme", file().filename),
            *("--reason", "leaks", "--data", str(machine.data)),
        )
    assert status == 0, seen
    paths = [machine.data / "files" / key for key in keys]
    assert all(path.is_file() for path in paths)

    with machine.serve() as server:
        wait_until(lambda: not any(path.exists() for path in paths))
        wait_until(lambda: server.events("note"))


# --- options --------------------------------------------------------------------------------------


def test_a_server_without_a_folder_says_that_nothing_is_kept(machine: Machine) -> None:
    with ServerProcess(machine.config, machine.folder / "log", "--no-tls") as server:
        (note,) = server.events("note")

    assert note["message"] == (
        "without --data, this server deletes its tokens, files and certificates when it ends"
    )


def test_a_server_with_a_folder_has_nothing_to_say(machine: Machine) -> None:
    with machine.serve() as server:
        assert server.log.read_text() == ""


@pytest.mark.parametrize(
    ("options", "announced"),
    [
        (("--public-host", "Packages.Example.com"), "http://packages.example.com:"),
        (("--public-host", "2001:db8::1"), "http://[2001:db8::1]:"),
        (("--public-host", "192.0.2.1"), "http://192.0.2.1:"),
        (("--host", "localhost"), "http://localhost:"),
        (("--host", EVERYWHERE, "--public-host", "broker"), "http://broker:"),
    ],
)
def test_a_host_that_is_a_name_or_an_address_is_taken(
    machine: Machine, options: tuple[str, ...], announced: str
) -> None:
    with machine.serve(*options) as server:
        assert server.url.startswith(announced)


# --- certificates ---------------------------------------------------------------------------------


class Certbot:
    """Keeps a certificate in two files, and renews it."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.certificate, self.key = folder / "fullchain.pem", folder / "privkey.pem"
        self.ca_file = folder / "root.pem"
        self.authority.cert_pem.write_to_path(self.ca_file)
        self.renew()

    @property
    def options(self) -> tuple[str, ...]:
        return ("--cert", str(self.certificate), "--key", str(self.key))

    def renew(self, *, is_over: bool = False) -> None:
        now = datetime.now(UTC)
        leaf = self.authority.issue_cert(
            "127.0.0.1",
            not_before=now - timedelta(days=10),
            not_after=now + timedelta(days=-1 if is_over else 90),
        )
        leaf.private_key_pem.write_to_path(self.key)
        self.certificate.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))

    def serial(self) -> int:
        return x509.load_pem_x509_certificate(self.certificate.read_bytes()).serial_number


def served_serial(server: ServerProcess, ca_file: Path | str) -> int:
    """Return the serial number of the certificate that a strict client is shown."""
    address = urlsplit(server.url)
    assert address.port
    context = ssl.create_default_context(cafile=ca_file)
    with (
        socket.create_connection(("127.0.0.1", address.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        shown = connection.getpeercert(binary_form=True)
    assert shown
    return x509.load_der_x509_certificate(shown).serial_number


@pytest.fixture
def certbot(tmp_path: Path) -> Certbot:
    return Certbot(tmp_path)


def test_a_certificate_of_the_operators_own_is_served_and_renewed_while_it_runs(
    machine: Machine, certbot: Certbot
) -> None:
    with ServerProcess(machine.config, machine.folder / "log", *certbot.options) as server:
        assert server.ca_file is None
        assert served_serial(server, certbot.ca_file) == certbot.serial()

        certbot.renew()

        wait_until(lambda: served_serial(server, certbot.ca_file) == certbot.serial())
        assert len(server.events("certificate")) == 1


def test_a_renewed_certificate_that_is_over_is_told_and_the_old_one_served(
    machine: Machine, certbot: Certbot
) -> None:
    with ServerProcess(machine.config, machine.folder / "log", *certbot.options) as server:
        serial = certbot.serial()

        certbot.renew(is_over=True)

        wait_until(lambda: any("ended at" in message for message in warnings(server)))
        assert served_serial(server, certbot.ca_file) == serial


def test_a_certificate_for_another_name_is_told_at_the_start(
    machine: Machine, certbot: Certbot
) -> None:
    options = (*certbot.options, "--public-host", "packages.example.com")
    with ServerProcess(machine.config, machine.folder / "log", *options) as server:
        assert "is not for packages.example.com" in server.log.read_text()


def test_the_own_certificate_follows_a_new_host_of_a_registry(machine: Machine) -> None:
    two = registry("acme") + 'hosts = ["a.example.com", "b.example.com"]\n'
    machine.write(two)
    options = ("--data", str(machine.data))
    with ServerProcess(machine.config, machine.folder / "log", *options) as server:
        assert server.ca_file
        authority = Path(server.ca_file).read_bytes()
        serial = served_serial(server, server.ca_file)
        machine.write(two.replace("b.example.com", "new.example.org"))

        server.send(signal.SIGHUP)

        wait_until(lambda: served_serial(server, str(server.ca_file)) != serial)
        wait_until(lambda: warnings(server))
        assert "may not sign for new.example.org" in warnings(server)[0]
        assert Path(server.ca_file).read_bytes() == authority


# --- health ---------------------------------------------------------------------------------------


def test_health_is_there_for_a_load_balancer(machine: Machine) -> None:
    with machine.serve("--port", "0") as server:
        answer = requests.get(
            f"{server.url}/_/health", headers={"Host": "10.0.0.7:8080"}, timeout=10
        )

        assert (answer.status_code, answer.text) == (200, "ok\n")
        assert [event["status"] for event in server.events("access")] == [200]
        assert server.events("request") == []
