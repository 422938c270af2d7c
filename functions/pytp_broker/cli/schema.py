"""Print the JSON Schema of the configuration file, for editors."""

import argparse
import json


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """Declare no arguments: the command takes none."""


def run(_arguments: argparse.Namespace) -> int:
    """Print the schema."""
    from pytp_broker.config import json_schema

    print(json.dumps(json_schema(), indent=2))
    return 0
