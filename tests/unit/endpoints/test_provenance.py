"""The provenance of a file, as PyPI's integrity API serves it (PEP 740)."""

import json
from typing import Any

import pytest
from pypi_attestations import Provenance

from pytp_broker.provenance.attester import AttestationState
from pytp_broker.registries import PRIVATE
from pytp_broker.storage.project_status import ProjectStatus
from tests.support.attesting import PENDING, REFUSED, UNVERIFIED, VERIFIED, attest
from tests.support.deployment import HOST, Answer
from tests.support.distributions import fields, sdist, wheel
from tests.support.samples import tombstone
from tests.support.shelf import Shelf
from tests.support.sigstores import SLSA, Sigstore, google

WHEEL = wheel()
INTEGRITY = "application/vnd.pypi.integrity.v1+json"
PATH = f"/acme/integrity/widgets/1.0/{WHEEL.filename}/provenance"
SIMPLE_JSON = "application/vnd.pypi.simple.v1+json"


def stocked(state: AttestationState = VERIFIED, sent: str | None = None) -> Shelf:
    """Return a shelf with a file whose attestations have this state."""
    shelf = Shelf()
    sent = attest(WHEEL) if sent is None else sent
    assert shelf.publish(WHEEL, fields(WHEEL, attestations=sent)).status == 200
    shelf.store.save_attestation_state("acme", "widgets", WHEEL.filename, state)
    shelf.records.clear()
    return shelf


def entry(shelf: Shelf) -> Any:
    (file,) = shelf.get("/acme/simple/widgets/", SIMPLE_JSON).json["files"]
    return file


def refused(answer: Answer, status: int = 404) -> str:
    assert answer.status == status
    return answer.detail


@pytest.mark.parametrize("state", [VERIFIED, UNVERIFIED])
def test_provenance_has_the_publisher_and_the_attestations(state: AttestationState) -> None:
    answer = stocked(state).get(PATH)

    assert answer.status == 200
    assert answer.json == {
        "version": 1,
        "attestation_bundles": [
            {
                "publisher": {
                    "kind": "pytp:ci",
                    "issuer": "https://token.actions.githubusercontent.com",
                    "claims": {"repository": "octo-org/widgets", "sha": "f00d"},
                },
                "attestations": json.loads(attest(WHEEL)),
            }
        ],
    }


def test_pypis_library_reads_the_provenance_of_a_job_that_it_knows() -> None:
    sigstore = Sigstore()
    shelf = stocked(
        sent=sigstore.attest(WHEEL.filename, WHEEL.sha256, google("robot@acme.example.com"))
    )
    (name,) = shelf.store.files
    identity = {"issuer": "https://accounts.google.com", "actor": "robot@acme.example.com"}
    object.__setattr__(shelf.store.files[name], "published_by", identity)

    read = Provenance.model_validate_json(shelf.get(PATH).body)

    (bundle,) = read.attestation_bundles
    assert bundle.publisher.model_dump() == {"kind": "Google", "email": "robot@acme.example.com"}
    assert bundle.attestations[0].statement["subject"][0]["name"] == WHEEL.filename


def test_two_attestations_are_served_together() -> None:
    shelf = stocked(sent=attest(WHEEL, SLSA, "https://docs.pypi.org/attestations/publish/v1"))

    (bundle,) = shelf.get(PATH).json["attestation_bundles"]
    assert len(bundle["attestations"]) == 2


# --- negotiation and caching ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, INTEGRITY),
        ("*/*", INTEGRITY),
        (INTEGRITY, INTEGRITY),
        (f"application/json, {INTEGRITY}", INTEGRITY),
        ("application/json", "application/json"),
        ("application/*", INTEGRITY),
    ],
)
def test_the_type_is_the_one_that_is_accepted(accept: str | None, content_type: str) -> None:
    answer = stocked().get(PATH, accept)

    assert (answer.status, answer.headers["Content-Type"]) == (200, content_type)
    assert answer.headers["Vary"] == "Accept, Accept-Encoding"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_another_type_is_not_acceptable() -> None:
    assert INTEGRITY in refused(stocked().get(PATH, "text/html"), 406)


def test_a_cache_asks_each_time_whether_it_has_the_current_one() -> None:
    shelf = stocked()
    first = shelf.get(PATH)

    assert "must-revalidate" in first.headers["Cache-Control"]
    assert shelf.get(PATH, if_none_match=first.headers["ETag"]).status == 304


