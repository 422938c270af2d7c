"""Show an exchange and an upload on one screen, with real uv, a broker and its index."""

import argparse

from pytp_broker.cli.command import FAILED, CommandError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--guard",
        choices=["pypiserver"],
        help="show another index behind a guard; it is installed from its package",
    )


def run(arguments: argparse.Namespace) -> int:
    """Play the story; fail at the first step that goes wrong, or raise CommandError."""
    from pytp_broker.demo import guard_story, story
    from pytp_broker.demo.clients import StepError

    play = guard_story.play if arguments.guard else story.play
    try:
        return 0 if play() else FAILED
    except StepError as error:
        raise CommandError(str(error).splitlines()) from None
