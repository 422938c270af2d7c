"""Attestations of files, and an attester that says what a test wants."""

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

from pytp_broker.errors import StoreUnavailable
from pytp_broker.provenance.attester import (
    AttestationQuestion,
    AttestationState,
    AttestationStatus,
)
from pytp_broker.trust.providers import PROVIDERS
from tests.support.claims import captured
from tests.support.distributions import Distribution
from tests.support.sigstores import PUBLISH, statement

PENDING: Final = AttestationState(AttestationStatus.PENDING)
VERIFIED: Final = AttestationState(AttestationStatus.VERIFIED)
UNVERIFIED: Final = AttestationState(AttestationStatus.UNVERIFIED, "of a private Sigstore")
REFUSED: Final = AttestationState(AttestationStatus.REFUSED, "of another publisher")


class SayingAttester:
    """An Attester that answers ``state``, or cannot if that is None; it keeps the questions."""

    def __init__(self, state: AttestationState | None = VERIFIED) -> None:
        self.state = state
        self.questions: list[AttestationQuestion] = []

    def verify(self, question: AttestationQuestion) -> AttestationState:
        self.questions.append(question)
        if self.state is None:
            raise StoreUnavailable("attestations cannot be verified now; try again")
        return self.state


def attestation(filename: str, sha256: str, kind: str = PUBLISH, **changes: Any) -> dict[str, Any]:
    """Return an attestation whose form is right, though nobody has signed it."""
    return attestation_of(statement(filename, sha256, kind, **changes))


def attestation_of(payload: bytes) -> dict[str, Any]:
    """Return an attestation of any bytes."""
    return {
        "version": 1,
        "verification_material": {
            "certificate": _base64(b"a certificate"),
            "transparency_entries": [{"logIndex": "3"}],
        },
        "envelope": {"statement": _base64(payload), "signature": _base64(b"a signature")},
    }


def attest(distribution: Distribution, *kinds: str) -> str:
    """Return the JSON array that a client sends with a file."""
    named = distribution.filename, distribution.sha256
    return json.dumps([attestation(*named, kind) for kind in kinds or (PUBLISH,)])


def recorded(provider: str, **changes: str) -> dict[str, str]:
    """Return what the record of a file says after the captured job of a provider published it."""
    claims, names = captured(provider), PROVIDERS[provider].recorded.items()
    known = {name: claims[claim] for name, claim in names if claims.get(claim)}
    return {"issuer": claims["iss"], "provider": provider, **known, **changes}


def changed(document: Mapping[str, Any], path: str, value: object) -> dict[str, Any]:
    """Return a document with one member changed, such as `envelope.statement`."""
    copy, place, name = _copy(document, path)
    place[name] = value
    return copy


def without(document: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return a document that lacks one member."""
    copy, place, name = _copy(document, path)
    del place[name]
    return copy


def _copy(document: Mapping[str, Any], path: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Return a copy of a document, the object in it that a path leads to, and the last name."""
    copy = json.loads(json.dumps(document))
    *outer, last = path.split(".")
    place = copy
    for name in outer:
        place = place[name]
    return copy, place, last


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()
