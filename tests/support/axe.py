"""axe-core: can people with a keyboard, a screen reader or weak eyes use a page?"""

import base64
import hashlib
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.browser import Browser

_PACKAGE: Final = "axe-core@4.14.1"
# What the registry of npm says of this version.
_SHA512: Final = (
    "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
)
_RUN: Final = "axe.run(document, {resultTypes: ['violations']}).then(arguments[0])"


@pytest.fixture(scope="session")
def axe(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the script of axe-core, kept in pytest's cache; skip where npm cannot fetch it."""
    cache: pytest.Cache | None = getattr(request.config, "cache", None)
    place = cache.mkdir("axe") if cache else tmp_path_factory.mktemp("axe")
    archive = place / f"{_PACKAGE.replace('@', '-')}.tgz"
    if not archive.is_file():
        _fetch(place)
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    assert digest == _SHA512, f"{archive} is not {_PACKAGE}"
    with tarfile.open(archive) as files:
        script = files.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()


def _fetch(place: Path) -> None:
    command = ["npm", "pack", "--silent", _PACKAGE, "--pack-destination", str(place)]
    try:
        subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        refuse = pytest.fail if os.environ.get("PYTP_REQUIRE_ALL") == "1" else pytest.skip
        refuse(f"npm cannot fetch {_PACKAGE}: {error}")


def violations(browser: Browser, axe: str) -> list[str]:
    """Return what is wrong with the page that is shown: the rule, and the places."""
    browser.run(axe)
    found: dict[str, Any] = browser.driver.execute_async_script(_RUN)
    return [
        f"{each['id']}: {[node['html'] for node in each['nodes']]}" for each in found["violations"]
    ]
