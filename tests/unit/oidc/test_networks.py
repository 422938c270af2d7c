"""Addresses that an issuer's document is fetched from: none inside the network of the broker."""

import socket
from ipaddress import ip_address
from typing import Any

import pytest

from pytp_broker.oidc import sockets
from pytp_broker.oidc.fetch import HttpFetch
from pytp_broker.oidc.networks import is_public
from tests.support.configurations import mistakes
from tests.support.lookups import NAME, never, refusal_of, resolve

NOT_PUBLIC = [
    "127.0.0.1",
    "127.255.0.1",
    "0.0.0.0",  # noqa: S104 - a destination here
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "100.127.255.254",
    "169.254.169.254",
    "169.254.170.2",
    "192.0.0.8",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.1.2.3",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:8.8.8.8",
    "::ffff:0:a9fe:a9fe",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",
    "100::1",
    "2001::a9fe:a9fe",
    "2001:db8::1",
    "2002:a9fe:a9fe::1",
    "2002:7f00:1::",
    "3fff::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%lo",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.promise("own-network")
@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_a_name_that_leads_inside_is_refused_before_anything_is_sent(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, address)
    monkeypatch.setattr(sockets, "_open", never)

    refusal = refusal_of(HttpFetch(only_public=True), f"https://{NAME}/jwks")

    assert refusal == "the issuer's host has no address that the broker may connect to"


@pytest.mark.parametrize(
    "host",
    [
        *("0x7f.1", "2130706433", "0177.0.0.1", "127.1", "127.0.0.1", "localhost"),
        *("[::1]", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]"),
    ],
)
def test_an_address_is_refused_however_it_is_written(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "_open", never)

    refusal = refusal_of(HttpFetch(only_public=True), f"https://{host}/jwks")

    assert refusal == "the issuer's host has no address that the broker may connect to"


@pytest.mark.row("A056")
@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "100.64.0.1", "169.254.169.254", "fd00::1"),
        *("::ffff:169.254.169.254", "0x7f.1", "64:ff9b::a9fe:a9fe"),
    ],
)
def test_an_issuer_inside_the_network_is_neither_configured_nor_fetched(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = f"[{address}]" if ":" in address else address
    (line,) = mistakes(f'[[issuers]]\nurl = "https://{host}"\nprovider = "gitlab"\n')
    assert "must name its host by a fully qualified name" in line

    # A name is looked up when it is fetched from, not when it is configured: it may change.
    found = socket.getaddrinfo(address, 443, type=socket.SOCK_STREAM)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    monkeypatch.setattr(sockets, "_open", never)
    refused = refusal_of(HttpFetch(only_public=True), f"https://{NAME}/jwks")
    assert refused == "the issuer's host has no address that the broker may connect to"


def test_only_public_addresses_of_a_name_are_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def refuse(entry: Any, _: float) -> socket.socket:
        tried.append(entry[4][0])
        raise ConnectionRefusedError

    monkeypatch.setattr(sockets, "_open", refuse)
    resolve(monkeypatch, "10.0.0.1", "8.8.8.8", "fd00::1", "2606:4700::1111", "127.0.0.1")

    assert "cannot be reached" in refusal_of(HttpFetch(only_public=True), f"https://{NAME}/jwks")
    assert tried == ["8.8.8.8", "2606:4700::1111"]


@pytest.mark.parametrize("address", ["8.8.8.8", "140.82.112.22", "2606:50c0:8000::153", "2a00::1"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ip_address(address))


def test_plain_http_isnever_fetched_from_the_public(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, "8.8.8.8")
    monkeypatch.setattr(sockets, "_open", never)

    assert "cannot be reached (ValueError)" in refusal_of(
        HttpFetch(only_public=True), f"http://{NAME}/jwks"
    )
    assert "no address" in refusal_of(HttpFetch(only_public=False), f"http://{NAME}/jwks")
