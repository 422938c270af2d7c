"""A server that stops while clients with kept connections go on asking."""

import asyncio
import socket
from collections.abc import Callable

from pytp_broker.local import server
from tests.support.gateways import Gateway, echo

REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


def stop(act: Callable[[socket.socket], object]) -> bytes:
    """Stop a server that has just answered a client; return what the client gets after its act."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        client.setblocking(False)
        return asyncio.run(_stop(listener, client, act))


async def _stop(
    listener: socket.socket, client: socket.socket, act: Callable[[socket.socket], object]
) -> bytes:
    loop, config = asyncio.get_running_loop(), server._configure(Gateway(echo).app, None)
    config.load()
    running = server._Server(config, lambda: None)
    running.lifespan = config.lifespan_class(config)
    await running.startup([listener])
    await loop.sock_connect(client, listener.getsockname())
    await loop.sock_sendall(client, REQUEST)
    assert await loop.sock_recv(client, 1000)
    act(client)
    await running.shutdown()  # before the server reads anything more
    try:
        return await loop.sock_recv(client, 1000)
    except ConnectionError:
        return b""


def test_a_request_that_was_sent_before_the_stop_is_answered_as_the_last_one() -> None:
    answer = stop(lambda client: client.send(REQUEST))

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nconnection: close\r\n" in answer


def test_a_client_that_asks_nothing_is_not_waited_for() -> None:
    assert stop(lambda _: None) == b""
