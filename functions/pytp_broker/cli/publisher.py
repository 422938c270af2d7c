"""List the trusted publishers, or show one, even if it was removed."""

import argparse
from typing import Final

from pytp_broker.cli import actions, trusted
from pytp_broker.cli.items import publisher_item
from pytp_broker.cli.listing import Column

_PUBLISHERS: Final = trusted.Kind(
    "publisher",
    is_reader=False,
    columns=(
        Column("id", "id"),
        Column("registry", "registry"),
        Column("provider", "provider"),
        Column("identity", "identity"),
        Column("projects", "projects"),
    ),
    describe=publisher_item,
)

run = actions.run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    trusted.add_arguments(parser, _PUBLISHERS)
