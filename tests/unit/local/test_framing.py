"""The end of a head, and the cost of finding it."""

import pytest

from pytp_broker.local import framing
from pytp_broker.local.framing import StrictConnection

HEAD = b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 1000 + b"\r\n\r\n"


def test_a_head_that_comes_byte_by_byte_is_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    searched = 0

    class Counting:
        def search(self, received: bytes, start: int) -> None:
            nonlocal searched
            searched += len(received) - start

    monkeypatch.setattr(framing, "_END_OF_HEAD", Counting())
    connection = StrictConnection()
    for octet in HEAD[:-2]:
        connection.receive_data(bytes([octet]))
        connection.next_event()

    assert searched <= 3 * len(HEAD)
