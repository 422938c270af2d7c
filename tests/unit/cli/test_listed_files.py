"""`project list|show` and `file list|show`: what is published, and who published it."""

from datetime import timedelta
from typing import Any

import pytest

from pytp_broker.provenance.attester import AttestationState, AttestationStatus
from pytp_broker.storage.project_status import ProjectStatus
from pytp_broker.storage.withdrawals import Tombstone
from tests.support.desk import NOW, Desk, documented_members
from tests.support.samples import GITHUB, configuration, file, publisher

SDIST = "widgets-1.0.tar.gz"
JOB = {
    "repository": "octo-org/widgets",
    "sha": "8c7d3f1a0b9e2d4c6f8a1b3c5d7e9f0a2b4c6d8e",
    "ref": "refs/tags/v1.0",
    "workflow": "octo-org/widgets/.github/workflows/release.yml@refs/tags/v1.0",
    "environment": "release",
    "run": "11855712345",
    "actor": "octocat",
}
FULL = {
    "words": ["full"],
    "files": 1,
    "with_provenance": 1,
    "compared_with": None,
    "added": [],
    "removed": [],
}
NONE = {**FULL, "words": ["no"], "with_provenance": 0}
PUBLISHED_BY = {"issuer": GITHUB, **JOB, "publishers": "id-1, id-2", "token_hash": "0123456789ab"}


PERSON = {"operator": "user olive", "reason": "the CI is down"}
LATER: dict[str, Any] = {"uploaded_at": NOW + timedelta(days=1)}


@pytest.fixture
def shop(desk: Desk) -> Desk:
    """Return a desk whose broker has a project with two releases, and one without a file."""
    desk.store.apply(
        configuration(),
        [publisher(projects=("widgets", "gadgets")), publisher("id-9", registry="other")],
    )
    old, new = NOW - timedelta(days=1), NOW.replace(microsecond=123456)
    for each in (
        file(SDIST, uploaded_at=old, published_by=PUBLISHED_BY),
        file("widgets-1.1.tar.gz", version="1.1", uploaded_at=old, size=2_500_000),
        file("widgets-1.1-py3-none-any.whl", version="1.1", uploaded_at=new),
        file("widgets-2.0rc1.tar.gz", version="2.0rc1", uploaded_at=old),
        file("gizmos-1.0.tar.gz", registry="other", project="gizmos"),
    ):
        desk.store.add_file(each)
    return desk


# --- projects -------------------------------------------------------------------------------------


def test_projects_are_listed(shop: Desk) -> None:
    assert shop.type("project list acme").splitlines() == [
        "project  files  latest  last upload        status  publishers",
        "gadgets  0                                 active  1",
        "widgets  4      1.1     2026-11-22 12:00Z  active  1",
    ]


def test_a_project_in_json_has_documented_members(shop: Desk) -> None:
    _, widgets = shop.read("project list acme")

    assert set(widgets) == documented_members("Project")
    assert widgets == {
        "registry": "acme",
        "name": "widgets",
        "status": "active",
        "reason": None,
        "files": 4,
        "size": 2_500_000 + 3 * 1234,
        "latest_version": "1.1",
        "last_upload_at": "2026-11-22T12:00:00.123456+00:00",
        "publishers": ["id-1"],
    }


@pytest.mark.parametrize("line", ["project list acme", "project show acme widgets"])
def test_what_is_yanked_or_deleted_is_not_the_latest(shop: Desk, line: str) -> None:
    def latest() -> Any:
        found = shop.read(line)
        return (found[-1] if isinstance(found, list) else found)["latest_version"]

    shop.store.yank_release("acme", "widgets", "1.1", "breaks")
    assert latest() == "1.0"
    shop.store.delete_file("acme", "widgets", SDIST, Tombstone("secret", "user olive", NOW))
    assert latest() == "2.0rc1"
    shop.store.yank_release("acme", "widgets", "2rc1", "breaks")
    assert latest() is None


