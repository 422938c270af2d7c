"""A release of one sdist and six wheels, from 1 MB to 500 MB, beside a bare PUT of the same bytes.

It is published to a server on a folder and to one on an emulator of AWS, becomes visible in one
step, is installed by pip and uv, and is continued after a kill. Run it with `make bench`. The
throughput depends on the machine; trust the ratio to the bare PUT, which neither looks at what it
gets nor asks who sends it.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Final

import pytest

from tests.benchmarks.goals import Goals
from tests.support.bare_put import BareServer, bare_server
from tests.support.emulator import Emulator
from tests.support.large_files import MB, RELEASE, Release
from tests.support.release_story import COMMAND, Site, site

ROUNDS: Final = 3
ONE_WHEEL: Final = 125 * MB
GIGABYTE: Final = 1e9


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BareServer]:
    with bare_server(tmp_path_factory.mktemp("bare")) as running:
        yield running


@pytest.fixture(params=["folder", "emulator"], scope="module")
def at(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    stand_in: Emulator | None = None
    if request.param == "emulator":
        stand_in = request.getfixturevalue("emulator")
    with site(tmp_path_factory.mktemp("release"), stand_in) as running:
        print(f"\n--- a server on {'a folder' if stand_in is None else 'an emulator of AWS'}")
        yield running


def test_a_release_is_published_in_one_step_and_installed(at: Site, bare: BareServer) -> None:
    files = Release(version="1.0", greeting="1.0").build(at.folder / "1.0")
    put = sum(bare.seconds_for(file) for file in files)

    with at.watched() as numbers:
        seconds, _ = at.publish(files)

    assert set(numbers) <= {0, len(RELEASE)}
    assert at.visible == sorted(file.name for file in files)
    show("bare PUT, one file after the other", files, put)
    show("publish, from the first request to the last", files, seconds)
    print(f"{'files that a reader saw':44} {' then '.join(map(str, numbers))}")
    for installer in ("pip", "uv"):
        seconds, greeting = at.install(installer)
        assert greeting == "1.0\n"
        print(f"{f'{installer} installs its wheel of 125 MB':44} {seconds:6.1f} s")
    delete(files)


def test_a_killed_publish_goes_on_where_it_ended(at: Site) -> None:
    files = Release(version="2.0").build(at.folder / "2.0")
    before = at.visible
    done = at.publish_until(files, completed=len(RELEASE) // 2)
    assert at.visible == before
    seen = len(at.completed)

    seconds, _ = at.publish(files)

    again = at.completed[seen:]
    assert not done & set(again)
    assert {file.name for file in files} <= set(at.visible)
    missing = [file for file in files if file.name not in done]
    show(f"killed with {len(done)} of {len(files)} files, again", missing, seconds)
    delete(files)


def test_one_wheel_of_125_mb(at: Site, bare: BareServer, goals: Goals) -> None:
    """The client's start takes a second, so the wheel's own time is printed as well."""
    seconds: list[float] = []
    puts: list[float] = []
    for number in range(ROUNDS):
        release = Release(version=f"3.{number}")
        wheel = release.write(at.folder, "py3-none-any", ONE_WHEEL)
        puts.append(bare.seconds_for(wheel))
        seconds.append(at.publish([wheel])[0])
        wheel.unlink()
    wheel = Release(version="4.0").write(at.folder, "py3-none-any", ONE_WHEEL)
    by_twine, _ = at.publish_with_twine([wheel])
    assert wheel.name in at.visible
    wheel.unlink()
    start = min(at.run(*COMMAND, "publish", "--help")[0] for _ in range(ROUNDS))
    rates = [ONE_WHEEL / each / MB for each in (median(puts), median(seconds))]
    own = ONE_WHEEL / (median(seconds) - start) / MB
    print(f"{'125 MB: bare PUT':44} {rates[0]:6.0f} MB/s")
    for alone in [median(at.put_seconds[-ROUNDS - 1 :])] if at.put_seconds else []:
        rate = ONE_WHEEL / alone / MB
        ratio = rate / rates[0]
        print(f"{'125 MB: the PUT of publish alone':44} {rate:6.0f} MB/s, {ratio:.2f} of it")
        goals.at_least("uploads", "125 MB, PUT of the Upload API", 0.7, ratio, "of a bare PUT")
    print(f"{'125 MB: publish, start and exchange included':44} {rates[1]:6.0f} MB/s")
    print(f"{f'125 MB: without the start of {start:.2f} s':44} {own:6.0f} MB/s")
    print(f"{'125 MB: twine through the proxy':44} {ONE_WHEEL / by_twine / MB:6.0f} MB/s")
    print(f"{'ratio to the bare PUT':44} {rates[1] / rates[0]:6.2f} ({own / rates[0]:.2f})")


def show(what: str, files: Sequence[Path], seconds: float) -> None:
    size = sum(file.stat().st_size for file in files)
    print(f"{what:44} {seconds:6.1f} s {size / MB / seconds:6.0f} MB/s ({size / GIGABYTE:.2f} GB)")


def delete(files: Sequence[Path]) -> None:
    for file in files:
        file.unlink()
