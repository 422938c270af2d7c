"""Where the files of releases come from, and the record of a publication that changes it."""

import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from packaging.version import Version

from pytp_broker.audit.findings import ProvenanceChange
from pytp_broker.index.provenance import (
    compare_releases,
    find_changes,
    group_releases,
    list_changes,
)
from pytp_broker.index.releases import key_of
from pytp_broker.making import Making
from pytp_broker.minting import make_to_upload
from pytp_broker.provenance.attester import AttestationState, AttestationStatus
from pytp_broker.registries import Issuer
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.withdrawals import Tombstone
from tests.support import distributions
from tests.support.distributions import Distribution, sdist, wheel
from tests.support.samples import NOW, file, release
from tests.support.shelf import IDENTITY, Shelf
from tests.support.signing import GITHUB
from tests.support.uploading import Uploader

GENERIC = "https://ci.example.com"
ISSUERS = {
    GITHUB: Issuer(GITHUB, "github", ("RS256",)),
    GENERIC: Issuer(GENERIC, "generic", ("RS256",)),
}
JOB = {"issuer": GITHUB, "repository": "octo-org/widgets"}
OPERATOR = {"operator": "user olive", "reason": "the CI is down"}
OTHER_FILE = "widgets-2.0-py3-none-any.whl"
STATES = {status.value: AttestationState(status) for status in AttestationStatus}


def published(
    version: str = "1.0", state: str = "", filename: str = "", **published_by: str
) -> PublishedFile:
    """Return a file of a release; the higher the version, the later it was published."""
    return file(
        filename or f"widgets-{version}.tar.gz",
        version=version,
        uploaded_at=NOW + timedelta(days=int(version[0])),
        published_by=published_by,
        attestation_state=STATES.get(state),
    )


def said(*files: PublishedFile) -> dict[str, str]:
    """Return the words for each release, by who published it."""
    found = compare_releases(group_releases(files), ISSUERS)
    return {
        key: " ".join(word.value for word in each.published.words) for key, each in found.items()
    }


def workflow(name: str, ref: str = "refs/tags/v1.0", **more: str) -> dict[str, str]:
    path = f"octo-org/widgets/.github/workflows/{name}@{ref}"
    return {**JOB, "workflow": path, "ref": ref, **more}


# --- sources --------------------------------------------------------------------------------------


def test_a_file_has_provenance_if_a_job_published_it() -> None:
    imported = {"imported_from": "https://old.example.com/simple/", "imported_by": "user olive"}

    assert said(published("1.0", **JOB)) == {"1": "full"}
    assert said(published("1.0", **OPERATOR)) == {"1": "no"}
    assert said(published("1.0", **imported)) == {"1": "no"}


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        (workflow("release.yml", "refs/tags/v2.0"), "full"),
        (workflow("release.yml", "refs/heads/main", actor="mona", run="2", sha="f00d"), "full"),
        ({**workflow("release.yml", "f00d", sha="f00d"), "ref": "refs/heads/main"}, "full"),
        ({**JOB, "workflow": workflow("release.yml")["workflow"]}, "full"),
        (workflow("nightly.yml"), "full changed"),
        (workflow("release.yml@refs/tags/x.yml"), "full changed"),
        ({**workflow("release.yml"), "repository": "mona/widgets"}, "full changed"),
        ({**workflow("release.yml"), "issuer": "https://other.example.com"}, "full changed"),
    ],
    ids=lambda each: each if isinstance(each, str) else each["workflow"],
)
def test_a_workflow_is_the_same_at_every_tag_and_for_every_actor(
    recorded: dict[str, str], expected: str
) -> None:
    before = published("1.0", **workflow("release.yml"))

    assert said(before, published("2.0", **recorded))["2"] == expected


def test_an_id_that_was_pinned_is_a_part_of_the_source() -> None:
    before = published("1.0", **JOB, repository_owner_id="9919")

    assert said(before, published("2.0", **JOB, repository_owner_id="9919"))["2"] == "full"
    assert said(before, published("2.0", **JOB, repository_owner_id="666"))["2"] == "full changed"


def test_a_job_of_a_generic_issuer_is_known_by_its_publishers() -> None:
    """Its subject may name the run, and then no two releases have the same."""
    job = {"issuer": GENERIC, "publishers": "id-1"}
    before = published("1.0", **job, actor="run:1")

    assert said(before, published("2.0", **job, actor="run:2"))["2"] == "full"
    other = {**job, "publishers": "id-2"}
    assert said(before, published("2.0", **other, actor="run:2"))["2"] == "full changed"


def test_the_provider_that_was_recorded_counts_when_the_issuer_is_gone() -> None:
    job = {"issuer": "https://gone.example.com", "provider": "github"}
    ids = {"repository": "octo-org/widgets", "repository_owner_id": "9919"}
    before = published("1.0", **job, **ids)

    after = published("2.0", **job, **{**ids, "repository_owner_id": "666"})
    assert said(before, after)["2"] == "full changed"


