"""The labels of metrics, each with few values that no request can choose.

A metric has a time series for each value, and keeps it until the server ends. So a path, a project,
an address, an issuer's URL or a code that we do not know never becomes a label.
"""

from typing import Final

from pytp_broker.audit.facts import NARROWER_REASONS
from pytp_broker.audit.record import Event
from pytp_broker.errors import Problem
from pytp_broker.http import paths
from pytp_broker.http.paths import below_prefix
from pytp_broker.local.objects import is_object

OTHER: Final = "other"
_OBJECT: Final = "staged object"
_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "POST", "PUT"})
# The longest paths first: a variable may take what another path names.
_BY_SEGMENTS: Final = sorted(paths.ALL, key=lambda path: "{" in str(path))


def route_of(path: str) -> str:
    """Return the endpoint of a decoded path, as ``http.paths`` declares it."""
    if is_object(path):
        return _OBJECT
    for place in (path, below_prefix(path)):
        for known in _BY_SEGMENTS:
            if known.match(place) is not None:
                return str(known)
    return OTHER


def method_of(method: str) -> str:
    """Return the method of a request, or ``other``."""
    return method if method in _METHODS else OTHER


def status_class(status: int) -> str:
    """Return the class of a status, such as ``4xx``."""
    return f"{status // 100}xx"


def event_of(name: str) -> str:
    """Return the name of an audit event that exists."""
    return name if name in _EVENTS else OTHER


def reason_of(reason: str) -> str:
    """Return a reason that an audit record may have; it is empty if there is none."""
    return reason if reason in _REASONS else OTHER


def _below(base: type[object]) -> set[type[object]]:
    return {base}.union(*(_below(each) for each in base.__subclasses__()))


_EVENTS: Final[set[str]] = {getattr(each, "name", "") for each in _below(Event)}
_REASONS: Final = {
    *(getattr(each, "code", "") for each in _below(Problem)),
    *NARROWER_REASONS,
    "",
}
