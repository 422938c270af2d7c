"""What a project's page says of the provenance of its releases."""

from dataclasses import replace
from typing import Any

import pytest

from pytp_broker.provenance.attester import AttestationState, AttestationStatus
from pytp_broker.registries import PRIVATE
from tests.support.distributions import sdist, wheel
from tests.support.signing import GITHUB
from tests.support.visitor import Page, Visited

PROJECT = "/acme/project/widgets/"
OPERATOR = {"operator": "user olive", "reason": "the CI is down"}
OLD = "1.0"
NEW = "2.0"


@pytest.fixture
def shelf() -> Visited:
    """Return an index with two releases of two files each, which jobs published."""
    shelf = Visited()
    for version in (OLD, NEW):
        shelf.token = shelf.mint()
        for distribution in (wheel(version=version), sdist(version=version)):
            assert shelf.publish(distribution).status == 200
        shelf.advance(days=1)
    return shelf


def job(workflow: str = "release.yml") -> dict[str, str]:
    path = f"octo-org/widgets/.github/workflows/{workflow}@refs/heads/main"
    return {"issuer": GITHUB, "repository": "octo-org/widgets", "workflow": path}


def alter(shelf: Visited, version: str, kind: str = "", **changes: Any) -> None:
    """Change the records of a release's files."""
    for place, file in list(shelf.store.files.items()):
        if file.version == version and file.filename.endswith(kind):
            shelf.store.files[place] = replace(file, **changes)


def words(page: Page) -> str:
    """Return what the page says under its title "Provenance"."""
    return page.text.partition(" Provenance Who published it ")[2].partition(" What this ")[0]


def warnings(page: Page) -> int:
    return page.html.count('class="notice warn"')


def test_a_release_of_jobs_is_full(shelf: Visited) -> None:
    page = shelf.visit(PROJECT)

    assert words(page) == (
        "full A job published each of the 2 files, and the registry has verified whose job it was."
    )
    assert warnings(page) == 0


def test_a_release_of_one_file_says_so(shelf: Visited) -> None:
    shelf.token = shelf.mint()
    shelf.publish(wheel(version="3.0"))

    assert words(shelf.visit(PROJECT)).startswith("full A job published the file, and")


def test_a_file_of_an_operator_makes_a_release_partial(shelf: Visited) -> None:
    alter(shelf, NEW, ".whl", published_by=OPERATOR)

    page = shelf.visit(PROJECT)

    assert words(page) == (
        "partial Jobs published 1 of the 2 files. An operator published or imported the others."
    )
    assert warnings(page) == 0


def test_a_project_of_an_operator_has_no_provenance_and_lost_none(shelf: Visited) -> None:
    for version in (OLD, NEW):
        alter(shelf, version, published_by=OPERATOR)

    page = shelf.visit(PROJECT)

    assert words(page) == (
        "no No job published these files: an operator published or imported them."
    )
    assert warnings(page) == 0
    assert "provenance lost" not in page.text


def test_a_release_that_lost_its_provenance_warns(shelf: Visited) -> None:
    alter(shelf, NEW, published_by=OPERATOR)

    page = shelf.visit(PROJECT)

    said = "A job published 1.0, and no job published this release."
    assert words(page).endswith(f"lost {said}")
    assert page.text.count(said) == 2  # at the top as well
    assert warnings(page) == 1


def test_a_release_from_elsewhere_warns_and_names_the_sources(shelf: Visited) -> None:
    alter(shelf, OLD, published_by=job())
    alter(shelf, NEW, published_by=job("nightly.yml"))

    page = shelf.visit(PROJECT)

    assert warnings(page) == 1
    assert (
        "The repositories or workflows are not those of 1.0. New in this release: "
        f"octo-org/widgets (.github/workflows/nightly.yml) at {GITHUB} Not in this release: "
        f"octo-org/widgets (.github/workflows/release.yml) at {GITHUB}"
    ) in page.text


def test_a_release_of_two_workflows_is_inconsistent(shelf: Visited) -> None:
    alter(shelf, NEW, ".whl", published_by=job("nightly.yml"))
    alter(shelf, NEW, ".tar.gz", published_by=job())

    assert "inconsistent The files come from more than one" in words(shelf.visit(PROJECT))


def test_the_list_of_versions_marks_the_releases_that_warn(shelf: Visited) -> None:
    alter(shelf, NEW, published_by=OPERATOR)

    versions = shelf.visit(f"{PROJECT}1.0/").text.partition(" Versions ")[2]

    assert versions.startswith("2.0 provenance lost 23 Nov 2026 1.0 22 Nov 2026")


def test_an_older_release_is_compared_with_those_before_it(shelf: Visited) -> None:
    alter(shelf, NEW, published_by=job("nightly.yml"))

    assert warnings(shelf.visit(f"{PROJECT}1.0/")) == 0


