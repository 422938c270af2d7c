"""A server verifies attestations itself, if the library for it is installed."""

import json
import sys
from pathlib import Path

import pytest

from pytp_broker.local.attester import LocalAttester
from pytp_broker.provenance.attester import (
    AttestationQuestion,
    AttestationState,
    AttestationStatus,
)
from tests.support.claims import captured
from tests.support.sigstores import Sigstore, github

FILE = "widgets-1.0-py3-none-any.whl"
HASH = "ab" * 32
PUBLISHER = {"kind": "GitHub", "repository": "octo-org/widgets", "workflow": "release.yml"}


def question(sigstore: Sigstore) -> AttestationQuestion:
    text = sigstore.attest(FILE, HASH, github(captured("github")))
    return AttestationQuestion(text, FILE, HASH, PUBLISHER)


def test_attestations_are_verified_with_the_trusted_root(tmp_path: Path) -> None:
    sigstore = Sigstore()
    attester = LocalAttester(sigstore.write_trusted_root(tmp_path / "trusted_root.json"))

    states = [attester.verify(question(sigstore)) for _ in range(2)]

    assert states == [AttestationState(AttestationStatus.VERIFIED)] * 2


def test_a_root_that_is_fetched_later_is_used(tmp_path: Path) -> None:
    first, second = Sigstore(), Sigstore()
    shipped = first.write_trusted_root(tmp_path / "shipped.json")
    attester = LocalAttester(tmp_path / "trusted_root.json", shipped)
    before = attester.verify(question(first))

    second.write_trusted_root(tmp_path / "trusted_root.json")

    assert before.status is AttestationStatus.VERIFIED
    assert attester.verify(question(second)).status is AttestationStatus.VERIFIED


def test_without_the_library_attestations_are_unverified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytp_broker.provenance.sigstore_checks", None)

    state = LocalAttester().verify(AttestationQuestion("[]", FILE, HASH, PUBLISHER))

    assert state.status is AttestationStatus.UNVERIFIED
    assert state.reason == "no-library: this server has no library for attestations"


def test_a_question_is_the_same_as_a_document() -> None:
    asked = question(Sigstore())

    assert AttestationQuestion.from_document(json.loads(json.dumps(asked.document()))) == asked


@pytest.mark.parametrize("status", AttestationStatus)
def test_an_answer_is_the_same_as_a_document(status: AttestationStatus) -> None:
    state = AttestationState(status, "why")

    assert AttestationState.from_document(json.loads(json.dumps(state.document()))) == state
