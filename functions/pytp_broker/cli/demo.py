"""Show an exchange and an upload on one screen, with real uv, a broker and its index."""

import argparse

from pytp_broker.cli.command import FAILED, CommandError


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """Declare no arguments: the command takes none."""


def run(_arguments: argparse.Namespace) -> int:
    """Play the story; fail at the first step that goes wrong, or raise CommandError."""
    from pytp_broker.demo.clients import StepError
    from pytp_broker.demo.story import play

    try:
        return 0 if play() else FAILED
    except StepError as error:
        raise CommandError(str(error).splitlines()) from None
