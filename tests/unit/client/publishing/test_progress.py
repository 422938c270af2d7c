"""Progress of a publication in a log, into which several threads write."""

import sys
from io import StringIO

import pytest

from pytp_broker.client.publishing.progress import Lines


class Log(StringIO):
    """A stream that keeps each write by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return len(text)


def test_a_line_is_one_write_so_that_no_other_thread_writes_into_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = Log()
    monkeypatch.setattr(sys, "stderr", log)

    Lines().tell("widgets-1.0.tar.gz: staged")

    assert log.writes == ["widgets-1.0.tar.gz: staged\n"]
