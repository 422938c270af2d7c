"""The configuration file: any document is accepted, or its mistakes are named."""

import copy
import time
import tomllib
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytp_broker import config
from pytp_broker.config import ConfigurationError
from pytp_broker.trust.providers import PROVIDERS
from tests.support.figures import INPUTS
from tests.support.world import CONFIGURATION

texts = st.text(max_size=40)
KNOWN = [
    "acme",
    "https://ci.example.com",
    "github",
    "*",
    "a*",
    "**",
    "[",
    "https://[::1",
    "x" * 300,
]
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | texts
    | st.sampled_from([*KNOWN, datetime(2026, 1, 1, tzinfo=UTC), date(2026, 1, 1)])
)
values = st.recursive(
    leaves, lambda v: st.lists(v, max_size=3) | st.dictionaries(texts, v, max_size=3), max_leaves=6
)
KEYS = [
    *("issuers", "registries", "enabled", "url", "provider", "algorithms", "jwks_hosts", "name"),
    *("hosts", "audience", "token_lifetime", "publishers", "projects", "issuer", "claims"),
    *("introspection_clients", "id", "secret_sha256", *PROVIDERS),
    *("repository", "workflow", "environment", "ref", "events"),
    *("readers", "read_token_lifetime", "max_file_size", "owner", "namespace", "domain", "account"),
    "require_attestations",
]


def parse(document: dict[str, Any]) -> None:
    """Parse a document quickly; only a ConfigurationError may be raised."""
    started_at = time.thread_time()
    try:
        config.parse(document, allow_loopback=False)
        INPUTS["good configurations"] += 1
    except ConfigurationError:
        INPUTS["bad configurations"] += 1
    assert time.thread_time() - started_at < 1


@given(st.dictionaries(st.sampled_from(KEYS) | texts, values, max_size=4))
def test_any_document(document: dict[str, Any]) -> None:
    parse(document)


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value in a document."""
    inner: Any = document.items() if isinstance(document, dict) else ()
    inner = enumerate(document) if isinstance(document, list) else inner
    return [path, *(place for key, value in inner for place in places(value, (*path, key)))]


GOOD = tomllib.loads(
    CONFIGURATION
    + """
[[registries.introspection_clients]]
id = "devpi"
secret_sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
[[issuers]]
url = "https://ci.example.com"
provider = "generic"
jwks_hosts = ["keys.example.com"]
"""
)


@given(st.sampled_from(places(GOOD)[1:]), values, st.sampled_from(KEYS))
def test_any_value_in_any_place(place: tuple[Any, ...], value: Any, key: str) -> None:
    for change in ("replace", "add"):
        document: Any = copy.deepcopy(GOOD)
        *path, last = place
        target = document
        for step in path:
            target = target[step]
        if change == "add" and isinstance(target, dict):
            target[key] = value
        else:
            target[last] = value
        parse(document)


@pytest.mark.parametrize(
    "host", ["a" * 60 + "_", "packages-of-the-whole-company_internal.example.com", "a." * 126 + "_"]
)
def test_a_mistake_in_a_long_host_name_is_found_at_once(host: str) -> None:
    """An earlier pattern took seconds for 26 characters, and twice as long for each further one."""
    parse({"registries": [{"name": "acme", "hosts": [host]}]})
    parse({"issuers": [{"url": f"https://{host}", "provider": "generic"}]})
