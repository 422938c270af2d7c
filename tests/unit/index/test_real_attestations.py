"""Real attestations of a Sigstore of our own: from the upload of a job to what a consumer reads."""

from dataclasses import replace

import pytest
from pypi_attestations import Provenance

from pytp_broker.provenance.attester import AttestationStatus
from pytp_broker.storage.file_records import PublishedFile
from tests.support.attesting import recorded
from tests.support.claims import captured
from tests.support.deployment import Answer
from tests.support.distributions import Distribution, fields, sdist, wheel
from tests.support.shared_sigstore import attester, sigstore
from tests.support.shelf import Shelf
from tests.support.sigstores import Identity, github

WHEEL = wheel()
CLAIMS = captured("github")


def shelf_of_a_job() -> Shelf:
    """Return a shelf whose token is that of the captured job of GitHub."""
    shelf = Shelf()
    record = shelf.store.tokens[shelf.token.lookup_id]
    identity = {name: text for name, text in recorded("github").items() if name != "issuer"}
    shelf.store.tokens[record.lookup_id] = replace(record, identity=identity)
    shelf.index = replace(shelf.index, attester=attester())
    return shelf


def publish(shelf: Shelf, identity: Identity, signed: Distribution = WHEEL) -> Answer:
    """Upload the wheel with attestations that a job with this identity has made."""
    sent = sigstore().attest(signed.filename, signed.sha256, identity)
    return shelf.publish(WHEEL, fields(WHEEL, attestations=sent))


def published(shelf: Shelf) -> PublishedFile:
    (file,) = shelf.store.files.values()
    return file


@pytest.mark.promise("verified-attestation")
def test_the_attestations_of_the_job_that_publishes_are_verified_and_served() -> None:
    shelf = shelf_of_a_job()

    assert publish(shelf, github(CLAIMS)).status == 200
    shelf.verify()

    assert published(shelf).is_attested
    path = f"/acme/integrity/widgets/1.0/{WHEEL.filename}/provenance"
    (bundle,) = Provenance.model_validate_json(shelf.get(path).body).attestation_bundles
    assert bundle.publisher.kind == "GitHub"


OTHERS = {
    "another repository": {"repository": "octo-org/other"},
    "another workflow": {
        "workflow_ref": "octo-org/widgets/.github/workflows/nightly.yml@refs/tags/v1.2.0"
    },
}


@pytest.mark.promise("verified-attestation")
@pytest.mark.parametrize("changes", OTHERS.values(), ids=OTHERS)
def test_those_of_another_job_are_refused_with_a_reason(changes: dict[str, str]) -> None:
    shelf = shelf_of_a_job()

    assert publish(shelf, github({**CLAIMS, **changes})).status == 200
    shelf.verify()

    state = published(shelf).attestation_state
    assert state is not None
    assert state.status is AttestationStatus.REFUSED
    assert state.reason


@pytest.mark.promise("required-attestations")
@pytest.mark.parametrize("changes", OTHERS.values(), ids=OTHERS)
def test_where_they_are_required_nothing_of_another_job_is_published(
    changes: dict[str, str],
) -> None:
    shelf = shelf_of_a_job()
    shelf.change(require_attestations=True)

    assert publish(shelf, github({**CLAIMS, **changes})).status == 400
    assert not shelf.store.files
    assert publish(shelf, github(CLAIMS)).status == 200
    assert published(shelf).is_attested


def test_those_of_another_file_are_refused_before_anybody_asks_who_made_them() -> None:
    shelf = shelf_of_a_job()

    assert "it is about `widgets-1.0.tar.gz`" in publish(shelf, github(CLAIMS), sdist()).detail


COMPANY = "https://ghes.example.com"


def shelf_of_a_company() -> Shelf:
    """Return a shelf whose token is that of a job of an issuer inside a company."""
    shelf = shelf_of_a_job()
    issuer = f"{COMPANY}/_services/token"
    (public,) = shelf.configuration.issuers.values()
    known = {public.url: public, issuer: replace(public, url=issuer)}
    shelf.configuration = replace(shelf.configuration, issuers=known)
    shelf.change(issuers=(issuer,))
    record = shelf.store.tokens[shelf.token.lookup_id]
    record = replace(record, issuer=issuer, provider="github")
    shelf.store.tokens[record.lookup_id] = record
    return shelf


@pytest.mark.promise("verified-attestation")
@pytest.mark.parametrize(
    ("identity", "status"),
    [
        (
            github({**CLAIMS, "iss": f"{COMPANY}/_services/token"}, COMPANY),
            AttestationStatus.VERIFIED,
        ),
        (github(CLAIMS), AttestationStatus.REFUSED),
    ],
    ids=["the company's job", "a job of the public service with the same names"],
)
def test_a_job_inside_a_company_is_never_taken_for_one_of_the_public_service(
    identity: Identity, status: AttestationStatus
) -> None:
    shelf = shelf_of_a_company()

    answer = publish(shelf, identity)
    shelf.verify()

    assert answer.status == 200
    state = published(shelf).attestation_state
    assert state is not None
    assert state.status is status
