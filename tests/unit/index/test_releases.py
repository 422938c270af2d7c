"""Releases as an uploader sees them: one spelling, one sdist, and an end."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from packaging.version import Version

from pytp_broker.index.distributions import parse_filename
from pytp_broker.index.releases import CLAIM, check_release, is_same, key_of
from pytp_broker.registries import Registry
from pytp_broker.storage.file_records import PublishedFile, Release
from tests.support.distributions import Distribution, metadata, sdist, wheel
from tests.support.shelf import Shelf
from tests.support.signing import NOW

DAYS = timedelta(days=14)
REOPEN = "pytp-broker release reopen acme widgets 1.0"


def other_wheel(version: str = "1.0", tag: str = "cp311-cp311-linux_x86_64") -> Distribution:
    """Return a further wheel of a release."""
    return wheel(version=version, filename=f"widgets-{version}-{tag}.whl")


def publish(shelf: Shelf, *distributions: Distribution) -> None:
    for distribution in distributions:
        assert shelf.publish(distribution).status == 200


def refuse(shelf: Shelf, distribution: Distribution) -> str:
    """Check that a release refuses a file and stores nothing; return the detail."""
    files, contents = dict(shelf.store.files), dict(shelf.files.contents)
    answer = publish_later(shelf, distribution)

    assert (answer.status, answer.code) == (400, "invalid-release")
    assert (shelf.store.files, shelf.files.contents) == (files, contents)
    text = answer.text.lower()
    assert "already" not in text, "clients would take it for published"
    assert "updating asset" not in text
    return str(answer.detail)


def publish_later(shelf: Shelf, distribution: Distribution) -> Any:
    """Publish with a token that is good now."""
    shelf.token = shelf.mint()
    return shelf.publish(distribution)


# --- one spelling


@pytest.mark.promise("closed-release")
@pytest.mark.parametrize("first", ["1.0", "1.0.0", "1", "v1.0", "01.0", "1.0.0.0"])
@pytest.mark.parametrize("later", ["1.0", "1.0.0", "1", "v1.0", "01.0", "1.0.0.0", "V1.0"])
def test_a_later_wheel_has_the_spelling_of_the_first_file(
    shelf: Shelf, first: str, later: str
) -> None:
    publish(shelf, wheel(version=first))

    if first == later:
        assert shelf.publish(other_wheel(later)).status == 200
    else:
        detail = refuse(shelf, other_wheel(later))
        assert (
            f"is spelled `{first}` by its first file, `widgets-{first}-py3-none-any.whl`" in detail
        )
        assert f"name this file `widgets-{first}-cp311-cp311-linux_x86_64.whl`" in detail


@pytest.mark.parametrize(
    ("first", "later"),
    [
        ("1.0rc1", "1.0c1"),
        ("1.0_beta.2", "1.0b2"),
        ("1.0.post0", "1.0.post"),
        ("1.0+ubuntu.1", "1.0+ubuntu_1"),
        ("1.0+a", "1.0+A"),
    ],
)
def test_wheels_of_a_release_have_one_spelling_to_its_end(
    shelf: Shelf, first: str, later: str
) -> None:
    publish(shelf, wheel(version=first))

    assert f"is spelled `{first}`" in refuse(shelf, other_wheel(later))
    publish(shelf, other_wheel(first))


@pytest.mark.parametrize("spelling", ["1.0.0", "1", "v1.0"])
def test_a_later_wheel_has_the_spelling_of_the_sdist(shelf: Shelf, spelling: str) -> None:
    publish(shelf, sdist(version="1.0"))

    assert "`widgets-1.0-py3-none-any.whl`" in refuse(shelf, wheel(version=spelling))


def test_a_later_sdist_has_the_spelling_of_the_wheel(shelf: Shelf) -> None:
    publish(shelf, wheel(version="1.0"))

    assert "name this file `widgets-1.0.tar.gz`" in refuse(shelf, sdist(version="1.0.0"))
    publish(shelf, sdist(version="1.0"))


@pytest.mark.parametrize("spelling", ["v1.0", "01.0"])
def test_an_sdist_whose_name_has_the_normalised_version_goes_with_any_spelling(
    shelf: Shelf, spelling: str
) -> None:
    """Its name cannot have another one (PEP 625)."""
    publish(shelf, wheel(version=spelling), sdist(version="1.0"))


def test_another_release_has_a_spelling_of_its_own(shelf: Shelf) -> None:
    publish(shelf, wheel(version="1.0"), wheel(version="1.0.1"), wheel(version="2.0.0"))
    publish(
        shelf, wheel(version="1.0rc1"), wheel(version="1.0.post1"), wheel("my-widgets", "1.0.0")
    )


# Pairs that build tools write for one release, sdist and wheel, as files on PyPI have them.
@pytest.mark.parametrize(
    ("of_sdist", "of_wheel"),
    [
        ("1.0", "1.0"),
        ("1.0.0", "1.0.0"),
        ("2024.1.5", "2024.1.5"),
        ("0.13.2b2", "0.13.2b2"),
        ("0.13.2b2", "0.13.2_beta.2"),
        ("1.0.0.dev1", "1.0.0.dev1"),
        ("1.0.0.dev0", "1.0.0.dev"),
        ("1.0rc1", "1.0.rc1"),
        ("1.0.post1", "1.0.post1"),
        ("1.0.post1", "1.0_post1"),
        ("1.0+ubuntu.1", "1.0+ubuntu.1"),
        ("1.0+ubuntu.1", "1.0+ubuntu_1"),
        ("1!2.0", "1!2.0"),
    ],
)
@pytest.mark.parametrize("sdist_first", [True, False])
def test_a_pair_that_one_tool_writes_is_one_release(
    shelf: Shelf, of_sdist: str, of_wheel: str, sdist_first: bool
) -> None:
    pair = [sdist(version=of_sdist), wheel(version=of_wheel)]

    publish(shelf, *(pair if sdist_first else reversed(pair)))


def test_what_the_metadata_spells_otherwise_does_not_count(shelf: Shelf) -> None:
    """Its version is equal: the file's name is what installers choose by."""
    longer = wheel(text=metadata(version="1.0.0"))

    publish(shelf, longer, other_wheel("1.0"))
    assert "spelled `1.0`" in refuse(shelf, other_wheel("1.0.0"))


