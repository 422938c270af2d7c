"""A release is compared with the one before it, by the receipts of their files."""

from dataclasses import replace
from typing import Any

import pytest
from packaging.version import Version

from pytp_broker.client.verifying import history
from pytp_broker.client.verifying.attestations import AttestationChecks
from pytp_broker.client.verifying.history import Comparison, History, find_histories
from pytp_broker.client.verifying.index_evidence import Network, open_index
from pytp_broker.client.verifying.offers import read_offers
from pytp_broker.client.verifying.verifier import Verifier
from pytp_broker.names import normalize
from pytp_broker.provenance.receipts import Kind, Publication
from tests.support.distributions import Distribution, sdist, wheel
from tests.support.proofs import INDEX, JOB, NOW, SigningRegistry

OTHER = replace(JOB, claims={**JOB.claims, "repository": "octo-org/evil"})
IMPORT = Publication(kind=Kind.IMPORT)
Published = tuple[Distribution, Publication]


def compare(
    registry: SigningRegistry, *published: Published, version: str = "1.0", times: int = 1
) -> list[History]:
    for file, publication in published:
        released = file.filename.split("-")[1].removesuffix(".tar.gz")
        registry.publish(file, version=released, publication=publication)
    registry.show("widgets", *(file for file, _ in published))
    evidence = open_index(INDEX, None, Network(registry.send, lambda _: None, {}))
    verifier = Verifier(evidence, AttestationChecks(lambda: None), None, lambda: NOW)
    release = (normalize("widgets"), Version(version))
    return find_histories([release] * times, evidence, verifier, 2)


def words(registry: SigningRegistry, *published: Published, version: str = "1.0") -> list[str]:
    (found,) = compare(registry, *published, version=version)
    assert found.published.continuity is not None, found.published.why_not
    return [word.value for word in found.published.continuity.words]


def whl(version: str) -> Distribution:
    return wheel(version=version)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (JOB, JOB, ["full"]),
        (IMPORT, JOB, ["full"]),
        (JOB, OTHER, ["full", "changed"]),
        (JOB, IMPORT, ["no", "lost"]),
        (IMPORT, IMPORT, ["no"]),
        (JOB, replace(JOB, issuer="https://other.example.com"), ["full", "changed"]),
        (JOB, replace(JOB, pins={"repository_owner_id": "1"}), ["full", "changed"]),
    ],
)
def test_a_release_is_compared_with_the_one_before_it(
    registry: SigningRegistry, before: Publication, now: Publication, expected: list[str]
) -> None:
    assert words(registry, (whl("0.9"), before), (whl("1.0"), now)) == expected


def test_another_ref_of_the_same_workflow_is_no_change(registry: SigningRegistry) -> None:
    ref = "refs/tags/v0.9"
    workflow = f"octo-org/widgets/.github/workflows/release.yml@{ref}"
    before = replace(JOB, claims={**JOB.claims, "ref": ref, "workflow": workflow})

    assert words(registry, (whl("0.9"), before), (whl("1.0"), JOB)) == ["full"]


def test_a_workflow_at_an_unknown_ref_is_known_by_its_file(registry: SigningRegistry) -> None:
    before = replace(JOB, claims={n: c for n, c in JOB.claims.items() if n not in {"ref", "sha"}})

    assert words(registry, (whl("0.9"), before), (whl("1.0"), JOB)) == ["full"]


def test_a_generic_job_is_known_by_its_publishers(registry: SigningRegistry) -> None:
    generic = replace(JOB, provider="generic", claims={"actor": "run 1"})
    other_run = replace(generic, claims={"actor": "run 2"})

    assert words(registry, (whl("0.9"), generic), (whl("1.0"), other_run)) == ["full"]


def test_an_account_is_known_by_its_name(registry: SigningRegistry) -> None:
    account = replace(JOB, claims={"actor": "ci@example.com"})

    assert words(registry, (whl("0.9"), account), (whl("1.0"), account)) == ["full"]


def test_files_of_one_release_may_come_from_several_jobs(registry: SigningRegistry) -> None:
    assert words(registry, (whl("1.0"), JOB), (sdist(), OTHER)) == ["full", "inconsistent"]


def test_releases_without_provenance_are_passed_over(registry: SigningRegistry) -> None:
    found = [(whl("0.8"), JOB), (whl("0.9"), IMPORT), (whl("1.0"), OTHER)]

    (compared,) = compare(registry, *found)

    assert compared.published.continuity is not None
    assert compared.published.continuity.compared_with == "0.8"


def test_a_later_release_is_not_compared_with(registry: SigningRegistry) -> None:
    """A fix of an old version comes after a new one: the order is that of the uploads."""
    found = [(whl("1.0"), JOB), (whl("2.0"), OTHER)]

    assert words(registry, *found) == ["full"]


def test_a_release_is_compared_once(registry: SigningRegistry) -> None:
    assert len(compare(registry, (whl("1.0"), JOB), times=3)) == 1


def test_a_release_that_is_not_listed_is_not_compared(registry: SigningRegistry) -> None:
    (found,) = compare(registry, (whl("0.9"), JOB))

    assert found == History(
        normalize("widgets"),
        Version("1.0"),
        Comparison(why_not="the index does not list the release"),
    )


def test_an_earlier_file_without_a_good_receipt_is_said(registry: SigningRegistry) -> None:
    stranger = registry.receipt(whl("0.9"), version="0.9", registry="other")
    compare(registry, (whl("0.9"), JOB), (whl("1.0"), JOB))
    registry.publish(whl("0.9"), version="0.9", registry=stranger.registry)

    evidence = open_index(INDEX, None, Network(registry.send, lambda _: None, {}))
    verifier = Verifier(evidence, AttestationChecks(lambda: None), None, lambda: NOW)
    release = (normalize("widgets"), Version("1.0"))
    (found,) = find_histories([release], evidence, verifier, 1)

    assert found.published.why_not == f"{whl('0.9').filename} is not verified (other-registry)"


def test_only_so_many_releases_are_asked_for(
    registry: SigningRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MOST_RELEASES", 1)
    found = [(whl("0.8"), JOB), (whl("0.9"), IMPORT), (whl("1.0"), JOB)]

    (compared,) = compare(registry, *found)

    assert compared.published.why_not == "the 1 releases before it have no provenance"


def test_only_so_many_files_are_asked_for(
    registry: SigningRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MOST_FILES", 1)

    (compared,) = compare(registry, (whl("1.0"), JOB), (sdist(), JOB))

    assert compared.published.why_not == "a release has more than 1 files"


FILE: dict[str, Any] = {
    "filename": whl("1.0").filename,
    "hashes": {"sha256": "a" * 64},
    "upload-time": "2026-11-28T12:00:00.000000Z",
}


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"files": 1},
        {"files": [1]},
        {"files": [FILE | {"filename": 1}]},
        {"files": [FILE | {"filename": "notes.txt"}]},
        {"files": [FILE | {"hashes": 1}]},
        {"files": [FILE | {"hashes": {}}]},
        {"files": [FILE | {"upload-time": None}]},
        {"files": [FILE | {"upload-time": "yesterday"}]},
    ],
)
def test_what_a_page_does_not_say_well_is_left_out(document: dict[str, Any]) -> None:
    assert list(read_offers(document)) == []
    assert len(list(read_offers({"files": [FILE]}))) == 1
