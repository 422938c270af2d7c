"""The options of ``serve`` that say what an operator sees of it: the log, and the metrics."""

import argparse
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pytp_broker.cli.command import MISUSED, CommandError
from pytp_broker.cli.listening import LOOPBACK, Inherited, listen_on, port

if TYPE_CHECKING:
    from pytp_broker.local.certificates import CertificateFiles
    from pytp_broker.local.log import Log
    from pytp_broker.local.measures import Measures
    from pytp_broker.local.metrics import Metrics

    Certificate = Callable[[], CertificateFiles | None]

_FORMATS: Final = ("text", "json")


def add_arguments(group: "argparse._ArgumentGroup") -> None:
    """Declare the options."""
    group.add_argument(
        "--log-format",
        choices=_FORMATS,
        help="the form of the log on stderr: sentences, or JSON lines (default: text on a "
        "terminal, json elsewhere)",
    )

    group.add_argument(
        "--metrics-port",
        type=port,
        metavar="PORT",
        help="serve metrics for Prometheus on this port, over plain http (default: none)",
    )
    group.add_argument(
        "--metrics-host",
        metavar="ADDRESS",
        help=f"the address of that port (default: {LOOPBACK}); everybody who reaches it "
        "reads the metrics, which hold no secret",
    )


def check(arguments: argparse.Namespace) -> None:
    """Check the options before anything is written; raise CommandError."""
    if arguments.metrics_host is not None and arguments.metrics_port is None:
        raise CommandError("--metrics-host belongs to --metrics-port: give both", MISUSED)


def open_log(arguments: argparse.Namespace) -> "Log":
    """Return the log of the server, on stderr."""
    from pytp_broker.local.log import Log
    from pytp_broker.local.log_lines import form_for

    return Log(sys.stderr, form_for(arguments.log_format, sys.stderr))


class Seeing:
    """The measures of a server; without a port for metrics it takes none."""

    def __init__(self, measures: "Measures") -> None:
        self.measures = measures

    def start(self, folder: Path, certificate: "Certificate", stack: ExitStack) -> None:
        """Do nothing: nobody asks."""


class SeeingMetrics(Seeing):
    """The metrics of a server, on a port of their own."""

    def __init__(self, metrics: "Metrics", listener: socket.socket) -> None:
        super().__init__(metrics)
        self._metrics, self._listener = metrics, listener

    def start(self, folder: Path, certificate: "Certificate", stack: ExitStack) -> None:
        """Answer scrapers until the stack ends; they also see the folder's disk."""
        from pytp_broker.local.metrics_server import MetricsServer
        from pytp_broker.local.readings import Place

        self._metrics.locate(Place(folder, certificate))
        server = MetricsServer(self._listener, self._metrics.write)
        server.start()
        stack.callback(server.stop)


def open_metrics(arguments: argparse.Namespace, inherited: Inherited, stack: ExitStack) -> Seeing:
    """Return the measures of the server, whose port is bound then; raise CommandError."""
    if arguments.metrics_port is None and inherited.metrics is None:
        from pytp_broker.local.measures import UNMEASURED

        return Seeing(UNMEASURED)
    from pytp_broker.local.metrics import Metrics

    host = arguments.metrics_host or LOOPBACK
    listener = inherited.metrics or listen_on(host, arguments.metrics_port, stack)
    return SeeingMetrics(Metrics(), listener)
