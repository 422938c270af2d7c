"""docs/publish.md says what the command takes and how it ends."""

import argparse
import re
from pathlib import Path

from pytp_broker.cli import publish
from pytp_broker.cli.command import FAILED, INTERRUPTED, MISUSED
from pytp_broker.client.publishing.finishing import WAIT_SECONDS
from pytp_broker.client.uploads.api import PAUSES, PROCESSING_SECONDS

PAGE = (Path(__file__).parents[4] / "docs/publish.md").read_text()


def test_the_page_lists_every_option() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    publish.add_arguments(parser)

    known = {action.option_strings[0] for action in parser._actions if action.option_strings}
    assert set(re.findall(r"^\| `(--[a-z-]+)", PAGE, re.MULTILINE)) == known


def test_the_page_lists_every_exit_status() -> None:
    rows = re.findall(r"^\| ([0-9, ]+) \|", PAGE, re.MULTILINE)

    statuses = {0, FAILED, MISUSED, publish.TRY_AGAIN, INTERRUPTED, publish.TERMINATED}
    assert {int(status) for row in rows for status in row.split(", ")} == statuses


def test_the_page_says_how_long_the_command_waits() -> None:
    assert (len(PAUSES) + 1, max(PAUSES)) == (5, 10)
    assert "sent again, up to five times, with pauses that grow to ten seconds" in PAGE
    assert (WAIT_SECONDS, "for at most five minutes" in PAGE) == (300, True)
    assert (PROCESSING_SECONDS, "longer than half an hour" in PAGE) == (1800, True)
