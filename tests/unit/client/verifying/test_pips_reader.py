"""Requirements files: `verify` sees every file that pip may install because of one, or refuses."""

import logging
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import InvalidRequirement, Requirement
from pip._internal.exceptions import InstallationError
from pip._internal.network.session import PipSession
from pip._internal.req.req_file import parse_requirements

from pytp_broker.client.verifying.selection import find_meant
from pytp_broker.client.verifying.targets import HashedRequirement
from pytp_broker.names import normalize

# An older pip imports a module of its own that warns.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

HASHES: Final = [letter * 64 for letter in "abc"]
ANY: Final = "any file"
GOOD: Final = f"widgets==1.0 --hash=sha256:{HASHES[0]} # a comment\n"
HIDDEN: Final = f'evil[x]>=1 ; python_version<"4" \\\n    --hash=sha256:{HASHES[1]}\r\n'
# What may hide a line, continue it, or look as if it did one of these.
ODD: Final = (
    *("", "# a comment\n", "# a comment \\\n", "  # a comment\\\r\n", "#\\\\\n", "#\\ \n", " #"),
    *("\\\n", " \\\n", "\\", "\n", "\r", "\t", "\x0b", "\x0c", "\x1c", "\x85", "#\u2028"),
    *("--pre\n", "-i https://x.example/simple\n", f"    --hash=sha256:{HASHES[2]}\n"),
    *("gizmos==2\n", "gizmos==2 \\\n", "gizmos==2 # a comment \\\n"),
)
PAIRS: Final = tuple(product(ODD, repeat=2))

Allowed = set[tuple[str, str]]


@pytest.fixture
def path(quick_path: Path) -> Iterator[Path]:
    """Return the file of all texts; pip would tell the log about each."""
    logging.disable()
    yield quick_path / "requirements.txt"
    logging.disable(logging.NOTSET)


def allowed_by_pip(path: Path, session: PipSession) -> Allowed:
    """Return the projects and hashes that pip reads; none if it refuses the file."""
    found: Allowed = set()
    try:
        for line in parse_requirements(str(path), session=session):
            name = normalize(Requirement(line.requirement).name)
            hashes = (line.options or {}).get("hashes", {}).get("sha256", [ANY])
            # One that continues on the next line without a blank is that of no file.
            found |= {(name, each) for each in hashes if each in {*HASHES, ANY}}
    except (InstallationError, InvalidRequirement, SystemExit):
        return set()
    return found


def allowed_by_us(path: Path) -> Allowed | None:
    """Return the projects and hashes that are verified; None if the file is not."""
    meant = find_meant([path])
    kept = [each for each in meant if isinstance(each, HashedRequirement)]
    if len(kept) < len(meant):
        return None
    return {(each.project, sha256) for each in kept for sha256 in each.hashes}


@pytest.mark.promise("whole-list")
@pytest.mark.parametrize("form", ["{good}{one}{two}{hidden}", "{one}{hidden}{two}{good}"])
def test_pip_installs_nothing_that_was_not_seen(path: Path, form: str) -> None:
    session, read = PipSession(), 0
    for one, two in PAIRS:
        text = form.format(good=GOOD, hidden=HIDDEN, one=one, two=two)
        path.write_bytes(text.encode())

        ours, pips = allowed_by_us(path), allowed_by_pip(path, session)

        assert ours is None or pips <= ours, text
        read += ours is not None and bool(pips)

    assert read > len(PAIRS) / 10
