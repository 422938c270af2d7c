"""Render a description as HTML, in a process of its own: text in, sanitised HTML out.

A publisher chooses the text, and the libraries that render it are large. This process has no
credentials and bounded memory, and ``descriptions`` ends it when it takes too long.
"""

import os
import re
import sys
import warnings
from contextlib import suppress
from html import escape, unescape
from typing import Final

import nh3
from readme_renderer.clean import ALLOWED_ATTRIBUTES, ALLOWED_TAGS

from pytp_broker.index.web.descriptions import MARKDOWN

# As much address space as a small function of Lambda has memory.
_MEMORY_BYTES: Final = 448 * 1024 * 1024

# Tags as the first sanitiser writes them: it quotes every value, and escapes quotes within.
_TAG: Final = r"<{}((?: [a-z]+=\"[^\"]*\")*)>"
_BOX: Final = re.compile(_TAG.format("input"))
_IMAGE: Final = re.compile(_TAG.format("img"))
_ALT: Final = re.compile(r' alt="([^"]*)"')
_NAMELESS_LINK: Final = re.compile(_TAG.format("a") + "</a>")
_ASIDE: Final = re.compile(r"(</?)aside(?=[ >])")
_HEADING: Final = re.compile(r"(</?h)([1-6])(?=[ >])")
# The page's own headings are of the first and second level.
_HEADINGS_ABOVE: Final = 2
# Pygments' short classes for the colours of code, docutils' class for code within a line, and ours
# for an image. None is a class of the pages around the description.
_CLASS: Final = re.compile(r"[a-z][a-z0-9]{0,2}|literal|image")
_ABSOLUTE: Final = re.compile(r"(?:https?://|mailto:|#)", re.IGNORECASE)


def render(content_type: str, text: str) -> str:
    """Return a description as HTML that is safe to show, or "" if it cannot be rendered."""
    rendered = _render(content_type, text)
    return _CLEANER.clean(_adapt(rendered)) if rendered else ""


def _adapt(html: str) -> str:
    """Return the HTML as it fits into a page; it is sanitised once more after this."""
    html = _BOX.sub(_write_box, _IMAGE.sub(_describe_image, html))
    # Headings link to themselves, with nothing to see or read in the link.
    html = _NAMELESS_LINK.sub("", html)
    # An aside is a landmark, which belongs to the page and not to a text in it.
    return _HEADING.sub(_lower, _ASIDE.sub(r"\1blockquote", html))


def _describe_image(tag: re.Match[str]) -> str:
    """Return the text that stands for an image, because the page asks no other host for one."""
    alt = _ALT.search(tag[1])
    shown = escape(unescape(alt[1]).strip()) if alt else ""
    return f'<span class="image">{shown}</span>' if shown else ""


def _write_box(tag: re.Match[str]) -> str:
    """Return a box of a task list as a character, because a form's field would need a label."""
    if 'type="checkbox"' not in tag[1]:
        return ""
    return "☑" if " checked=" in tag[1] else "☐"


def _render(content_type: str, text: str) -> str | None:
    # Each of these imports many modules, and a process renders one description.
    if content_type == MARKDOWN:
        from readme_renderer import markdown

        return markdown.render(text)
    from readme_renderer import rst

    return rst.render(text)


def _lower(tag: re.Match[str]) -> str:
    return f"{tag[1]}{min(6, int(tag[2]) + _HEADINGS_ABOVE)}"


def _filter(_tag: str, attribute: str, value: str) -> str | None:
    """Return the value that an attribute keeps; None removes it."""
    if attribute == "href":
        # A relative link would lead to an address of ours at which there is nothing.
        return value if _ABSOLUTE.match(value) else None
    if attribute == "class":
        names = [name for name in value.split() if _CLASS.fullmatch(name)]
        return " ".join(names) or None
    return value


_CLEANER: Final = nh3.Cleaner(
    tags=ALLOWED_TAGS - {"aside", "img", "input", "nav", "picture"},
    # `lang` has the language of the code, and HTML would take it for the reader's.
    attributes={**ALLOWED_ATTRIBUTES, "pre": {"class"}},
    attribute_filter=_filter,
    url_schemes={"http", "https", "mailto"},
    link_rel="nofollow noopener",
    # A keyboard can scroll only what it can reach.
    set_tag_attribute_values={"pre": {"tabindex": "0"}},
)


def _limit() -> None:
    """Bound this process: its memory, its files and its share of the processor."""
    if os.name != "posix":
        return  # the caller's deadline holds everywhere
    import resource

    with suppress(OSError, ValueError):  # some systems do not bound all of these
        os.nice(10)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))


def main() -> None:
    """Read a content type, a newline and a text; write the HTML, or nothing."""
    _limit()
    warnings.simplefilter("ignore")
    content_type, _, text = sys.stdin.buffer.read().decode().partition("\n")
    sys.stdout.buffer.write(render(content_type, text).encode())


if __name__ == "__main__":
    main()
