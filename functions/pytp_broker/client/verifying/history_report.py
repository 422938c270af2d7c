"""Say how a release compares with the one before it, in words and as JSON types."""

from collections.abc import Iterator
from typing import Any

from pytp_broker.client.verifying.history import History
from pytp_broker.provenance.continuity import Continuity
from pytp_broker.redaction import legible


def describe_history(history: History) -> dict[str, Any]:
    """Return the comparison as JSON types."""
    found = history.continuity
    return {
        "project": history.project,
        "version": str(history.version),
        "words": None if found is None else [word.value for word in found.words],
        "comparedWith": None if found is None else found.compared_with,
        "newSources": [] if found is None else [str(source) for source in found.added],
        "goneSources": [] if found is None else [str(source) for source in found.removed],
        "detail": history.why_not or None,
    }


def lines_of_history(history: History) -> Iterator[str]:
    """Yield the comparison in words: a line for the release, and one for each change."""
    name = f"{history.project} {history.version}"
    if history.continuity is None:
        yield f"{name}: not compared with earlier releases: {legible(history.why_not)}"
        return
    yield f"{name}: {_said(history.continuity)}"
    for label, sources in (("new", history.continuity.added), ("gone", history.continuity.removed)):
        for source in sources:
            yield f"  {label:13}{legible(str(source))}"


def _said(found: Continuity) -> str:
    words = ", ".join(word.value for word in found.words)
    if found.compared_with is None:
        return f"{words} provenance; no earlier release has any"
    return f"{words} provenance, compared with {legible(found.compared_with)}"
