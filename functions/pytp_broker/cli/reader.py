"""List the readers, which may install from private registries, or show one."""

import argparse
from typing import Final

from pytp_broker.cli import actions, trusted
from pytp_broker.cli.items import reader_item
from pytp_broker.cli.listing import Column

_READERS: Final = trusted.Kind(
    "reader",
    is_reader=True,
    columns=(
        Column("id", "id"),
        Column("registry", "registry"),
        Column("provider", "provider"),
        Column("identity", "identity"),
    ),
    describe=reader_item,
)

run = actions.run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    trusted.add_arguments(parser, _READERS)