def test_a_record_of_an_older_version_is_known_by_its_subject() -> None:
    job = {"issuer": GENERIC, "actor": "project:1"}

    assert said(published("1.0", **job), published("2.0", **job))["2"] == "full"


def test_spellings_of_one_version_are_one_release() -> None:
    other = file("widgets-1.0.0-py3-none-any.whl", version="1.0.0", published_by=OPERATOR)

    assert said(published("1.0", **JOB), other) == {"1": "partial"}


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("verified", "full"),
        ("pending", "no"),
        ("unverified", "no"),
        ("refused", "no"),
        ("", "no"),
    ],
)
def test_only_verified_attestations_count_beside_the_publication(state: str, expected: str) -> None:
    found = compare_releases(group_releases([published("1.0", state, **JOB)]), ISSUERS)

    assert [word.value for word in found["1"].published.words] == ["full"]
    assert [word.value for word in found["1"].attested.words] == [expected]


# --- what a publication changes -------------------------------------------------------------------


def changes(*present: PublishedFile, by: PublishedFile) -> list[tuple[str, str, list[str]]]:
    found = list_changes(present, [by], ISSUERS)
    return [(each.basis, " ".join(each.provenance), list(each.new_sources)) for each in found]


NIGHTLY_TEXT = f"octo-org/widgets (.github/workflows/nightly.yml) at {GITHUB}"


def test_a_release_that_continues_leaves_no_record() -> None:
    present = published("1.0", **workflow("release.yml"))

    assert changes(present, by=published("2.0", **workflow("release.yml"))) == []
    assert changes(by=published("1.0", **OPERATOR)) == []
    assert changes(published("1.0", **OPERATOR), by=published("2.0", **JOB)) == []


def test_a_release_of_an_operator_has_lost_what_the_earlier_one_has() -> None:
    found = changes(published("1.0", **JOB), by=published("2.0", **OPERATOR))

    assert found == [("publication", "no lost", [])]


def test_a_new_source_is_named() -> None:
    present = published("1.0", **workflow("release.yml"))

    found = changes(present, by=published("2.0", **workflow("nightly.yml")))

    assert found == [("publication", "full changed", [NIGHTLY_TEXT])]


def test_a_source_that_a_file_adds_to_a_published_release_is_named() -> None:
    present = [published(version, **workflow("release.yml")) for version in ("1.0", "2.0")]
    more = published("2.0", filename=OTHER_FILE, **workflow("nightly.yml"))

    assert changes(*present, by=more) == [
        ("publication", "full changed inconsistent", [NIGHTLY_TEXT])
    ]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        (OPERATOR, []),
        (workflow("nightly.yml"), []),
        (workflow("third.yml"), [NIGHTLY_TEXT.replace("nightly", "third")]),
    ],
    ids=["lost already", "named already", "a third source"],
)
def test_what_is_known_of_a_release_is_not_recorded_again(
    by: dict[str, str], expected: list[str]
) -> None:
    first = OPERATOR if by is OPERATOR else workflow("nightly.yml")
    present = [published("1.0", **workflow("release.yml")), published("2.0", **first)]
    more = published("2.0", filename=OTHER_FILE, **by)

    found = changes(*present, by=more)

    assert [sources for _, _, sources in found] == ([expected] if expected else [])


def test_a_release_that_lacks_a_source_may_not_be_complete() -> None:
    wheels = published("1.0", filename=OTHER_FILE, **workflow("wheels.yml"))
    present = [published("1.0", **workflow("release.yml")), wheels]

    assert changes(*present, by=published("2.0", **workflow("release.yml"))) == []


def test_a_file_that_is_listed_already_is_no_reason_to_leave_out_the_record() -> None:
    """The listing may have it, if the last answer to the client was lost."""
    by = published("2.0", **OPERATOR)

    assert changes(published("1.0", **JOB), by, by=by) == [("publication", "no lost", [])]


@pytest.mark.promise("provenance-watched")
@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("", [("attestation", "no lost", [])]),
        ("refused", [("attestation", "no lost", [])]),
        ("pending", []),
        ("verified", []),
    ],
)
def test_a_release_without_attestations_has_lost_those_of_the_earlier_one(
    state: str, expected: list[Any]
) -> None:
    assert changes(published("1.0", "verified", **JOB), by=published("2.0", state, **JOB)) == (
        expected
    )