def test_a_project_is_shown_with_releases_and_publishers(shop: Desk) -> None:
    shop.store.yank_release("acme", "widgets", "1.1", "breaks")
    shop.store.set_status("acme", "widgets", ProjectStatus("archived", "use gadgets"))
    tombstone = Tombstone("contains a password", "user olive", NOW)
    shop.store.delete_file("acme", "widgets", "widgets-1.1.tar.gz", tombstone)

    seen = shop.read("project show acme Widgets")

    assert (seen["status"], seen["reason"], seen["files"]) == ("archived", "use gadgets", 3)
    assert [(r["version"], r["files"], r["yanked"]) for r in seen["releases"]] == [
        ("2.0rc1", 1, None),
        ("1.1", 1, "breaks"),
        ("1.0", 1, None),
    ]
    assert seen["releases"][1] == {
        "version": "1.1",
        "files": 1,
        "size": 1234,
        "first_upload_at": "2026-11-22T12:00:00.123456+00:00",
        "yanked": "breaks",
        "provenance": ["full"],
        "attestations": [],
    }
    assert seen["publishers"] == ["id-1"]
    assert seen["trusted_publishers"] == [
        {"id": "id-1", "provider": "github", "identity": "octo-org/widgets"}
    ]


def test_a_project_is_read_at_a_glance(shop: Desk) -> None:
    shop.store.yank_release("acme", "widgets", "1", "breaks")

    lines = shop.type("project show acme widgets").splitlines()

    assert lines[:2] == ["registry            acme", "name                widgets"]
    assert (
        f"{'':18}  version 1.0, files 1, size 1,234, first_upload_at 2026-11-21 12:00Z, "
        "yanked breaks, provenance full"
    ) in lines
    assert lines[-1] == "trusted_publishers  id id-1, provider github, identity octo-org/widgets"


def test_a_project_without_a_file_is_shown_if_it_trusts_a_publisher(shop: Desk) -> None:
    seen = shop.read("project show acme gadgets")

    assert (seen["files"], seen["latest_version"], seen["releases"]) == (0, None, [])
    assert seen["publishers"] == ["id-1"]


def test_a_project_with_files_is_shown_if_nobody_may_publish_it(shop: Desk) -> None:
    seen = shop.read("project show other gizmos")

    assert (seen["files"], seen["publishers"]) == (1, [])


# --- files ----------------------------------------------------------------------------------------


def test_files_of_a_registry_are_listed(shop: Desk) -> None:
    shop.store.add_file(file("apples-1.0.tar.gz", project="apples", published_by={}))

    assert shop.type("file list acme").splitlines() == [
        "file                          size    uploaded           state      published by",
        "apples-1.0.tar.gz             1.2 kB  2026-11-22 12:00Z  available",
        "widgets-1.0.tar.gz            1.2 kB  2026-11-21 12:00Z  available  octo-org/widgets",
        "widgets-1.1-py3-none-any.whl  1.2 kB  2026-11-22 12:00Z  available  octo-org/widgets",
        "widgets-1.1.tar.gz            2.5 MB  2026-11-21 12:00Z  available  octo-org/widgets",
        "widgets-2.0rc1.tar.gz         1.2 kB  2026-11-21 12:00Z  available  octo-org/widgets",
    ]


def test_files_of_one_project_are_listed(shop: Desk) -> None:
    shop.store.add_file(file("apples-1.0.tar.gz", project="apples"))

    assert [each["filename"] for each in shop.read("file list acme Apples")] == [
        "apples-1.0.tar.gz"
    ]
    assert shop.read("file list acme widgets") == shop.read("file list acme")[1:]


@pytest.mark.parametrize("line", ["file list acme", "file list acme widgets"])
def test_the_state_of_a_file_is_listed(shop: Desk, line: str) -> None:
    def states() -> dict[str, str]:
        return {each["version"]: each["state"] for each in shop.read(line)}

    shop.store.yank_release("acme", "widgets", "1.1", "breaks")
    shop.store.delete_file("acme", "widgets", SDIST, Tombstone("secret", "user olive", NOW))
    assert states() == {"1.0": "deleted", "1.1": "yanked", "2.0rc1": "available"}

    shop.store.set_status("acme", "widgets", ProjectStatus("quarantined", "malware"))
    assert states() == {"1.0": "deleted", "1.1": "quarantined", "2.0rc1": "quarantined"}


def test_a_file_is_shown_with_who_published_it(shop: Desk) -> None:
    seen = shop.read(f"file show acme {SDIST}")

    assert set(seen) == documented_members("File")
    assert set(seen["published_by"]) == documented_members("Publication")
    assert seen == {
        "registry": "acme",
        "project": "widgets",
        "version": "1.0",
        "filename": SDIST,
        "size": 1234,
        "sha256": "0" * 64,
        "requires_python": ">=3.11",
        "uploaded_at": "2026-11-21T12:00:00.000500+00:00",
        "state": "available",
        "reason": None,
        "deleted_at": None,
        "deleted_by": None,
        "published_by": {
            "issuer": GITHUB,
            "provider": "github",
            **JOB,
            "run_url": "https://github.com/octo-org/widgets/actions/runs/11855712345",
            "publishers": ["id-1", "id-2"],
            "token_hash": "0123456789ab",
            "operator": None,
            "reason": None,
            "imported_from": None,
            "imported_by": None,
        },
        "receipt_sha256": None,
        "attestations": None,
        "provenance": {"published": FULL, "attested": NONE},
    }


def test_who_published_a_file_is_read_at_a_glance(shop: Desk) -> None:
    lines = shop.type(f"file show acme {SDIST}").splitlines()

    assert "published_by     repository octo-org/widgets" in lines
    for part in (
        f"issuer {GITHUB}",
        "run_url https://github.com/octo-org/widgets/actions/runs/11855712345",
        "publishers id-1, id-2",
        "token_hash 0123456789ab",
    ):
        assert f"{'':15}  {part}" in lines


def test_an_imported_file_is_shown_with_its_source(desk: Desk) -> None:
    source = {"imported_from": "https://old.example.com/simple/", "imported_by": "user olive"}
    desk.store.apply(configuration(), [])
    desk.store.add_file(file("My.Widgets-1.0.zip", project="my-widgets", published_by=source))

    seen = desk.read("file show acme My.Widgets-1.0.zip")["published_by"]

    assert set(seen) == documented_members("Publication")
    assert source.items() <= seen.items()
    assert desk.type("file list acme").endswith("  imported by operator: user olive\n")


@pytest.mark.promise("shown-as-the-operators")
def test_a_file_of_an_operators_token_is_shown_as_that_operators(desk: Desk) -> None:
    by = {"operator": "user olive", "reason": "the CI is down", "token_hash": "0123456789ab"}
    desk.store.apply(configuration(), [publisher()])
    desk.store.add_file(file(published_by=by))

    seen = desk.read("file show acme widgets-1.0.tar.gz")["published_by"]

    assert set(seen) == documented_members("Publication")
    assert by.items() <= seen.items()
    assert (seen["issuer"], seen["provider"], seen["publishers"]) == (None, None, [])
    assert desk.type("file list acme").endswith("  operator: user olive\n")


def test_the_receipt_and_the_attestations_of_a_file_are_shown(shop: Desk) -> None:
    shop.store.add_file(file("widgets-3.0.tar.gz", version="3.0", receipt_sha256="2" * 64))
    state = AttestationState(AttestationStatus.UNVERIFIED, "signed by a private Sigstore")
    shop.store.save_attestation_state("acme", "widgets", "widgets-3.0.tar.gz", state)

    seen = shop.read("file show acme widgets-3.0.tar.gz")

    assert seen["receipt_sha256"] == "2" * 64
    assert seen["attestations"] == {
        "status": "unverified",
        "reason": "signed by a private Sigstore",
    }


def test_a_file_says_how_the_provenance_of_its_release_has_changed(shop: Desk) -> None:
    shop.store.add_file(file("widgets-3.0.tar.gz", version="3.0", published_by=PERSON, **LATER))

    seen = shop.type("file show acme widgets-3.0.tar.gz")

    assert "  published words no, lost, files 1, with_provenance 0, compared_with 2.0rc1\n" in seen