def test_head_has_no_body() -> None:
    answer = stocked().call("HEAD", PATH)

    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 0


# --- what is not served ---------------------------------------------------------------------------


@pytest.mark.promise("linked-if-verified")
@pytest.mark.parametrize(
    ("state", "words"),
    [
        (PENDING, "its attestations are pending"),
        (REFUSED, f"its attestations are refused ({REFUSED.reason})"),
    ],
)
def test_attestations_that_are_not_good_are_not_served(state: AttestationState, words: str) -> None:
    assert refused(stocked(state).get(PATH)) == (
        f"no provenance is available for `{WHEEL.filename}`: {words}"
    )


def test_a_file_without_attestations_has_no_provenance() -> None:
    shelf = Shelf()
    shelf.publish(WHEEL)

    assert "it has no attestations" in refused(shelf.get(PATH))


@pytest.mark.parametrize(
    "path",
    [
        PATH.replace("widgets/1.0", "gadgets/1.0"),
        PATH.replace("/1.0/", "/1.1/"),
        PATH.replace("/1.0/", "/x/"),
        PATH.replace(WHEEL.filename, sdist().filename),
        PATH.replace(WHEEL.filename, "x"),
    ],
)
def test_a_file_that_is_not_there_has_no_provenance(path: str) -> None:
    assert refused(stocked().get(path)).startswith("there is no such file in this registry")


def test_a_spelling_of_the_name_or_the_version_does_not_matter() -> None:
    assert stocked().get(PATH.replace("widgets/1.0/", "Widgets/1.0.0/")).status == 200


def test_a_deleted_file_has_no_provenance() -> None:
    shelf = stocked()
    shelf.store.delete_file("acme", "widgets", WHEEL.filename, tombstone())

    assert "has deleted" in refused(shelf.get(PATH))


def test_a_quarantined_file_has_no_provenance() -> None:
    shelf = stocked()
    shelf.store.set_status("acme", "widgets", ProjectStatus("quarantined", "malware"))

    assert "malware" in refused(shelf.get(PATH))


def test_attestations_that_are_lost_are_our_fault() -> None:
    shelf = stocked()
    shelf.files.contents.clear()

    assert refused(shelf.get(PATH), 503)


def test_a_private_registry_shows_no_provenance_to_strangers() -> None:
    shelf = stocked()
    shelf.change(access=PRIVATE)

    assert shelf.get(PATH).status == 401
    answer = shelf.get(PATH, authorization=shelf.basic())
    assert answer.status == 200
    assert answer.headers["Vary"] == "Accept, Accept-Encoding, Authorization"


# --- pages for installers -------------------------------------------------------------------------


def test_the_page_of_a_project_leads_to_verified_provenance() -> None:
    shelf = stocked()

    assert entry(shelf)["provenance"] == f"https://{HOST}{PATH}"
    html = shelf.get("/acme/simple/widgets/", "text/html").text
    assert f'data-provenance="https://{HOST}{PATH}"' in html
    assert shelf.get(entry(shelf)["provenance"].removeprefix(f"https://{HOST}")).status == 200


@pytest.mark.promise("linked-if-verified")
@pytest.mark.parametrize("state", [PENDING, UNVERIFIED, REFUSED])
def test_it_leads_to_no_provenance_that_is_not_verified(state: AttestationState) -> None:
    shelf = stocked(state)

    assert "provenance" not in entry(shelf)
    assert "data-provenance" not in shelf.get("/acme/simple/widgets/", "text/html").text


def test_it_leads_to_none_without_tls() -> None:
    shelf = stocked()

    answer = shelf.call("GET", "/acme/simple/widgets/", headers={"accept": SIMPLE_JSON, **PLAIN})

    assert "provenance" not in answer.json["files"][0]


PLAIN = {"x-forwarded-proto": "http"}


def test_a_registry_with_a_host_of_its_own_leads_there() -> None:
    shelf = stocked()
    shelf.change(hosts=("acme.example.com",))

    page = shelf.call(
        "GET", "/simple/widgets/", headers={"accept": SIMPLE_JSON}, host="acme.example.com"
    )

    (file,) = page.json["files"]
    assert file["provenance"] == "https://acme.example.com" + PATH.removeprefix("/acme")