def test_a_page_says_what_provenance_does_not_prove(shelf: Visited) -> None:
    text = shelf.visit(PROJECT).text

    assert "This vouches for the identity of the workflow, not for the code." in text
    assert "pytp-broker verify FILE --index https://packages.example.com/acme/simple/" in text


def test_strangers_see_the_words_without_the_operators_name(shelf: Visited) -> None:
    alter(shelf, NEW, published_by=OPERATOR)

    page = shelf.visit(PROJECT)

    assert "lost" in words(page)
    assert "olive" not in page.html


def test_readers_of_a_private_registry_see_the_words(shelf: Visited) -> None:
    shelf.change(access=PRIVATE)
    shelf.token = shelf.mint()

    assert words(shelf.read(PROJECT)).startswith("full ")


def test_each_file_links_to_its_receipt(shelf: Visited) -> None:
    links = shelf.visit(PROJECT).links

    receipts = [link for link in links if link.endswith("/receipt")]
    assert receipts == [
        "/acme/integrity/widgets/2.0/widgets-2.0-py3-none-any.whl/receipt",
        "/acme/integrity/widgets/2.0/widgets-2.0.tar.gz/receipt",
    ]
    assert [shelf.get(link).status for link in receipts] == [200, 200]


def test_a_file_of_an_older_version_links_to_no_receipt(shelf: Visited) -> None:
    alter(shelf, NEW, receipt_sha256=None)

    assert not [link for link in shelf.visit(PROJECT).links if link.endswith("/receipt")]


# --- attestations ---------------------------------------------------------------------------------


def attest(shelf: Visited, version: str, state: str, kind: str = "", reason: str = "") -> None:
    known = AttestationState(AttestationStatus(state), reason)
    alter(shelf, version, kind, attestation_state=known, attestations_sha256="a" * 64)


def test_a_project_without_attestations_is_silent_about_them(shelf: Visited) -> None:
    assert "ttestations" not in shelf.visit(PROJECT).text


def test_verified_attestations_are_a_second_basis(shelf: Visited) -> None:
    attest(shelf, NEW, "verified")

    page = shelf.visit(PROJECT)

    assert words(page).endswith("Attestations full Every file has attestations that are verified.")
    assert page.text.count("Attestations verified") == 2


def test_attestations_of_a_part_of_the_files(shelf: Visited) -> None:
    attest(shelf, NEW, "verified", ".whl")

    assert words(shelf.visit(PROJECT)).endswith(
        "partial 1 of the 2 files have attestations that are verified."
    )


def test_attestations_that_are_lost_warn(shelf: Visited) -> None:
    attest(shelf, OLD, "verified")

    page = shelf.visit(PROJECT)

    assert words(page).endswith(
        "Attestations no No file has attestations that are verified. "
        "lost 1.0 has verified attestations, and this release has none."
    )
    assert warnings(page) == 1
    assert "2.0 provenance lost" in page.text


def test_attestations_of_other_workflows_warn(shelf: Visited) -> None:
    for version, workflow in ((OLD, "release.yml"), (NEW, "nightly.yml")):
        alter(shelf, version, published_by=job(workflow))
        attest(shelf, version, "verified")

    page = shelf.visit(PROJECT)

    assert "changed Other repositories or workflows have signed them than those of 1.0." in (
        words(page)
    )
    assert warnings(page) == 2


def test_attestations_of_two_workflows_are_inconsistent(shelf: Visited) -> None:
    alter(shelf, NEW, ".whl", published_by=job("nightly.yml"))
    attest(shelf, NEW, "verified")

    assert words(shelf.visit(PROJECT)).endswith(
        "inconsistent More than one repository or workflow has signed them."
    )


@pytest.mark.parametrize(
    ("state", "links"),
    [
        ("verified", ["/acme/integrity/widgets/2.0/widgets-2.0.tar.gz/provenance"]),
        ("unverified", ["/acme/integrity/widgets/2.0/widgets-2.0.tar.gz/provenance"]),
        ("pending", []),
        ("refused", []),
    ],
)
def test_only_attestations_that_are_served_have_a_link(
    shelf: Visited, state: str, links: list[str]
) -> None:
    attest(shelf, NEW, state, ".tar.gz")

    found = [link for link in shelf.visit(PROJECT).links if link.endswith("/provenance")]
    assert found == links


@pytest.mark.parametrize(
    ("state", "reason", "shown"),
    [
        ("pending", "", "Attestations pending"),
        (
            "unverified",
            "signed by a private CA",
            "Attestations unverified signed by a private CA",
        ),
        ("refused", "bad signature", "Attestations refused bad signature"),
        ("refused", "\u202eesrever\x1b[1m", "Attestations refused \ufffdesrever\ufffd[1m"),
        ("refused", "<script>x</script>", "Attestations refused <script>x</script>"),
    ],
)
def test_a_file_says_what_is_known_of_its_attestations(
    shelf: Visited, state: str, reason: str, shown: str
) -> None:
    attest(shelf, NEW, state, ".whl", reason)

    page = shelf.visit(PROJECT)

    assert shown in page.text
    assert "script" not in page.names