@pytest.mark.parametrize("spelling", ["1", "1.0", "1.0.0", "v1", "1.0.0.0", "01"])
def test_all_spellings_of_a_version_are_one_release(spelling: str) -> None:
    assert key_of(Version(spelling)) == "1"
    assert is_same(spelling, spelling)


# --- one sdist


@pytest.mark.promise("closed-release")
def test_a_release_has_one_sdist(shelf: Shelf) -> None:
    publish(shelf, sdist(version="1.0"))

    detail = refuse(shelf, sdist(version="1.0.0"))

    assert "has the sdist `widgets-1.0.tar.gz`" in detail
    assert "needs a new version" in detail


def test_the_same_sdist_is_published_once_more(shelf: Shelf) -> None:
    publish(shelf, sdist(), sdist())

    assert len(shelf.store.files) == 1


# --- an end


def test_a_release_takes_files_until_its_last_moment(shelf: Shelf) -> None:
    publish(shelf, wheel())
    shelf.now = NOW + DAYS - timedelta(microseconds=1)

    assert publish_later(shelf, other_wheel()).status == 200


@pytest.mark.promise("closed-release")
@pytest.mark.parametrize("late", [timedelta(0), timedelta(days=400)])
def test_a_release_is_closed_after_its_days(shelf: Shelf, late: timedelta) -> None:
    publish(shelf, wheel())
    shelf.now = NOW + DAYS + late

    detail = refuse(shelf, other_wheel())

    closed = f"{NOW + DAYS:%Y-%m-%d at %H:%M} UTC"
    assert f"the release 1.0 closed to new files on {closed}" in detail
    assert "14 days" in detail
    assert "publish a new version" in detail
    assert f"`{REOPEN}`" in detail


def test_the_end_is_counted_from_the_first_file(shelf: Shelf) -> None:
    publish(shelf, wheel())
    shelf.now = NOW + timedelta(days=10)
    assert publish_later(shelf, other_wheel()).status == 200
    shelf.now = NOW + DAYS

    refuse(shelf, other_wheel(tag="cp312-cp312-linux_x86_64"))


def test_a_file_of_a_closed_release_is_published_once_more(shelf: Shelf) -> None:
    publish(shelf, wheel())
    shelf.now = NOW + DAYS

    assert publish_later(shelf, wheel()).status == 200


def test_other_content_of_a_closed_release_is_refused_as_ever(shelf: Shelf) -> None:
    publish(shelf, wheel())
    shelf.now = NOW + DAYS

    assert publish_later(shelf, wheel(text=metadata() + "x")).code == "file-exists"


def test_a_new_release_is_open_when_an_old_one_is_closed(shelf: Shelf) -> None:
    publish(shelf, wheel())
    shelf.now = NOW + DAYS

    assert publish_later(shelf, wheel(version="1.0.1")).status == 200


@pytest.mark.parametrize(("days", "status"), [(None, 200), (30, 200), (1, 400)])
def test_the_registry_says_how_long_a_release_is_open(
    shelf: Shelf, days: int | None, status: int
) -> None:
    shelf.change(release_open_days=days)
    publish(shelf, wheel())
    shelf.now = NOW + timedelta(days=20)

    assert publish_later(shelf, other_wheel()).status == status


def test_an_unlimited_release_still_has_one_spelling(shelf: Shelf) -> None:
    shelf.change(release_open_days=None)
    publish(shelf, wheel())
    shelf.now = NOW + 100 * DAYS

    refuse(shelf, other_wheel("1.0.0"))


# --- reopened


def reopen(shelf: Shelf) -> None:
    until = shelf.now + timedelta(days=1)
    shelf.store.reopen_release("acme", "widgets", "1", until)


def test_a_reopened_release_takes_files_for_its_time(shelf: Shelf) -> None:
    publish(shelf, wheel())
    shelf.now = NOW + 2 * DAYS
    refuse(shelf, other_wheel())
    reopen(shelf)

    assert publish_later(shelf, other_wheel()).status == 200
    shelf.now += timedelta(days=1)

    detail = refuse(shelf, other_wheel(tag="cp312-cp312-linux_x86_64"))
    assert f"closed to new files on {shelf.now:%Y-%m-%d}" in detail


def test_a_reopened_release_keeps_its_spelling(shelf: Shelf) -> None:
    publish(shelf, wheel())
    shelf.now = NOW + 2 * DAYS
    reopen(shelf)

    refuse(shelf, other_wheel("1.0.0"))


# --- releases that were published before there were records


def old_file(filename: str, days: int = 0) -> PublishedFile:
    """Return a file that an earlier version published, without a record of its release."""
    return PublishedFile(
        registry="acme",
        project="widgets",
        version=str(parse_filename(filename).version),
        filename=filename,
        sha256="0" * 64,
        size=1,
        metadata_sha256="1" * 64,
        requires_python=None,
        uploaded_at=NOW + timedelta(days=days),
        published_by={},
    )


def keep(shelf: Shelf, *files: PublishedFile) -> None:
    for file in files:
        shelf.store.add_file(file)


def test_a_release_without_a_record_has_the_spelling_of_its_first_file(shelf: Shelf) -> None:
    keep(shelf, old_file("widgets-1.0.0-py3-none-any.whl"), old_file("widgets-3.0.tar.gz"))

    assert "spelled `1.0.0`" in refuse(shelf, other_wheel("1.0"))
    publish(shelf, other_wheel("1.0.0"))


def test_a_release_without_a_record_closes_after_its_first_file(shelf: Shelf) -> None:
    keep(shelf, old_file("widgets-1.0-py3-none-any.whl", 1), old_file("widgets-1.0.tar.gz"))
    shelf.now = NOW + DAYS

    refuse(shelf, other_wheel())


MIXED = (
    old_file("widgets-1.0-py3-none-any.whl"),
    old_file("widgets-1.0.0-py3-none-any.whl", 1),
    old_file("widgets-1.0.tar.gz", 2),
    old_file("widgets-1.tar.gz", 2),
)


@pytest.mark.parametrize("spelling", ["1.0", "1.0.0", "1"])
def test_a_mixture_takes_further_wheels_in_each_spelling_that_it_has(
    shelf: Shelf, spelling: str
) -> None:
    keep(shelf, *MIXED)

    publish(shelf, other_wheel(spelling), other_wheel(spelling, "cp312-cp312-win32"))


def test_a_mixture_takes_no_further_spelling_and_no_further_sdist(shelf: Shelf) -> None:
    keep(shelf, *MIXED)

    assert "spelled `1.0`" in refuse(shelf, other_wheel("1.0.0.0"))
    assert "has the sdist `widgets-1.0.tar.gz`" in refuse(shelf, sdist(version="1.0.0"))
    publish(shelf, other_wheel("1.0.0"))
    refuse(shelf, other_wheel("1.0.0.0"))


def test_a_mixture_is_still_read(shelf: Shelf) -> None:
    keep(shelf, *MIXED)

    assert shelf.get("/acme/simple/widgets/").text.count("<a ") == len(MIXED)


# --- a process that ended between the record and the file


def abandon(shelf: Shelf, distribution: Distribution) -> None:
    """Let the process end between its writes of the release record and of the file record."""
    shelf.store.fail_next("add_file")
    assert shelf.publish(distribution).status == 503
    assert shelf.store.releases


def test_the_same_file_is_sent_again_after_a_crash(shelf: Shelf) -> None:
    abandon(shelf, wheel())

    publish(shelf, wheel(), other_wheel())


def test_another_spelling_waits_for_the_claim_to_end_after_a_crash(shelf: Shelf) -> None:
    abandon(shelf, wheel(version="1.0"))

    shelf.now = NOW + CLAIM - timedelta(microseconds=1)
    refuse(shelf, wheel(version="1.0.0"))
    shelf.now = NOW + CLAIM

    publish(shelf, wheel(version="1.0.0"))
    assert "spelled `1.0.0`" in refuse(shelf, wheel(version="1.0"))


def test_a_release_that_was_only_recorded_is_not_closed(shelf: Shelf) -> None:
    abandon(shelf, wheel(version="1.0"))
    shelf.now = NOW + 3 * DAYS

    assert publish_later(shelf, wheel(version="1.0")).status == 200

    shelf.now += DAYS - timedelta(seconds=1)
    assert publish_later(shelf, other_wheel()).status == 200
    shelf.now += timedelta(seconds=1)
    refuse(shelf, other_wheel(tag="cp312-cp312-linux_x86_64"))


def test_who_relies_on_an_old_record_renews_it(shelf: Shelf) -> None:
    """Otherwise another upload could take over the release before this file is visible."""
    abandon(shelf, wheel(version="1.0"))
    shelf.now = NOW + 2 * CLAIM
    shelf.store.fail_next("add_file")
    assert shelf.publish(wheel(version="1.0")).status == 503

    refuse(shelf, wheel(version="1.0.0"))


def test_a_claim_that_is_too_old_publishes_nothing(shelf: Shelf) -> None:
    """Another upload may be about to take the release over."""
    save = shelf.store.save_release

    def save_slowly(*arguments: Any) -> bool:
        shelf.now += CLAIM / 2 + timedelta(microseconds=1)
        return save(*arguments)

    shelf.store.save_release = save_slowly  # type: ignore[method-assign,assignment]

    answer = shelf.publish(wheel())

    assert answer.status == 503
    assert not shelf.store.files


def test_a_claim_beside_published_files_is_respected(shelf: Shelf) -> None:
    keep(shelf, old_file("widgets-1.0-py3-none-any.whl"))
    claim = Release("acme", "widgets", "1", ("1.0.0",), "x.whl", None, NOW, NOW)
    shelf.store.save_release(claim, None)

    publish(shelf, other_wheel("1.0"), other_wheel("1.0.0"))


# --- at once


class Meeting:
    """A store in which somebody else is always a moment earlier."""

    def __init__(self, shelf: Shelf, *others: Distribution) -> None:
        self._save = shelf.store.save_release
        self._shelf = shelf
        self._others = list(others)
        shelf.store.save_release = self  # type: ignore[method-assign]

    def __call__(self, release: Release, present: Release | None) -> bool:
        if self._others:
            publish(self._shelf, self._others.pop())
        return self._save(release, present)


def test_of_two_spellings_at_once_one_is_published(shelf: Shelf) -> None:
    Meeting(shelf, wheel(version="1.0"))

    answer = shelf.publish(wheel(version="1.0.0"))

    assert (answer.status, answer.code) == (400, "invalid-release")
    assert [file.filename for file in shelf.store.files.values()] == [
        "widgets-1.0-py3-none-any.whl"
    ]


def test_two_files_of_one_spelling_at_once_are_both_published(shelf: Shelf) -> None:
    Meeting(shelf, wheel())

    publish(shelf, other_wheel())

    assert len(shelf.store.files) == 2


def test_a_release_that_others_write_all_the_time_is_unavailable(shelf: Shelf) -> None:
    shelf.store.save_release = lambda *_: False  # type: ignore[method-assign]

    answer = shelf.publish(wheel())

    assert answer.status == 503
    assert not shelf.store.files


def test_a_check_writes_nothing(shelf: Shelf) -> None:
    check_release(parse_filename("widgets-1.0.tar.gz"), Registry("acme", ()), shelf.index)

    assert not shelf.store.releases


def test_an_earlier_registry_takes_files_as_large_as_a_new_one_does() -> None:
    document = Registry("acme", ()).document()
    assert document.pop("max_file_size") == 1_073_741_824

    assert Registry.from_document(document) == Registry("acme", ())
    small = replace(Registry("acme", ()), max_file_size=1000)
    assert Registry.from_document(small.document()) == small


def test_an_earlier_registry_closes_its_releases_as_a_new_one_does() -> None:
    document = Registry("acme", ()).document()
    assert document.pop("release_open_days") == 14

    assert Registry.from_document(document) == Registry("acme", ())
    unlimited = replace(Registry("acme", ()), release_open_days=None)
    assert Registry.from_document(unlimited.document()) == unlimited
