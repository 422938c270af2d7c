"""A release is compared with the one before it, by the attestations that are verified here."""

import json
from dataclasses import replace

import pytest
from packaging.version import Version

from pytp_broker.client.verifying.attestations import AttestationChecks
from pytp_broker.client.verifying.history import History, find_histories
from pytp_broker.client.verifying.history_report import describe_history, lines_of_history
from pytp_broker.client.verifying.index_evidence import Network, open_index
from pytp_broker.client.verifying.verifier import Verifier
from pytp_broker.names import normalize
from pytp_broker.provenance.attester import (
    AttestationQuestion,
    AttestationState,
    AttestationStatus,
    Attester,
)
from pytp_broker.provenance.receipts import Publication
from tests.support.distributions import Distribution, sdist, wheel
from tests.support.proofs import INDEX, JOB, NOW, SigningRegistry, url_of

OTHER = replace(JOB, claims={**JOB.claims, "repository": "octo-org/evil"})
OBJECT = {"version": 1, "attestation_bundles": [{"attestations": [{"version": 1}]}]}
Published = tuple[Distribution, Publication]


class Agreeing:
    """Says that all attestations are good, apart from those of some files."""

    def __init__(self, *unknown: Distribution) -> None:
        self.unknown = {file.filename for file in unknown}

    def verify(self, question: AttestationQuestion) -> AttestationState:
        if question.filename in self.unknown:
            return AttestationState(AttestationStatus.UNVERIFIED, "foreign-authority: of nobody")
        return AttestationState(AttestationStatus.VERIFIED)


def whl(version: str) -> Distribution:
    return wheel(version=version)


def compare(
    registry: SigningRegistry,
    *published: Published,
    attested: tuple[Distribution, ...],
    attester: Attester | None = None,
) -> History:
    """Return how `widgets 1.0` compares with the release before it."""
    for file, publication in published:
        version = file.filename.split("-")[1].removesuffix(".tar.gz")
        registry.publish(file, version=version, publication=publication)
        if file in attested:
            registry.serve(url_of(file, "provenance", version), json.dumps(OBJECT).encode())
    registry.show("widgets", *(file for file, _ in published), attested=attested)
    evidence = open_index(INDEX, None, Network(registry.send, lambda _: None, {}))
    verifier = Verifier(evidence, AttestationChecks(lambda: attester), None, lambda: NOW)
    release = (normalize("widgets"), Version("1.0"))
    (found,) = find_histories([release], evidence, verifier, 1)
    return found


def words(found: History) -> list[str]:
    assert found.attested is not None
    assert found.attested.continuity is not None, found.attested.why_not
    return [word.value for word in found.attested.continuity.words]


def test_a_project_without_attestations_is_not_compared_by_them(registry: SigningRegistry) -> None:
    found = compare(registry, (whl("0.9"), JOB), (whl("1.0"), JOB), attested=())

    assert found.attested is None


def test_attestations_that_a_release_has_lost_are_said(registry: SigningRegistry) -> None:
    """A thief of an upload token publishes as the job, and cannot attest as the job."""
    published = [(whl("0.9"), JOB), (whl("1.0"), JOB)]

    found = compare(registry, *published, attested=(whl("0.9"),), attester=Agreeing())

    assert [*lines_of_history(found)] == [
        "widgets 1.0: full provenance, compared with 0.9",
        "widgets 1.0: no, lost attestations, compared with 0.9",
    ]


def test_a_release_is_compared_with_the_latest_that_has_attestations(
    registry: SigningRegistry,
) -> None:
    published = [(whl("0.8"), JOB), (whl("0.9"), JOB), (whl("1.0"), JOB)]

    found = compare(registry, *published, attested=(whl("0.8"),), attester=Agreeing())

    assert describe_history(found)["comparedWith"] == "0.9"
    assert describe_history(found)["attested"] == {
        "words": ["no", "lost"],
        "comparedWith": "0.8",
        "newSources": [],
        "goneSources": [],
        "detail": None,
    }


def test_the_files_of_a_release_that_have_attestations_are_counted(
    registry: SigningRegistry,
) -> None:
    published = [(whl("1.0"), JOB), (sdist(), JOB)]

    found = compare(registry, *published, attested=(sdist(),), attester=Agreeing())

    assert words(found) == ["partial"]
    assert [*lines_of_history(found)][1] == (
        "widgets 1.0: partial attestations; no earlier release has any"
    )


def test_attestations_of_another_repository_are_a_change(registry: SigningRegistry) -> None:
    files = (whl("0.9"), whl("1.0"))
    published = [(files[0], JOB), (files[1], OTHER)]

    found = compare(registry, *published, attested=files, attester=Agreeing())

    assert words(found) == ["full", "changed"]


@pytest.mark.parametrize(
    ("attester", "why"),
    [
        (None, "not checked: install 'pytp-broker[attestations]' to check them"),
        (Agreeing(whl("0.9")), "unverified: foreign-authority: of nobody"),
    ],
)
def test_attestations_that_are_not_verified_here_are_not_compared(
    registry: SigningRegistry, attester: Attester | None, why: str
) -> None:
    """Otherwise a release of which nobody can verify anything looked as if it lost nothing."""
    published = [(whl("0.9"), JOB), (whl("1.0"), JOB)]

    found = compare(registry, *published, attested=(whl("0.9"),), attester=attester)

    assert [*lines_of_history(found)][1] == (
        "widgets 1.0: attestations not compared with earlier releases: the attestations of "
        f"{whl('0.9').filename} are not verified here: {why}"
    )


def test_attestations_that_the_index_links_and_does_not_have_are_not_compared(
    registry: SigningRegistry,
) -> None:
    compare(registry, (whl("1.0"), JOB), attested=(whl("1.0"),), attester=Agreeing())
    registry.serve(url_of(whl("1.0"), "provenance"), status=404)
    evidence = open_index(INDEX, None, Network(registry.send, lambda _: None, {}))
    verifier = Verifier(evidence, AttestationChecks(Agreeing), None, lambda: NOW)

    (found,) = find_histories([(normalize("widgets"), Version("1.0"))], evidence, verifier, 1)

    assert found.attested is not None
    assert found.attested.continuity is None
    assert found.attested.why_not.endswith("are not verified here: none")
