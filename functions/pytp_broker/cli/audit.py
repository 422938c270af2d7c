"""Print what operators did: changes to the configuration, tokens, releases and projects."""

import argparse
import json

from pytp_broker.cli import target


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "Prints JSON lines, the oldest first. The records of requests are in the broker's logs."
    )
    target.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the records; raise CommandError."""
    with target.opened(arguments, "read the records", is_for_writing=False) as operator:
        for record in operator.store.list_operator_records():
            print(json.dumps(record))
    return 0
