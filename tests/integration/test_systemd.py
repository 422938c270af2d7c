"""The server under systemd: sockets that are handed over, states that are told, and the units."""

import configparser
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pytp_broker.cli import _parser
from pytp_broker.local.systemd import Supervisor, take_sockets
from tests.support.handed import HasFileno, start_with

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "infra/systemd").glob("pytp-broker*"))
SERVICE = ROOT / "infra/systemd/pytp-broker.service"
# What is better than this counts as protected; `systemd-analyze security` multiplies it by ten.
MAX_EXPOSURE = 20

TAKE = """
import json, os
from pytp_broker.local.systemd import SocketError, take_sockets
try:
    taken = take_sockets(os.environ)
    said = [each and each.getsockname()[1] for each in taken]
    said.append([each and os.get_inheritable(each.fileno()) for each in taken])
except SocketError as error:
    said = str(error)
print(json.dumps([said, sorted(name for name in os.environ if name.startswith("LISTEN_"))]))
"""


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def listening(stack: ExitStack) -> socket.socket:
    return stack.enter_context(socket.create_server(("127.0.0.1", 0)))


def take(*sockets: HasFileno, names: str = "", **variables: str) -> tuple[object, list[str]]:
    """Return what a process makes of the sockets, and which variables it leaves."""
    with start_with(sockets, names, "-c", TAKE, **variables) as started:
        out, err = started.communicate(timeout=60)
    assert started.returncode == 0, err
    said, left = json.loads(out)
    return said, left


def port(listener: socket.socket) -> int:
    number: int = listener.getsockname()[1]
    return number


def test_one_socket_is_that_of_the_clients(stack: ExitStack) -> None:
    clients = listening(stack)

    assert take(clients) == ([port(clients), None, [False, None]], [])


def test_a_socket_is_that_of_the_metrics_by_its_name(stack: ExitStack) -> None:
    clients, metrics = listening(stack), listening(stack)

    both = [port(clients), port(metrics), [False, False]]
    assert take(metrics, clients, names="metrics:clients")[0] == both
    assert take(metrics, names="metrics")[0] == [None, port(metrics), [None, False]]


def test_two_sockets_for_one_thing_are_refused(stack: ExitStack) -> None:
    said, _ = take(listening(stack), listening(stack))

    assert said == "systemd hands over 2 sockets for clients: one is needed"


@pytest.mark.parametrize(("many", "shown"), [("100", "100"), ("9" * 5000, "999999999")])
def test_many_sockets_are_refused(stack: ExitStack, many: str, shown: str) -> None:
    said, _ = take(listening(stack), LISTEN_FDS=many)

    assert said == f"systemd hands over {shown} sockets: at most two are needed"


def test_what_does_not_listen_is_refused(stack: ExitStack, tmp_path: Path) -> None:
    idle = stack.enter_context(socket.socket())
    unix = stack.enter_context(socket.socket(socket.AF_UNIX))
    unix.bind(str(tmp_path / "socket"))
    unix.listen()

    assert take(idle)[0] == take(unix)[0] == "descriptor 3 is not a listening TCP socket"


def test_a_file_is_not_a_socket() -> None:
    with Path(os.devnull).open() as file:
        said, _ = take(file)

    assert str(said).startswith("descriptor 3 is not a socket: ")


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_FDS": "1", "LISTEN_PID": "1"},
        {"LISTEN_FDS": "0", "LISTEN_PID": str(os.getpid())},
        {"LISTEN_FDS": "x", "LISTEN_PID": str(os.getpid())},
        {"LISTEN_FDS": "-1", "LISTEN_PID": str(os.getpid())},
    ],
)
def test_sockets_of_another_process_are_not_touched(variables: dict[str, str]) -> None:
    assert take_sockets(variables) == (None, None)
    assert variables == {}


# --- states ---------------------------------------------------------------------------------------


def test_the_manager_is_told_each_state(stack: ExitStack, tmp_path: Path) -> None:
    manager = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    manager.bind(str(tmp_path / "notify"))
    manager.settimeout(10)
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}

    supervisor = Supervisor(environment)
    supervisor.ready("serving https://x.example.com")
    supervisor.reloading()
    supervisor.stopping()

    told = [manager.recv(1000).decode() for _ in range(3)]
    assert told[0] == "READY=1\nSTATUS=serving https://x.example.com"
    assert told[1].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert told[2] == "STOPPING=1"
    assert environment == {}


def test_an_abstract_address_begins_with_an_at_sign(stack: ExitStack) -> None:
    manager = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    name = f"pytp-{os.getpid()}"
    manager.bind(f"\0{name}")
    manager.settimeout(10)

    Supervisor({"NOTIFY_SOCKET": f"@{name}"}).stopping()

    assert manager.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "/nobody/listens"}])
def test_without_a_manager_nobody_is_told(environment: dict[str, str]) -> None:
    Supervisor(environment).ready("x")


# --- units ----------------------------------------------------------------------------------------


def read_unit(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=")
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(path.read_text())
    return parser


def test_the_service_runs_a_command_that_takes_its_options() -> None:
    command = read_unit(SERVICE)["Service"]["ExecStart"].split()

    assert command[0].endswith("/bin/pytp-broker")
    assert _parser().parse_args(command[1:]).command == "serve"


def test_the_sockets_have_the_names_that_the_server_knows() -> None:
    names = {path.name: read_unit(path)["Socket"] for path in UNITS if path.suffix == ".socket"}

    assert names["pytp-broker.socket"]["FileDescriptorName"] == "clients"
    assert names["pytp-broker-metrics.socket"]["FileDescriptorName"] == "metrics"
    assert names["pytp-broker-metrics.socket"]["ListenStream"].startswith("127.0.0.1:")


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """Return a folder with the units, whose program exists."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze, of the package systemd")
    for path in UNITS:
        text = path.read_text().replace("/opt/pytp-broker/bin/pytp-broker", sys.executable)
        (tmp_path / path.name).write_text(text)
    return tmp_path


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def test_systemd_accepts_every_unit(units: Path) -> None:
    ended = analyze("verify", *sorted(units.iterdir()))

    ours = [line for line in (ended.stdout + ended.stderr).splitlines() if "pytp-broker" in line]
    assert ours == []
    assert ended.returncode == 0, ended.stderr


def test_systemd_calls_the_service_protected(units: Path) -> None:
    ended = analyze(
        "security", "--offline=true", f"--threshold={MAX_EXPOSURE}", units / SERVICE.name
    )

    assert ended.returncode == 0, ended.stdout[-1000:] + ended.stderr
