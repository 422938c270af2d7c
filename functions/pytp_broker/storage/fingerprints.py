"""Fingerprints: hashes that tell two states of a store, two configurations or two plans apart.

A plan that somebody has looked at may be executed only on the state that it was made from. Pins are
in no fingerprint: a job's first exchange makes them at any time, and every plan hands them on.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from pytp_broker.registries import Configuration
from pytp_broker.storage.plan import Part, Plan, Setup, merge
from pytp_broker.trust.publishers import TrustedPublisher

# Each exchange of projects, and each new publisher, gets new values of these members.
_OF_THE_STORE = frozenset({"publisher_id", "generation"})


def state_of(setup: Setup) -> str:
    """Return the fingerprint of what a store holds."""
    return _hash((*at, _document(part)) for at, part in setup.parts().items())


def wish_of(configuration: Configuration, publishers: Iterable[TrustedPublisher]) -> str:
    """Return the fingerprint of what a configuration asks for, however it is written down."""
    wanted = Setup(configuration, merge(publishers))
    return _hash((*at, _wish(_document(part))) for at, part in wanted.parts().items())


def fingerprint(plan: Plan) -> str:
    """Return the fingerprint of a plan: of the state that it begins with, and of its steps."""
    steps = ((s.verb, s.kind, s.key, _wish(_document(s.after))) for s in plan.steps)
    return _hash([("state", state_of(plan.present)), *steps])


def _document(part: Part | None) -> Any:  # noqa: ANN401 - any JSON type
    if isinstance(part, TrustedPublisher):
        document = part.document()
        return {**document, "projects": sorted(document["projects"])}
    return part if part is None or isinstance(part, bool) else part.document()


def _wish(document: Any) -> Any:  # noqa: ANN401 - any JSON type
    if not isinstance(document, Mapping):
        return document
    return {name: value for name, value in document.items() if name not in _OF_THE_STORE}


def _hash(entries: Iterable[tuple[Any, ...]]) -> str:
    whole = hashlib.sha256()
    for line in sorted(json.dumps(entry, sort_keys=True) for entry in entries):
        whole.update(f"{line}\n".encode())
    return whole.hexdigest()
