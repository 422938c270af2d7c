"""Show an exchange and an upload on one screen, with real uv, a broker and its index."""

import argparse


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes: nothing."""


def run(_arguments: argparse.Namespace) -> int:
    """Play the story; fail at the first step that goes wrong."""
    from pytp_broker.demo.story import play  # noqa: TID251 - this command is the exception

    return play()
