"""What does an operator type? This room has a file for each subcommand of ``pytp-broker``."""

import argparse
import os
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final, NoReturn

from pytp_broker import __version__
from pytp_broker.cli.command import FAILED, INTERRUPTED, MISUSED, CommandError, say
from pytp_broker.redaction import legible

# Each is a module of this room. Only the one that somebody types is imported, because an install
# may have the libraries of one command and not those of another.
_COMMANDS: Final = (
    "serve",
    "plan",
    "apply",
    "export",
    "doctor",
    "validate",
    "explain",
    "registry",
    "publisher",
    "reader",
    "issuer",
    "token",
    "project",
    "file",
    "release",
    "receipt-key",
    "backup",
    "restore",
    "import",
    "trust-root",
    "audit",
    "schema",
    "secret",
    "login",
    "logout",
    "publish",
    "session",
    "run",
    "proxy",
    "verify",
    "probe",
    "demo",
)
# The libraries that an install may lack. A command that lacks one names an extra: the command's own
# if it has one, and with it come all libraries that the command needs.
_AWS: Final = frozenset({"boto3", "botocore"})
_LIBRARIES: Final = _AWS | {
    "cryptography",
    "h11",
    "jwt",
    "keyring",
    "multipart",
    "prometheus_client",
    "pydantic",
    "rfc3161_client",
    "pypi_attestations",
    "sigstore",
    "tomli_w",
    "tuf",
    "uv",
    "uvicorn",
    "yaml",
    "zlib_ng",
}
_OWN_EXTRAS: Final = {
    "demo": "demo",
    "doctor": "serve",
    "login": "keyring",
    "logout": "keyring",
    "serve": "serve",
    "trust-root": "attestations",
    "verify": "verify",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status, as the operator's page lists them."""
    parser = _parser()
    try:
        arguments = parser.parse_args(argv)
        if arguments.command is None:
            parser.print_help()
            return MISUSED
        with _missing_extra_named(arguments.command):
            status: int = arguments.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # A reader such as `| head` has stopped reading. The rest of the buffer goes to the null
        # device; otherwise Python would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except CommandError as error:
        say(*error.lines, file=sys.stderr)
        return error.status
    return status


@contextmanager
def _missing_extra_named(command: str) -> Iterator[None]:
    """Raise CommandError, which names the extra, if the command lacks a library of one."""
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in _LIBRARIES:
            raise
        extra = _extra_with(library, command)
        raise CommandError(
            f"`{command}` needs {library}: pip install 'pytp-broker[{extra}]'"
        ) from None


def _extra_with(library: str, command: str) -> str:
    """Return the extra that a command needs for a library."""
    if (command, library) == ("verify", "rfc3161_client"):
        return "timestamps"
    return "aws" if library in _AWS else _OWN_EXTRAS.get(command, "cli")


class _Parser(argparse.ArgumentParser):
    """argparse's parser, but its errors do not repeat a token. Commands inherit it."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and exit with 2, or with the status that the command has for it."""
        self.print_usage(sys.stderr)
        status = self.get_default("misused") or MISUSED
        self.exit(status, f"{self.prog}: error: {legible(message)}\n")


class _CommandParser(_Parser):
    """The parser of one command, which imports the command's module when it is first used.

    A subcommand, such as `list` of `token`, has no name here: its command has declared it.
    """

    name = ""

    def parse_known_args(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - argparse's
        """Declare the command's arguments, then parse; raise CommandError."""
        if self.name and self.get_default("run") is None:
            with _missing_extra_named(self.name):
                module = import_module(f"pytp_broker.cli.{_module(self.name)}")
            module.add_arguments(self)
            self.set_defaults(run=module.run)
        found, unknown = super().parse_known_args(*arguments, **options)
        if self.name and unknown:  # here and not in the parser of all commands: it is this one's
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="pytp-broker",
        description="Trusted Publishing for your own Python package registries.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", dest="command", parser_class=_CommandParser
    )
    for name in _COMMANDS:
        summary = _summary(name)
        commands.add_parser(name, help=summary, description=summary).name = name
    return parser


def _summary(name: str) -> str:
    """Return what a command does: the first line of its module, which is not imported for it."""
    source = pkgutil.get_data(__name__, f"{_module(name)}.py") or b""
    return source.decode().split('"""')[1].partition("\n")[0]


def _module(name: str) -> str:
    """Return the module of a command, which has no hyphen in its name."""
    return name.replace("-", "_")