@pytest.mark.parametrize("seed", range(40))
def test_a_record_says_what_the_page_will_say(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    jobs = [workflow("release.yml"), workflow("nightly.yml"), OPERATOR]
    *present, last = [
        replace(
            published(f"{number // 2}.0", filename=f"widgets-{number}.whl", **chance.choice(jobs)),
            uploaded_at=NOW + timedelta(days=chance.randrange(4)),
        )
        for number in range(10)
    ]

    words = said(*present, last)[key_of(Version(last.version))]

    assert {found[1] for found in changes(*present, by=last)} <= {words}


def test_a_record_names_a_bounded_number_of_files_and_sources() -> None:
    many = [
        published("2.0", filename=f"widgets-2.0-{n}-py3-none-any.whl", **workflow(f"{n}.yml"))
        for n in range(150)
    ]

    (found,) = list_changes([published("1.0", **workflow("release.yml"))], many, ISSUERS)

    assert len(found.filenames) == 100
    assert len(found.new_sources) == 10


# --- by the two ways to upload --------------------------------------------------------------------


@pytest.fixture
def shelf() -> Shelf:
    """Return an index with a release that a job published."""
    shelf = Shelf()
    assert shelf.publish(wheel()).status == 200
    shelf.advance(days=1)
    shelf.records.clear()
    return shelf


def as_operator(shelf: Shelf) -> str:
    making = Making("user olive", reason="the CI is down")
    made = make_to_upload("acme", "widgets", making, timedelta(minutes=15), shelf.now)
    shelf.store.tokens[made.token.lookup_id] = made.record
    return shelf.basic(made.token)


def upload_as_operator(shelf: Shelf, distribution: Distribution) -> int:
    return shelf.post(distributions.form(distribution), as_operator(shelf)).status


def found_in(shelf: Shelf) -> list[Any]:
    return [each.facts for each in shelf.records if each.event == "provenance"]


@pytest.mark.promise("provenance-watched")
def test_an_upload_that_loses_the_provenance_of_a_project_leaves_a_record(shelf: Shelf) -> None:
    assert upload_as_operator(shelf, wheel(version="2.0")) == 200

    assert found_in(shelf) == [
        {
            "registry": "acme",
            "project": "widgets",
            "version": "2.0",
            "filenames": ["widgets-2.0-py3-none-any.whl"],
            "basis": "publication",
            "provenance": ["no", "lost"],
            "compared_with": "1.0",
            "new_sources": [],
        }
    ]
    events = [each.event for each in shelf.records]
    assert events == ["operators-token", "provenance", "upload"]


def test_the_message_says_it_in_one_line(shelf: Shelf) -> None:
    upload_as_operator(shelf, wheel(version="2.0"))

    (message,) = [each.message for each in shelf.records if each.event == "provenance"]
    assert message == (
        "provenance accepted: widgets 2.0 in acme: by publication: no, lost, compared with 1.0"
    )


def test_an_upload_that_continues_leaves_no_record_of_provenance(shelf: Shelf) -> None:
    shelf.token = shelf.mint()

    assert shelf.publish(wheel(version="2.0")).status == 200

    assert found_in(shelf) == []


@pytest.mark.promise("provenance-watched")
def test_a_session_that_changes_the_source_leaves_one_record(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(IDENTITY, "repository", "mona/widgets")
    shelf.token = shelf.mint()
    client = Uploader(shelf)
    session = client.begin("2.0")
    for distribution in (wheel(version="2.0"), sdist(version="2.0")):
        client.stage(session, distribution)

    client.publish(session)

    (found,) = found_in(shelf)
    assert found["provenance"] == ["full", "changed"]
    assert found["new_sources"] == [f"mona/widgets at {GITHUB}"]
    assert found["filenames"] == ["widgets-2.0-py3-none-any.whl", "widgets-2.0.tar.gz"]


def test_a_deleted_file_has_no_successor(shelf: Shelf) -> None:
    tombstone = Tombstone("malware", "user olive", shelf.now)
    shelf.store.delete_file("acme", "widgets", wheel().filename, tombstone)

    assert upload_as_operator(shelf, wheel(version="2.0")) == 200

    assert found_in(shelf) == []


@pytest.mark.promise("provenance-watched")
def test_nothing_is_published_without_the_look_at_earlier_releases(shelf: Shelf) -> None:
    shelf.store.fail_next("announce_file")

    assert upload_as_operator(shelf, wheel(version="2.0")) == 503

    assert wheel(version="2.0").filename not in shelf.filenames
    assert found_in(shelf) == []


@pytest.mark.promise("provenance-watched")
def test_the_record_is_there_before_the_file_is(shelf: Shelf) -> None:
    """If the answer of the decisive write is lost, the client's next upload changes nothing."""
    shelf.store.fail_next("add_file")

    assert upload_as_operator(shelf, wheel(version="2.0")) == 503

    assert len(found_in(shelf)) == 1


def test_a_refused_upload_leaves_no_record_of_provenance(shelf: Shelf) -> None:
    """The release has another spelling of the version: that is found when it is claimed."""
    other = release(spellings=("2.0.0",), key="2", claimed_at=shelf.now)
    shelf.between(lambda: shelf.store.save_release(other, None))

    assert upload_as_operator(shelf, wheel(version="2.0")) == 400

    assert found_in(shelf) == []


def test_the_first_file_of_a_project_changes_nothing() -> None:
    shelf = Shelf()

    assert find_changes([published("1.0", **OPERATOR)], ISSUERS, shelf.index) == []


def test_an_event_without_a_person_is_one_of_a_request() -> None:
    (found,) = list_changes([published("1.0", **JOB)], [published("2.0", **OPERATOR)], ISSUERS)

    assert isinstance(found, ProvenanceChange)
    assert found.by is None
