"""Say how a release compares with the one before it, in words and as JSON types."""

from collections.abc import Iterator
from typing import Any

from pytp_broker.client.verifying.history import Comparison, History
from pytp_broker.provenance.continuity import Continuity
from pytp_broker.redaction import legible


def describe_history(history: History) -> dict[str, Any]:
    """Return the comparisons as JSON types."""
    attested = history.attested
    return {
        "project": history.project,
        "version": str(history.version),
        **_describe(history.published),
        "attested": None if attested is None else _describe(attested),
    }


def lines_of_history(history: History) -> Iterator[str]:
    """Yield the comparisons in words: a line for each, and one for each change."""
    name = f"{history.project} {history.version}"
    yield from _lines(f"{name}:", "provenance", history.published)
    if history.attested is not None:
        yield from _lines(f"{name}:", "attestations", history.attested)


def _describe(comparison: Comparison) -> dict[str, Any]:
    found = comparison.continuity
    return {
        "words": None if found is None else [word.value for word in found.words],
        "comparedWith": None if found is None else found.compared_with,
        "newSources": [] if found is None else [str(source) for source in found.added],
        "goneSources": [] if found is None else [str(source) for source in found.removed],
        "detail": comparison.why_not or None,
    }


def _lines(begin: str, what: str, comparison: Comparison) -> Iterator[str]:
    found = comparison.continuity
    if found is None:
        why_not = legible(comparison.why_not)
        yield f"{begin} {what} not compared with earlier releases: {why_not}"
        return
    yield f"{begin} {_said(found, what)}"
    for label, sources in (("new", found.added), ("gone", found.removed)):
        for source in sources:
            yield f"  {label:13}{legible(str(source))}"


def _said(found: Continuity, what: str) -> str:
    words = ", ".join(word.value for word in found.words)
    if found.compared_with is None:
        return f"{words} {what}; no earlier release has any"
    return f"{words} {what}, compared with {legible(found.compared_with)}"
