"""A release of one sdist and six wheels: atomic, continued after a kill, and installed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.emulator import Emulator
from tests.support.large_files import MB, RELEASE, Release
from tests.support.release_story import Site, site

pytestmark = pytest.mark.e2e

# `make bench` publishes the files in their real sizes.
PART = 50


@pytest.fixture(
    params=["folder", pytest.param("emulator", marks=pytest.mark.ministack)], scope="module"
)
def at(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("release")
    stand_in: Emulator | None = None
    if request.param == "emulator":
        stand_in = request.getfixturevalue("emulator")
    with site(folder, stand_in) as running:
        yield running


def files_of(at: Site, version: str) -> list[Path]:
    return Release(version=version, greeting=version).build(at.folder / version, part=PART)


def test_a_release_becomes_visible_in_one_step_and_installs(at: Site) -> None:
    files = files_of(at, "1.0")

    with at.watched() as numbers:
        at.publish(files)

    assert at.visible == sorted(file.name for file in files)
    assert set(numbers) <= {0, len(RELEASE)}
    assert at.install("pip")[1] == "1.0\n"
    assert at.install("uv")[1] == "1.0\n"


def test_twine_publishes_a_large_wheel_through_the_proxy(at: Site) -> None:
    wheel = Release(version="1.1").write(at.folder, "py3-none-any", 30 * MB)

    at.publish_with_twine([wheel])

    assert wheel.name in at.visible


def test_a_killed_publish_shows_nothing_and_the_next_one_sends_what_is_missing(at: Site) -> None:
    files = files_of(at, "2.0")
    before = at.visible
    done = at.publish_until(files, completed=2)
    assert at.visible == before
    seen = len(at.completed)

    at.publish(files)

    again = at.completed[seen:]
    assert not done & set(again)
    assert {file.name for file in files} <= set(at.visible)
