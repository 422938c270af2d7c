"""Discover an issuer's key set (OpenID Connect Discovery §4): two documents, from allowed hosts."""

from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from pytp_broker.errors import InvalidPayload
from pytp_broker.oidc.documents import Fetch, FetchError, RawKeys
from pytp_broker.oidc.jwks import MAX_KEYS, PUBLIC_MEMBERS
from pytp_broker.registries import Issuer
from pytp_broker.strict_json import parse_json_object

_PORTS: Final = {"https": 443, "http": 80}


def fetch_key_set(issuer: Issuer, fetch: Fetch) -> RawKeys:
    """Return the public part of an issuer's keys, not yet parsed (OpenID Connect Discovery §4).

    Raises FetchError.
    """
    discovery_url = issuer.url.rstrip("/") + "/.well-known/openid-configuration"
    discovery = _parse(fetch(discovery_url))
    if discovery.get("issuer") != issuer.url:
        raise FetchError("the discovery document names another issuer")
    jwks_url = discovery.get("jwks_uri")
    if not isinstance(jwks_url, str) or not _may_fetch(jwks_url, issuer):
        raise FetchError("the discovery document's jwks_uri is not on an allowed host")
    keys = _parse(fetch(jwks_url)).get("keys")
    if not isinstance(keys, list):
        raise FetchError("the key set has no list of keys")
    return [
        {name: key[name] for name in PUBLIC_MEMBERS if name in key}
        for key in [key for key in keys if isinstance(key, dict)][:MAX_KEYS]
    ]


def _parse(body: bytes) -> dict[str, Any]:
    try:
        return parse_json_object(body)
    except InvalidPayload as problem:
        raise FetchError(problem.detail) from None


def _may_fetch(jwks_url: str, issuer: Issuer) -> bool:
    try:
        url, home = urlsplit(jwks_url), urlsplit(issuer.url)
        place = _place(url)
        is_listed = place in {_place(urlsplit(f"https://{host}")) for host in issuer.jwks_hosts}
        is_allowed = place == _place(home) or (is_listed and url.scheme == "https")
    except ValueError:
        return False
    # The configuration allows plain http only for an issuer on loopback, when the broker is local.
    is_plain = jwks_url.isascii() and jwks_url.isprintable() and not {" ", "#"} & {*jwks_url}
    return is_allowed and url.scheme == home.scheme and is_plain and "@" not in url.netloc


def _place(url: SplitResult) -> tuple[str | None, int]:
    """Return host and port in one spelling, because URLs may differ in it (RFC 3986 §6.2)."""
    return url.hostname, _PORTS.get(url.scheme, 0) if url.port is None else url.port
