"""Content negotiation: the type, encoding, copy and range of bytes that a client asks for."""

import re
from collections.abc import Container, Mapping
from typing import Final

JSON: Final = "application/vnd.pypi.simple.v1+json"
HTML: Final = "application/vnd.pypi.simple.v1+html"
PLAIN_HTML: Final = "text/html"
PLAIN_JSON: Final = "application/json"

# The better type comes first, for a client that prefers neither. Browsers and curl send a wildcard;
# a client that reads only JSON does not.
_TYPES: Final[Mapping[str, str]] = {
    JSON: JSON,
    "application/vnd.pypi.simple.latest+json": JSON,
    HTML: HTML,
    "application/vnd.pypi.simple.latest+html": HTML,
    PLAIN_HTML: PLAIN_HTML,
    "text/*": PLAIN_HTML,
    "*/*": PLAIN_HTML,
}
_RANKS: Final = {name: -rank for rank, name in enumerate(_TYPES)}

_GZIP_NAMES: Final = ("gzip", "x-gzip")
_QUALITY: Final = re.compile(r"[01](?:\.[0-9]{0,3})?")
# 18 digits: more than any file has bytes.
_RANGE: Final = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


def choose_type(accept: str) -> str:
    """Return the content type that the client likes best (RFC 9110 §12.5.1).

    Without a match it returns HTML, because the simple API prefers that to 406.
    """
    preferences = (_parse_preference(element) for element in accept.lower().split(","))
    acceptable = [(quality, _RANKS[name]) for name, quality in preferences if name in _RANKS]
    quality, rank = max(acceptable, default=(0.0, 0))
    return list(_TYPES.values())[-rank] if quality > 0 else PLAIN_HTML


def choose_json(accept: str, own: str) -> str | None:
    """Return which the client likes better: a JSON type of our own, or plain JSON.

    Ours is the better one for a client that prefers neither; None if it accepts neither. For each
    type, the most specific element of the header counts (RFC 9110 §12.5.1).
    """
    qualities = dict(map(_parse_preference, (accept or "*/*").lower().split(",")))
    found = {name: _quality_of(name, qualities) for name in (own, PLAIN_JSON)}
    best = max(found, key=found.__getitem__)
    return best if found[best] > 0 else None


def _quality_of(name: str, qualities: Mapping[str, float]) -> float:
    named = [each for each in (name, "application/*", "*/*") if each in qualities]
    return qualities[named[0]] if named else 0.0


def accepts(accept: str, names: Container[str]) -> bool:
    """Say whether the client accepts one of these types at all."""
    preferences = (_parse_preference(element) for element in accept.lower().split(","))
    return any(name in names and quality > 0 for name, quality in preferences)


def prefers_html(accept: str) -> bool:
    """Say whether a client is a browser: it names plain HTML, and likes nothing better.

    Installers like JSON better, and other programs accept anything.
    """
    qualities = dict(map(_parse_preference, accept.lower().split(",")))
    return qualities.get(PLAIN_HTML, 0.0) == max(qualities.values()) > 0


def takes_gzip(accept_encoding: str) -> bool:
    """Say whether the client takes gzip, and likes it no less than no encoding (RFC 9110 §12.5.3).

    A client without the header could take any encoding, but programs that send none often cannot.
    """
    qualities = dict(map(_parse_preference, accept_encoding.lower().split(",")))
    named = [qualities[name] for name in _GZIP_NAMES if name in qualities]
    quality = max(named, default=qualities.get("*", 0.0))
    return quality > 0 and quality >= qualities.get("identity", 0.0)


def _parse_preference(element: str) -> tuple[str, float]:
    name, *parameters = (part.strip() for part in element.split(";"))
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            value = value.strip()
            return name, float(value) if _QUALITY.fullmatch(value) else 0.0
    return name, 1.0


def has_current(headers: Mapping[str, str], etag: str) -> bool:
    """Say whether the client has this representation (If-None-Match, RFC 9110 §13.1.2)."""
    tags = [tag.strip().removeprefix("W/") for tag in headers.get("if-none-match", "").split(",")]
    return etag in tags or tags == ["*"]


def requested_range(headers: Mapping[str, str], etag: str, size: int) -> range | None:
    """Return the bytes asked for, or None for all of them (RFC 9110 §14.2).

    An empty range is one that cannot be satisfied. Several ranges at once are ignored, as any
    server may.
    """
    match = _RANGE.fullmatch(headers.get("range", ""))
    if match is None or headers.get("if-range", etag) != etag:
        return None
    first, last = match.groups()
    if not first:
        return range(max(0, size - int(last)), size) if last else None
    if last and int(last) < int(first):
        return None
    return range(int(first), min(size, int(last) + 1) if last else size)
