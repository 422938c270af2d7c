"""The command ``pytp-broker``: run a broker here, bring a deployed one up to date, see it work."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from pytp_broker.cli import apply, audit, demo, explain, schema, secret, serve, token, validate
from pytp_broker.cli.command import FAILED, CommandError, say
from pytp_broker.display import legible

_COMMANDS: Final = (serve, apply, validate, explain, token, audit, schema, secret, demo)
# The extra that brings what a command imports when it runs.
_EXTRAS: Final = {
    "pydantic": "cli",
    **dict.fromkeys(("trustme", "uv", "uvicorn", "yaml"), "local"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0 done, 1 failed, 2 misused."""
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # `| head` has seen enough. What is still buffered goes nowhere, or Python would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except CommandError as error:
        say(*error.lines, file=sys.stderr)
        return error.status
    except ModuleNotFoundError as error:
        if error.name not in _EXTRAS:
            raise
        extra = f"pytp-broker[{_EXTRAS[error.name]}]"
        print(f"this command needs {error.name}: pip install '{extra}'", file=sys.stderr)
        return FAILED
    return status


class _Parser(argparse.ArgumentParser):
    """argparse's, but a token among the arguments is not said again. Commands inherit it."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and exit with 2."""
        super().error(legible(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="pytp-broker",
        description="Trusted publishing for your own Python package registries.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in _COMMANDS:
        summary = (module.__doc__ or "").partition("\n")[0]
        name = module.__name__.rpartition(".")[2]
        command = commands.add_parser(name, help=summary, description=summary)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser
