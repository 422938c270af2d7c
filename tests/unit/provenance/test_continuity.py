"""The six words: each release against its own files, and against the latest earlier one."""

from datetime import UTC, datetime, timedelta

import pytest

from pytp_broker.provenance.continuity import (
    Continuity,
    ReleaseSources,
    Source,
    Word,
    compare,
    compare_all,
)

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ISSUER = "https://token.actions.githubusercontent.com"
RELEASE = Source(ISSUER, "octo-org/widgets", "octo-org/widgets/.github/workflows/release.yml")
NIGHTLY = Source(ISSUER, "octo-org/widgets", "octo-org/widgets/.github/workflows/nightly.yml")
FORK = Source(ISSUER, "mona/widgets", "mona/widgets/.github/workflows/release.yml")
OTHER_ISSUER = Source("https://ghes.example.com", RELEASE.name, RELEASE.workflow)


def of(*sources: Source | None, version: str = "2.0", days: int = 0) -> ReleaseSources:
    return ReleaseSources(version, NOW + timedelta(days=days), sources)


def words(release: ReleaseSources, *earlier: Source | None) -> str:
    found = compare(release, of(*earlier, version="1.0") if earlier else None)
    return " ".join(word.value for word in found.words)


@pytest.mark.promise("meant-changes")
@pytest.mark.parametrize(
    ("release", "earlier", "said"),
    [
        (of(RELEASE, RELEASE), (), "full"),
        (of(RELEASE, None), (), "partial"),
        (of(None, None), (), "no"),
        (of(), (), "no"),
        (of(RELEASE, RELEASE), (RELEASE,), "full"),
        (of(RELEASE, None), (RELEASE, RELEASE), "partial"),
        (of(None), (RELEASE,), "no lost"),
        (of(None), (RELEASE, None), "no lost"),
        (of(NIGHTLY), (RELEASE,), "full changed"),
        (of(FORK), (RELEASE,), "full changed"),
        (of(OTHER_ISSUER), (RELEASE,), "full changed"),
        (of(NIGHTLY, None), (RELEASE,), "partial changed"),
        (of(RELEASE, NIGHTLY), (RELEASE, NIGHTLY), "full inconsistent"),
        (of(RELEASE, NIGHTLY), (RELEASE,), "full changed inconsistent"),
        (of(RELEASE), (RELEASE, NIGHTLY), "full changed"),
        (of(RELEASE, NIGHTLY, None), (), "partial inconsistent"),
        (of(RELEASE), (None,), "full"),
    ],
)
def test_what_is_said_of_a_release(
    release: ReleaseSources, earlier: tuple[Source | None, ...], said: str
) -> None:
    assert words(release, *earlier) == said


def test_a_change_names_what_is_new_and_what_is_gone() -> None:
    found = compare(of(NIGHTLY, None), of(RELEASE, version="1.0"))

    assert found == Continuity(
        words=(Word.PARTIAL, Word.CHANGED),
        files=2,
        covered=1,
        compared_with="1.0",
        added=(NIGHTLY,),
        removed=(RELEASE,),
    )


def test_a_lost_release_names_the_sources_that_are_gone_in_no_list() -> None:
    found = compare(of(None), of(RELEASE, version="1.0"))

    assert (found.compared_with, found.added, found.removed) == ("1.0", (), ())


def test_a_release_is_compared_with_the_latest_earlier_one_that_has_any() -> None:
    found = compare_all(
        [
            of(NIGHTLY, version="4.0", days=900),
            of(None, version="3.0", days=20),
            of(RELEASE, version="2.0", days=10),
            of(FORK, version="1.0", days=0),
        ]
    )

    assert {version: each.compared_with for version, each in found.items()} == {
        "1.0": None,
        "2.0": "1.0",
        "3.0": "2.0",
        "4.0": "2.0",
    }
    assert Word.LOST in found["3.0"].words


def test_time_orders_the_releases_and_not_their_versions() -> None:
    """A fix of an old series follows a new release, and is compared with that."""
    found = compare_all([of(RELEASE, version="1.1", days=2), of(RELEASE, version="2.0", days=1)])

    assert found["1.1"].compared_with == "2.0"
    assert found["2.0"].compared_with is None


def test_of_releases_at_one_time_the_first_one_is_the_earlier_one() -> None:
    found = compare_all([of(RELEASE, version="1.0"), of(NIGHTLY, version="2.0")])

    assert found["1.0"].compared_with is None
    assert found["2.0"].compared_with == "1.0"


# --- ids ------------------------------------------------------------------------------------------


def pinned(**ids: str) -> Source:
    return Source(RELEASE.issuer, RELEASE.name, RELEASE.workflow, tuple(ids.items()))


OLD_OWNER = pinned(repository_owner_id="9919", repository_id="70107786")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (OLD_OWNER, "full"),
        (RELEASE, "full"),
        (pinned(repository_owner_id="9919"), "full"),
        (pinned(repository_owner_id="666"), "full changed"),
        (pinned(repository_owner_id="9919", repository_id="1"), "full changed"),
    ],
)
def test_a_name_with_another_id_is_another_source(source: Source, said: str) -> None:
    assert words(of(source), OLD_OWNER) == said


def test_a_record_without_ids_joins_one_that_has_them() -> None:
    """Files of one release may have been published before and after an upgrade."""
    assert words(of(RELEASE, OLD_OWNER)) == "full"
    assert words(of(OLD_OWNER, pinned(repository_owner_id="666"))) == "full inconsistent"


# --- as text --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (RELEASE, f"octo-org/widgets (.github/workflows/release.yml) at {ISSUER}"),
        (Source(ISSUER, "octo-org/widgets"), f"octo-org/widgets at {ISSUER}"),
        (
            Source("https://gitlab.com", "a/b", "gitlab.com/a/b//.gitlab-ci.yml"),
            "a/b (gitlab.com/a/b//.gitlab-ci.yml) at https://gitlab.com",
        ),
        (
            Source(ISSUER, "octo-org/widgets", "", (("repository_owner_id", "9919"),)),
            f"octo-org/widgets at {ISSUER}, repository_owner_id 9919",
        ),
    ],
)
def test_a_source_in_one_line(source: Source, text: str) -> None:
    assert str(source) == text