def test_nothing_is_said_of_a_release_whose_files_are_deleted(shop: Desk) -> None:
    shop.store.delete_file("acme", "widgets", SDIST, Tombstone("secret", "user olive", NOW))

    seen = shop.read(f"file show acme {SDIST}")["provenance"]

    assert seen["published"]["words"] == []


def test_a_deleted_file_is_shown_with_who_deleted_it(shop: Desk) -> None:
    at = NOW.replace(microsecond=0)
    shop.store.delete_file("acme", "widgets", SDIST, Tombstone("secret", "user olive", at))

    seen = shop.read(f"file show acme {SDIST}")

    assert (seen["state"], seen["reason"]) == ("deleted", "secret")
    assert (seen["deleted_at"], seen["deleted_by"]) == ("2026-11-22T12:00:00+00:00", "user olive")


@pytest.mark.parametrize("published_by", [{}, {"issuer": "https://gone.example.com", **JOB}])
def test_a_file_of_an_older_version_or_of_an_unknown_issuer_is_shown(
    desk: Desk, published_by: dict[str, str]
) -> None:
    desk.store.apply(configuration(), [])
    desk.store.add_file(file(published_by=published_by))

    seen = desk.read(f"file show acme {SDIST}")["published_by"]

    assert set(seen) == documented_members("Publication")
    assert (seen["run_url"], seen["provider"]) == (None, None)
    assert (seen["publishers"], seen["token_hash"]) == ([], None)
    assert seen["repository"] == published_by.get("repository")


def test_the_publisher_of_a_file_leads_to_its_rules(shop: Desk) -> None:
    (publisher_id, *_) = shop.read(f"file show acme {SDIST}")["published_by"]["publishers"]

    assert shop.read(f"publisher show {publisher_id}")["fields"]["workflow"] == "release.yml"


# --- releases -------------------------------------------------------------------------------------


def test_releases_are_listed_with_their_provenance(shop: Desk) -> None:
    shop.store.yank_release("acme", "widgets", "1.1", "breaks")
    shop.store.add_file(file("widgets-3.0.tar.gz", version="3.0", published_by=PERSON, **LATER))

    assert shop.type("release list acme widgets").splitlines() == [
        "version  files  size    first upload       yanked  provenance     attestations",
        "3.0      1      1.2 kB  2026-11-23 12:00Z          no, lost",
        "2.0rc1   1      1.2 kB  2026-11-21 12:00Z          full",
        "1.1      2      2.5 MB  2026-11-21 12:00Z  breaks  full, changed",
        "1.0      1      1.2 kB  2026-11-21 12:00Z          full",
    ]


def test_releases_are_listed_with_attestations_that_they_have_lost(shop: Desk) -> None:
    """A thief of an upload token publishes as the job, and cannot attest as the job."""
    shop.store.add_file(file("widgets-3.0.tar.gz", version="3.0", **LATER))
    at = LATER["uploaded_at"] + timedelta(days=1)
    shop.store.add_file(file("widgets-4.0.tar.gz", version="4.0", uploaded_at=at))
    state = AttestationState(AttestationStatus.VERIFIED)
    shop.store.save_attestation_state("acme", "widgets", "widgets-3.0.tar.gz", state)

    assert shop.type("release list acme widgets").splitlines()[:4] == [
        "version  files  size    first upload       yanked  provenance     attestations",
        "4.0      1      1.2 kB  2026-11-24 12:00Z          full           no, lost",
        "3.0      1      1.2 kB  2026-11-23 12:00Z          full           full",
        "2.0rc1   1      1.2 kB  2026-11-21 12:00Z          full",
    ]


def test_a_release_in_json_has_documented_members(shop: Desk) -> None:
    (*_, first) = shop.read("release list acme widgets")
    shown = shop.read("release show acme Widgets 1.1.0")

    assert set(shown) == documented_members("Release")
    assert set(shown["published"]) == documented_members("Provenance")
    assert set(first) == set(shown) - {"registry", "project", "filenames", "published", "attested"}
    assert (shown["registry"], shown["project"], shown["version"]) == ("acme", "widgets", "1.1")
    assert shown["filenames"] == ["widgets-1.1-py3-none-any.whl", "widgets-1.1.tar.gz"]


def test_a_release_from_elsewhere_names_the_sources(shop: Desk) -> None:
    by = {"issuer": GITHUB, "repository": "mona/widgets"}
    shop.store.add_file(file("widgets-3.0.tar.gz", version="3.0", published_by=by, **LATER))

    seen = shop.read("release show acme widgets 3.0")

    assert seen["provenance"] == ["full", "changed"]
    assert seen["published"]["compared_with"] == "2.0rc1"
    assert seen["published"]["added"] == [f"mona/widgets at {GITHUB}"]
    assert seen["published"]["removed"] == [f"octo-org/widgets at {GITHUB}"]


def test_a_source_cannot_forge_a_line_of_a_table(shop: Desk) -> None:
    by = {"issuer": GITHUB, "repository": "mona/x\nversion  9.9\x1b[31m\u202e"}
    shop.store.add_file(file("widgets-3.0.tar.gz", version="3.0", published_by=by, **LATER))

    for line in ("release show acme widgets 3.0", "file show acme widgets-3.0.tar.gz"):
        seen = shop.type(line)
        assert "\nversion  9.9" not in seen
        assert "\x1b" not in seen
        assert "\u202e" not in seen


# --- what is not there ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said", "status"),
    [
        ("project list acmee", "there is no registry `acmee`; did you mean `acme`?", 1),
        (
            "project show acme widget",
            "the registry `acme` has no project `widget`; did you mean `widgets`?",
            1,
        ),
        (
            "project show acme x",
            "the registry `acme` has no project `x`; its projects are: `widgets`",
            1,
        ),
        (
            "file list acme wid\udcffgets",
            "the registry `acme` has no project `wid\ufffdgets`; did you mean `widgets`?",
            1,
        ),
        ("release list acmee widgets", "there is no registry `acmee`; did you mean `acme`?", 1),
        ("release list acme x", "the registry `acme` has no project `x`; its projects are: ", 1),
        ("release show acme widgets 9", "`widgets` has no release `9`; it has `2.0rc1`, `1.1`", 1),
        ("release show acme widgets x\x1b", "`x\ufffd` is not a version (PEP 440)", 2),
        ("file list acmee", "there is no registry `acmee`; did you mean `acme`?", 1),
        ("file show acmee widgets-1.0.tar.gz", "there is no registry `acmee`; did you", 1),
        (
            "file show acme widgets-1.2.tar.gz",
            "the project `widgets` has no file `widgets-1.2.tar.gz`; did you mean `widgets-1.1.",
            1,
        ),
        (
            "file show acme wigets-1.0.tar.gz",
            "the registry `acme` has no project `wigets`; did you mean `widgets`?",
            1,
        ),
        ("file show acme widgets.exe", "`widgets.exe`", 2),
    ],
)
def test_what_is_not_there_is_said_to_be(shop: Desk, line: str, said: str, status: int) -> None:
    seen = shop.type(line)

    assert said in seen
    assert seen.endswith(f"\nexit {status}\n")


def test_an_empty_registry_has_empty_lists(desk: Desk) -> None:
    desk.store.apply(configuration(), [])

    assert desk.read("project list acme") == []
    assert desk.read("file list acme") == []


@pytest.mark.promise("plain-text")
@pytest.mark.parametrize("form", ["", " --json"])
def test_what_a_job_was_called_cannot_control_a_terminal(desk: Desk, form: str) -> None:
    hostile = "\x1b]0;owned\x07\x1b[2J\u202eevil\u200b\x9b[bold]red\n\r\x7f"
    desk.store.apply(configuration(), [])
    desk.store.add_file(file(published_by=dict.fromkeys(PUBLISHED_BY, hostile)))

    for line in ("file list acme", f"file show acme {SDIST}"):
        seen = desk.type(line + form)
        assert not {*seen} & {*"\x1b\x07\u202e\u200b\x9b\r\x7f"}
        assert "[bold]red" in seen
