"""Which address and scheme the server takes for the client's, with and without proxies."""

import pytest

from pytp_broker.local.proxies import Proxies
from tests.support.gateways import Exchange, Gateway, echo

PEER, CLIENT, EDGE = "10.0.0.7", "192.0.2.1", "198.51.100.9"


@pytest.mark.parametrize(
    ("count", "forwarded_for", "address"),
    [
        (0, CLIENT, PEER),
        (1, CLIENT, CLIENT),
        (1, f"203.0.113.1, {CLIENT}", CLIENT),  # the client has written the first one itself
        (2, f"{CLIENT}, {EDGE}", CLIENT),
        (2, f"203.0.113.1,{CLIENT},{EDGE}", CLIENT),
        (2, EDGE, PEER),  # the request has not come through both
        (1, "2001:db8::1", "2001:db8::1"),
        (1, "", PEER),
        (1, "unknown", PEER),
        (1, "192.0.2.1:4711", PEER),
    ],
)
def test_the_address_is_the_one_that_the_outermost_proxy_has_seen(
    count: int, forwarded_for: str, address: str
) -> None:
    headers = {"x-forwarded-for": forwarded_for}

    assert Proxies(count).client_address(PEER, headers) == address


def test_a_request_without_the_header_comes_from_its_peer() -> None:
    assert Proxies(1).client_address(PEER, {}) == PEER


@pytest.mark.parametrize(
    ("count", "said", "scheme"),
    [
        (0, "https", "http"),
        (1, "https", "https"),
        (1, "http, https", "https"),
        (1, "gopher", "http"),
        (1, "", "http"),
    ],
)
def test_the_scheme_is_the_one_that_the_last_proxy_says(count: int, said: str, scheme: str) -> None:
    assert Proxies(count).client_scheme("http", {"x-forwarded-proto": said}) == scheme


@pytest.mark.promise("forwarded")
@pytest.mark.parametrize(("count", "address"), [(0, PEER), (1, CLIENT)])
def test_the_gateway_believes_the_header_only_if_it_is_told_so(count: int, address: str) -> None:
    gateway = Gateway(echo, proxies=count)

    gateway.answer(Exchange(address=PEER, x_forwarded_for=CLIENT))

    (line,) = gateway.lines
    assert line["source_ip"] == address
