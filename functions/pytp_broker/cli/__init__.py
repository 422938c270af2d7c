"""What does an operator type? This room has a file for each subcommand of ``pytp-broker``."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from pytp_broker import __version__
from pytp_broker.cli import (
    apply,
    audit,
    demo,
    explain,
    project,
    release,
    schema,
    secret,
    serve,
    token,
    validate,
)
from pytp_broker.cli.command import FAILED, MISUSED, CommandError, say
from pytp_broker.redaction import legible

_COMMANDS: Final = (
    serve,
    apply,
    validate,
    explain,
    token,
    release,
    project,
    audit,
    schema,
    secret,
    demo,
)
# Modules that the extras install. A command that needs one names its extra at once.
_EXTRAS: Final = frozenset({"pydantic", "uv", "uvicorn", "yaml"})
_LOCAL: Final = frozenset({"demo", "serve"})


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0 done, 1 failed, 2 misused."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help()
        return MISUSED
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # A reader such as `| head` has stopped reading. The rest of the buffer goes to the null
        # device; otherwise Python would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except CommandError as error:
        say(*error.lines, file=sys.stderr)
        return error.status
    except ModuleNotFoundError as error:
        if error.name not in _EXTRAS:
            raise
        extra = "local" if arguments.command in _LOCAL else "cli"
        print(
            f"`{arguments.command}` needs {error.name}: pip install 'pytp-broker[{extra}]'",
            file=sys.stderr,
        )
        return FAILED
    return status


class _Parser(argparse.ArgumentParser):
    """argparse's parser, but its errors do not repeat a token. Commands inherit it."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and exit with 2."""
        super().error(legible(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="pytp-broker",
        description="Trusted Publishing for your own Python package registries.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for module in _COMMANDS:
        summary = (module.__doc__ or "").partition("\n")[0]
        name = module.__name__.rpartition(".")[2]
        command = commands.add_parser(name, help=summary, description=summary)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser
