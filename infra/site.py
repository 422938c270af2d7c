"""MkDocs hooks: pages of the site that stand outside docs/, and links that lead to them.

The README, the security page, the changelog and the contributors' page are read on the forge, so
they stand at the top of the repository. On the site each is a page like the others. A link to a
file that is not on the site leads to that file in the repository.
"""

import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

# Where each page stands in the repository, by its path on the site.
TOP_PAGES: Final = {
    "index.md": "README.md",
    "security.md": "SECURITY.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
}
# The README's picture needs the room of the table of contents.
_WIDE: Final = "---\nhide: [toc]\n---\n\n"
# The path of a link to another file, without what follows a `#`.
_LINK: Final = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)#\s]+)")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that stand at the top of the repository."""
    root = Path(config.config_file_path).parent
    for page, source in TOP_PAGES.items():
        text = (root / source).read_text(encoding="utf-8")
        head = _WIDE if page == "index.md" else ""
        files.append(File.generated(config, page, content=head + text))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, **_: object) -> str:
    """Return the page's text with each link to another file as the site needs it."""
    here = page.file.src_uri
    source = TOP_PAGES.get(here, f"docs/{here}")
    return _LINK.sub(_relinker(here, source, f"{config.repo_url}/blob/main"), markdown)


def _relinker(here: str, source: str, repository: str) -> Callable[[re.Match[str]], str]:
    """Return what replaces a link on the page ``here``, whose text stands in ``source``."""

    def replace(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[1]))
        on_site = _page_of(target)
        if on_site is None:
            return f"{repository}/{target}"
        return posixpath.relpath(on_site, posixpath.dirname(here) or ".")

    return replace


def _page_of(target: str) -> str | None:
    """Return the path on the site of a file in the repository; None if the site lacks it."""
    for page, source in TOP_PAGES.items():
        if target == source:
            return page
    return target.removeprefix("docs/") if target.startswith("docs/") else None
