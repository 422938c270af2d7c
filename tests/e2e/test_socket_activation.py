"""`serve` on sockets that systemd keeps: clients of a server that restarts are never refused."""

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
import requests

from tests.support.configurations import registry
from tests.support.handed import start_with

pytestmark = pytest.mark.e2e


REFUSED = 0


class Manager:
    """What systemd is to the server: its sockets stay open, and it hears the server's states."""

    def __init__(self, folder: Path) -> None:
        self.clients = socket.create_server(("127.0.0.1", 0))
        self.metrics = socket.create_server(("127.0.0.1", 0))
        self.notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notices.bind(str(folder / "notify"))
        self.notices.settimeout(30)
        self.config = folder / "broker.toml"
        self.config.write_text(registry("acme"))
        self._command = (
            *("-m", "pytp_broker.cli", "serve", "--no-tls"),
            *("--config", str(self.config), "--data", str(folder / "data")),
        )
        self._notify = str(folder / "notify")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.clients.getsockname()[1]}"

    def close(self) -> None:
        for each in (self.clients, self.metrics, self.notices):
            each.close()

    def hear(self) -> str:
        return self.notices.recv(1000).decode()

    @contextmanager
    def serving(self, *options: str, names: str = "clients:metrics") -> Iterator[str]:
        """Run a server; yield its line on stdout."""
        sockets = (self.clients, self.metrics)
        variables = {"NOTIFY_SOCKET": self._notify}
        with start_with(sockets, names, *self._command, *options, **variables) as started:
            try:
                assert started.stdout is not None
                self.process = started
                yield started.stdout.readline()
            finally:
                self.end(started)

    def end(self, started: subprocess.Popen[str]) -> None:
        started.send_signal(signal.SIGTERM)
        try:
            started.communicate(timeout=15)
        except subprocess.TimeoutExpired:
            started.kill()
            raise


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Manager]:
    manager = Manager(tmp_path_factory.mktemp("systemd"))
    yield manager
    manager.close()


def ask(url: str) -> int:
    """Ask on a connection of its own; one that a server gives up as it ends is made anew."""
    while True:
        try:
            return requests.get(
                f"{url}/_/health", headers={"Connection": "close"}, timeout=30
            ).status_code
        except requests.ConnectionError as error:
            if "refused" in str(error).lower():
                return REFUSED


def test_a_restart_refuses_no_connection_and_the_manager_hears_of_it(manager: Manager) -> None:
    answers: list[int] = []
    over = Event()

    def keep_asking() -> None:
        while not over.is_set():
            answers.append(ask(manager.url))

    client = Thread(target=keep_asking)
    with manager.serving() as announced:
        assert json.loads(announced)["url"] == manager.url
        assert manager.hear() == f"READY=1\nSTATUS=serving {manager.url}"
        metrics = f"http://127.0.0.1:{manager.metrics.getsockname()[1]}/metrics"
        assert "pytp_build_info" in requests.get(metrics, timeout=10).text
        client.start()
        manager.process.send_signal(signal.SIGHUP)
        assert manager.hear().startswith("RELOADING=1\n")
        assert manager.hear().startswith("READY=1\n")
    assert manager.hear() == "STOPPING=1"
    with manager.serving():
        assert manager.hear().startswith("READY=1\n")
        before = len(answers)
        assert ask(manager.url) == 200
        over.set()
        client.join()
    assert manager.hear() == "STOPPING=1"

    assert len(answers) >= before > 0
    assert set(answers) == {200}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--port", "8443"), "systemd has opened the socket: leave out --host and --port"),
        (("--metrics-port", "9464"), "leave out --metrics-port"),
    ],
)
def test_an_address_beside_a_socket_is_refused(
    manager: Manager, options: tuple[str, ...], said: str
) -> None:
    sockets = (manager.clients, manager.metrics)
    command = ("-m", "pytp_broker.cli", "serve", "--config", str(manager.config), *options)
    with start_with(sockets, "clients:metrics", *command) as started:
        _, err = started.communicate(timeout=60)

    assert started.returncode == 2
    assert said in err


def test_a_socket_for_all_addresses_needs_the_name_that_clients_use(manager: Manager) -> None:
    with socket.create_server(("", 0)) as everywhere:
        command = ("-m", "pytp_broker.cli", "serve", "--config", str(manager.config))
        with start_with((everywhere,), "clients", *command) as started:
            _, err = started.communicate(timeout=60)

    assert started.returncode == 2
    assert err.startswith("give --public-host")


def test_a_socket_that_cannot_be_used_ends_the_start(manager: Manager) -> None:
    command = ("-m", "pytp_broker.cli", "serve", "--config", str(manager.config))
    with start_with((manager.clients, manager.metrics), "", *command) as started:
        _, err = started.communicate(timeout=60)

    assert started.returncode == 1
    assert err == "systemd hands over 2 sockets for clients: one is needed\n"
