"""The members that a policy may expect, and how each is compared with a receipt."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pytp_broker.client.verifying.workflows import find_workflow_file
from pytp_broker.globs import glob_for, is_open
from pytp_broker.provenance.receipts import Kind, Receipt

_PRINTABLE: Final = re.compile(r"[^\x00-\x1f\x7f]{1,1000}")
_ISSUER: Final = re.compile(r"https?://[^\s*]+")
_REGISTRY: Final = re.compile(r"[^/\s*]+/[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a rule. ``find_mistake`` says what a text must be, if it is not that."""

    name: str
    read: Callable[[Receipt], str | None]
    find_mistake: Callable[[str], str | None]
    is_pattern: bool = True
    # What else a text may be compared with.
    read_short: Callable[[Receipt], str | None] = lambda _: None

    def check(self, text: object) -> str | None:
        """Return what is wrong with what the user wrote; None if it is good."""
        if not isinstance(text, str):
            return "must be a text"
        if not _PRINTABLE.fullmatch(text):
            return "must be a text of printable characters, and not empty"
        return self.find_mistake(text)

    def matches(self, expected: str, receipt: Receipt) -> bool:
        """Say whether a receipt says what is expected; a missing member is never that."""
        compare = glob_for(self.name) if self.is_pattern else str.__eq__
        seen = (self.read(receipt), self.read_short(receipt))
        return any(text is not None and compare(expected, text) for text in seen)


def check_members(expected: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong with members together."""
    if not expected:
        yield "expects nothing: name at least an `issuer` and a `repository`"
    claims = [name for name in expected if name in _CLAIMS]
    if claims and "issuer" not in expected:
        yield f"needs `issuer`: another issuer may have the same `{claims[0]}`"


def _claim(name: str) -> Member:
    return Member(
        name, lambda receipt: receipt.publication.claims.get(name), lambda text: _find(name, text)
    )


def _find(name: str, text: str) -> str | None:
    if not text.strip("*/:@#") or "**" in text:
        return "must have other characters besides `*`, and one `*` at a time"
    if is_open(name, text):
        return "a `*` must follow one of / : @ #, or begin the text"
    return None


def _find_in_issuer(text: str) -> str | None:
    return None if _ISSUER.fullmatch(text) else "must be the URL of an issuer, without `*`"


def _find_in_kind(text: str) -> str | None:
    kinds = [kind.value for kind in Kind]
    return None if text in kinds else f"must be one of {', '.join(kinds)}"


def _find_in_registry(text: str) -> str | None:
    if _REGISTRY.fullmatch(text):
        return None
    return "must be a host and a registry, as in packages.example.com/acme"


_CLAIMS: Final = ("repository", "workflow", "environment", "ref", "actor")
_WORKFLOW: Final = Member(
    "workflow",
    lambda receipt: receipt.publication.claims.get("workflow"),
    lambda text: _find("workflow", text),
    read_short=lambda receipt: find_workflow_file(receipt.publication),
)
_EXACT: Final = (
    Member("registry", lambda r: f"{r.host}/{r.registry}", _find_in_registry, is_pattern=False),
    Member("kind", lambda r: r.publication.kind.value, _find_in_kind, is_pattern=False),
    Member("issuer", lambda r: r.publication.issuer, _find_in_issuer, is_pattern=False),
)
# Each member that a rule may have, by its name.
MEMBERS: Final[Mapping[str, Member]] = {
    each.name: each
    for each in (*_EXACT, *(_WORKFLOW if n == "workflow" else _claim(n) for n in _CLAIMS))
}
