"""Look at a broker for everything that could be wrong, and say how to cure it."""

import argparse
import json
import re
import ssl
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pytp_broker.cli import target
from pytp_broker.cli.command import (
    FAILED,
    MISUSED,
    CommandError,
    add_config_argument,
    load_configuration,
)
from pytp_broker.doctor.findings import Finding, Outcome
from pytp_broker.redaction import legible, printable
from pytp_broker.storage.data_folder import DATABASE, has_database

if TYPE_CHECKING:
    from pytp_broker.aws.deployments import Address
    from pytp_broker.doctor.arrival import Asked

_MARKS: Final = {
    Outcome.OK: "✓",
    Outcome.WARNING: "!",
    Outcome.FAULT: "✗",
    Outcome.NOT_CHECKED: "\N{EN DASH}",
}
# For a terminal or a file whose encoding does not have these.
_PLAIN_MARKS: Final = {**_MARKS, Outcome.OK: "+", Outcome.FAULT: "x", Outcome.NOT_CHECKED: "-"}
_STYLES: Final = {
    Outcome.OK: "green",
    Outcome.WARNING: "yellow",
    Outcome.FAULT: "bold red",
    Outcome.NOT_CHECKED: "dim",
}
_NAME_WIDTH: Final = 24


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "Prints one line for each check: whether all is well, a warning, a fault with its cure, or "
        "why it was not checked. It changes nothing. Exits with 1 if there is a fault."
    )
    parser.add_argument(
        "--url",
        metavar="URL",
        help="the broker's address, or the upload URL of one of its registries (default: what the "
        "stack or the server of the data folder says)",
    )
    parser.add_argument(
        "--ca-bundle",
        type=Path,
        metavar="FILE",
        help="the authorities to trust (default: those of the environment, as for clients; with "
        "--data also the folder's own)",
    )
    parser.add_argument(
        "--connect",
        type=_place,
        metavar="HOST:PORT",
        help="connect to this address instead of the URL's, for example before DNS names it",
    )
    add_config_argument(parser, required=False)
    parser.add_argument(
        "--thorough",
        action="store_true",
        help="look at every project and file, and compare the hash of each file",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    target.add_arguments(parser, required=False, has_bucket=True)


def _place(text: str) -> tuple[str, int]:
    found = re.fullmatch(r"(\[[0-9A-Fa-f:]+\]|[^:/@\s]+):([0-9]{1,5})", text)
    if found is None or int(found[2]) >= 1 << 16:
        raise argparse.ArgumentTypeError(f"{printable(text)} is not of the form HOST:PORT")
    return found[1].strip("[]"), int(found[2])


def run(arguments: argparse.Namespace) -> int:
    """Print what the checks find; return 1 if there is a fault. Raises CommandError."""
    from pytp_broker.doctor.arrival import arrived
    from pytp_broker.doctor.catalogue import CHECKS
    from pytp_broker.doctor.runner import run as run_checks
    from pytp_broker.doctor.web import BadUrlError

    asked = _asked(arguments)
    counts: Counter[Outcome] = Counter()
    try:
        with arrived(asked) as (visit, found):
            findings = _counted(_both(found, run_checks(CHECKS, visit)), counts)
            if arguments.json:
                _print_json(findings, counts)
            else:
                _print_lines(findings, counts)
    except BadUrlError:
        raise CommandError(
            f"--url: `{printable(arguments.url)}` is not the URL of a broker; write "
            "https://packages.example.com, or a registry's upload URL",
            MISUSED,
        ) from None
    return FAILED if counts[Outcome.FAULT] else 0


def _asked(arguments: argparse.Namespace) -> "Asked":
    """Return what the options name; raise CommandError."""
    from pytp_broker.doctor.arrival import Asked

    data: Path | None = arguments.data
    address = _address(arguments)
    if data is None and address is None and arguments.url is None:
        raise CommandError("give --url, --data, --stack or --table: one of them at least", MISUSED)
    if data is not None and not has_database(data):
        raise CommandError(f"{data} is not the data folder of a broker: it has no {DATABASE}")
    loaded = None
    if arguments.config:
        loaded = load_configuration(arguments.config, allow_loopback=address is None)
    ca_file = _check_authorities(arguments.ca_bundle)
    return Asked(
        arguments.url, ca_file, arguments.connect, data, address, loaded, arguments.thorough
    )


def _check_authorities(path: Path | None) -> str | None:
    """Return the name of a file with certificates; raise CommandError."""
    if path is None:
        return None
    try:
        ssl.create_default_context(cafile=path)
    except OSError:  # ssl.SSLError is one
        raise CommandError(f"--ca-bundle: {path} has no certificates in PEM", MISUSED) from None
    return str(path)


def _address(arguments: argparse.Namespace) -> "Address | None":
    if arguments.stack is None and arguments.table is None:
        return None
    from pytp_broker.aws.deployments import Address

    place = (arguments.stack, arguments.table, arguments.bucket)
    return Address(*place, arguments.region, arguments.endpoint_url)


def _both(first: Iterable[Finding], then: Iterable[Finding]) -> Iterator[Finding]:
    yield from first
    yield from then


def _counted(findings: Iterable[Finding], counts: Counter[Outcome]) -> Iterator[Finding]:
    for finding in findings:
        counts[finding.outcome] += 1
        yield finding


def _print_json(findings: Iterable[Finding], counts: Counter[Outcome]) -> None:
    found = [
        {
            "name": finding.name,
            "outcome": finding.outcome.value,
            "seen": legible(finding.seen),
            "cure": legible(finding.cure) or None,
        }
        for finding in findings
    ]
    names = {each.value.replace("-", "_"): counts[each] for each in Outcome}
    print(json.dumps({"findings": found, "counts": names}, indent=2))


def _print_lines(findings: Iterable[Finding], counts: Mapping[Outcome, int]) -> None:
    is_terminal = sys.stdout.isatty()
    for finding in findings:
        if is_terminal:
            _print_styled(finding)
        else:
            _print_plain(finding)
    print(_closing(counts))


def _print_plain(finding: Finding) -> None:
    mark = _marks()[finding.outcome]
    print(legible(f"{mark:<2}{finding.name:<{_NAME_WIDTH}} {_seen(finding)}"), flush=True)
    if finding.cure:
        print(legible(f"{'':<{_NAME_WIDTH + 3}}cure: {finding.cure}"), flush=True)


def _print_styled(finding: Finding) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console, style = Console(), _STYLES[finding.outcome]
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=1)
    grid.add_column(width=_NAME_WIDTH)
    grid.add_column(overflow="fold")
    mark, name = Text(_marks()[finding.outcome][:1], style), Text(legible(finding.name), style)
    grid.add_row(mark, name, Text(legible(_seen(finding))))
    if finding.cure:
        grid.add_row(Text(), Text(), Text(legible(f"cure: {finding.cure}"), "bold"))
    with console.capture() as captured:
        console.print(grid)
    print(captured.get(), end="", flush=True)


def _seen(finding: Finding) -> str:
    return f"not checked: {finding.seen}" if _is_open(finding) else finding.seen


def _is_open(finding: Finding) -> bool:
    return finding.outcome is Outcome.NOT_CHECKED


def _marks() -> dict[Outcome, str]:
    try:
        "".join(_MARKS.values()).encode(sys.stdout.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return _PLAIN_MARKS
    return _MARKS


def _closing(counts: Mapping[Outcome, int]) -> str:
    words = {
        Outcome.OK: ("well", "well"),
        Outcome.WARNING: ("warning", "warnings"),
        Outcome.FAULT: ("fault", "faults"),
        Outcome.NOT_CHECKED: ("not checked", "not checked"),
    }
    return ", ".join(
        f"{counts[outcome]} {one if counts[outcome] == 1 else many}"
        for outcome, (one, many) in words.items()
    )
