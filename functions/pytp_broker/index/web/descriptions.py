"""The description of a distribution as a page shows it: as HTML, or as the plain text that it is.

A description that is too long, takes too long or cannot be rendered is shown as plain text, with a
sentence that says why.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

# The longest README that we know has 160 KiB.
MAX_RENDERED_CHARACTERS: Final = 256 * 1024
MAX_HTML_CHARACTERS: Final = 1024 * 1024

MARKDOWN: Final = "text/markdown"
# PyPI reads a description without a content type as reStructuredText.
_DEFAULT: Final = "text/x-rst"
_RENDERED: Final = frozenset({MARKDOWN, _DEFAULT})
# Characters that nobody sees, and those that reverse what follows them (Unicode TR 36).
_MISLEADING: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\N{LEFT-TO-RIGHT EMBEDDING}-\N{RIGHT-TO-LEFT OVERRIDE}"
    "\N{LEFT-TO-RIGHT ISOLATE}-\N{POP DIRECTIONAL ISOLATE}]"
)

# Returns the sanitised HTML of a content type and a text, or "" if it cannot be rendered.
Render = Callable[[str, str], str]


class BusyError(Exception):
    """Too many descriptions are being rendered now."""


@dataclass(frozen=True, slots=True)
class Description:
    """A description: sanitised ``html``, or else ``text`` and a ``note`` that says why.

    ``is_final`` is false if another try may give another result.
    """

    html: str = ""
    text: str = ""
    note: str = ""
    is_final: bool = True


def describe(content_type: str, text: str, render: Render) -> Description:
    """Return a description as it is shown."""
    text = _MISLEADING.sub("", text).strip()
    if len(text) > MAX_RENDERED_CHARACTERS:
        return Description(text=text[:MAX_RENDERED_CHARACTERS], note=_note_length(text))
    kind = content_type.partition(";")[0].strip().lower() or _DEFAULT
    if kind not in _RENDERED or not text:
        return Description(text=text)
    try:
        html = render(kind, text).strip()
    except BusyError:
        note = "Other descriptions are being rendered now, so this one is shown as plain text."
        return Description(text=text, note=note, is_final=False)
    if html and len(html) <= MAX_HTML_CHARACTERS:
        return Description(html=html)
    return Description(text=text, note=_note_failure(kind) if content_type else "")


def _note_length(text: str) -> str:
    return (
        f"The description has {len(text):,} characters. The first {MAX_RENDERED_CHARACTERS:,} are "
        "shown, as plain text; the file's own metadata has all of them."
    )


def _note_failure(kind: str) -> str:
    return f"The description could not be rendered as {kind}, so it is shown as plain text."
