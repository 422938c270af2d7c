"""Checks of every route, by requests that change nothing.

The endpoints say which paths there are, so a new one cannot be forgotten. A method that no endpoint
takes is refused by the endpoint itself, with the methods that it does take: that shows which one
was reached. What only a POST can reach is asked by an empty POST, which is refused, too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pytp_broker.doctor.findings import Finding, Flaw, NotCheckedError, well
from pytp_broker.doctor.web import Line, Seen, Web
from pytp_broker.http.paths import Path

if TYPE_CHECKING:
    from pytp_broker.doctor.visit import Visit

_METHOD: Final = "PATCH"
_NOT_FOUND, _NOT_ALLOWED, _TOO_MANY = 404, 405, 429
_ENOUGH: Final = 5
_GATEWAY_FAILURES: Final = (502, 503, 504)
# A value for each variable of a path. None of them names anything.
_VALUES: Final = {"sha256": "0" * 64, "filename": "doctor-0-py3-none-any.whl", "version": "0"}

ROUTE_MISSING: Final = Flaw(
    "route-missing",
    "let the gateway or the proxy pass {path} to the broker; on AWS, run sam deploy of this "
    "version",
)
ROUTE_SWALLOWED: Final = Flaw(
    "route-swallowed",
    "{path} leads to another endpoint: let the proxy pass it unchanged; on AWS, run sam deploy of "
    "this version, whose routes are more specific",
)
SERVER_FAILS: Final = Flaw(
    "function-fails", "look at the log of the function behind {path}: it fails at every request"
)


@dataclass(frozen=True, slots=True)
class Probe:
    """A path, and the methods that its endpoint takes."""

    path: Path
    methods: frozenset[str]

    def at(self, prefix: str) -> str:
        """Return the path of a request, as clients send it."""
        names = [part.strip("{+}") for part in str(self.path).split("/") if part.startswith("{")]
        return self.path.url(prefix, **{name: _VALUES.get(name, "doctor") for name in names})


def probes() -> Iterator[Probe]:
    """Yield a probe for every path of every function."""
    from pytp_broker.endpoints import broker, introspect, read, upload, web

    methods: dict[Path, frozenset[str]] = {}
    tables = (broker.ROUTES, upload.ROUTES, read.ROUTES, introspect.ROUTES, web.ROUTES)
    for routes in tables:
        for route in routes:
            methods[route.path] = methods.get(route.path, frozenset()) | {*route.methods}
    return (Probe(path, found) for path, found in methods.items())


def look_at_root_routes(visit: "Visit") -> Iterator[Finding]:
    """Probe every path at the root of the host."""
    return _look("", _web(visit))


def look_at_prefixed_routes(visit: "Visit") -> Iterator[Finding]:
    """Probe every path below the prefix of a registry."""
    prefixes = [seat.prefix for seat in visit.seats if seat.prefix]
    if not prefixes:
        raise NotCheckedError("no registry with a prefix is known: give its upload URL in --url")
    return _look(prefixes[0], _web(visit))


def _look(prefix: str, web: Web) -> Iterator[Finding]:
    """Probe one path after the other, until some have failed: then most of them would."""
    wanted, bad = [*probes()], 0
    with web.line() as line:
        for probe in wanted:
            for finding in _ask(probe, prefix, line):
                bad += 1
                yield finding
            if bad == _ENOUGH:
                return
    if not bad:
        yield well(f"all {len(wanted)} paths at {prefix or '/'} lead to their endpoints")


def _ask(probe: Probe, prefix: str, line: Line) -> Iterator[Finding]:
    path = probe.at(prefix)
    # Gateways differ in whether `/legacy/{proxy+}` takes `/legacy/`, and with this method nothing
    # else would.
    bare = path.rstrip("/") or "/"
    finding = _judge(bare, line.ask(_METHOD, bare), probe)
    if finding is None and "POST" in probe.methods:
        finding = _judge_post(path, line.ask("POST", path, b""))
    if finding is not None:
        yield finding


def _judge(path: str, seen: Seen, probe: Probe) -> Finding | None:
    """Return what is wrong with the answer to a method that no endpoint takes."""
    _check_throttle(path, seen)
    if seen.status in _GATEWAY_FAILURES or seen.status == 500:  # noqa: PLR2004 - RFC 9110
        return SERVER_FAILS.found(f"{_METHOD} {path} answered {seen}", path=path)
    if seen.status != _NOT_ALLOWED or not seen.code:
        return ROUTE_MISSING.found(f"{_METHOD} {path} answered {seen}, not 405", path=path)
    allowed = {each.strip() for each in seen.headers.get("allow", "").split(",")}
    if allowed != probe.methods:
        expected, found = ", ".join(sorted(probe.methods)), ", ".join(sorted(allowed))
        what = f"{path} takes {found or 'nothing'}, and its endpoint {expected}"
        return ROUTE_SWALLOWED.found(what, path=path)
    return None


def _judge_post(path: str, seen: Seen) -> Finding | None:
    """Return what is wrong with the answer to an empty POST."""
    _check_throttle(path, seen)
    if seen.status == _NOT_ALLOWED:
        return ROUTE_SWALLOWED.found(f"POST {path} answered {seen}", path=path)
    if seen.code == "not-found" and _is_nothing_here(seen):
        return ROUTE_MISSING.found(f"POST {path} answered {seen}", path=path)
    if not seen.code and "errors" not in seen.document:
        return ROUTE_MISSING.found(f"POST {path} answered {seen}, not as a broker", path=path)
    return None


def _is_nothing_here(seen: Seen) -> bool:
    # An endpoint may say this of a registry or a session; of an address it says what follows.
    return seen.text("detail").startswith("there is nothing at this address")


def _check_throttle(path: str, seen: Seen) -> None:
    if seen.status == _TOO_MANY:
        raise NotCheckedError(f"{path} answered {seen}: try again in a minute")


def _web(visit: "Visit") -> Web:
    assert visit.web is not None  # noqa: S101 - the check needs it
    return visit.web
