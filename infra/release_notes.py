"""Print the changelog's section of a version: `release_notes.py v0.2.0`.

The tag must be the version of the package, and the changelog must have a section of that version;
otherwise nothing is released.
"""

import re
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]


def read_version() -> str:
    """Return the package's version, which stands in its ``__init__.py`` alone."""
    text = (ROOT / "functions/pytp_broker/__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    if found is None:
        raise SystemExit('functions/pytp_broker/__init__.py has no line `__version__ = "…"`')
    return found[1]


def read_notes(changelog: str, version: str) -> str:
    """Return the text of a version's section, without its title; exit if there is none."""
    title = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n"
    found = re.search(title + r"(.*?)(?=^## |^\[|\Z)", changelog, re.MULTILINE | re.DOTALL)
    if found is None or not found[1].strip():
        raise SystemExit(
            f"CHANGELOG.md has no section `## [{version}] - YYYY-MM-DD` with text: "
            "rename `## [Unreleased]`, and commit before you tag"
        )
    return found[1].strip() + "\n"


def main(tag: str) -> None:
    """Print the notes of the version that a tag names; exit if the package has another version."""
    version = read_version()
    if tag != f"v{version}":
        raise SystemExit(f"the tag is `{tag}`, but the package has the version `{version}`")
    sys.stdout.write(read_notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), version))


if __name__ == "__main__":
    main(*sys.argv[1:])
