"""Pages of other indexes, whatever they hold: they are read, or refused with a sentence."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from hypothesis import example, given
from hypothesis import strategies as st

from pytp_broker.cli.sources import html_pages, json_pages
from pytp_broker.cli.sources.page_links import UnreadablePageError
from pytp_broker.index.offers import OfferedProject
from pytp_broker.names import normalize

URL: Final = "https://old.example.com/simple/widgets/"
WIDGETS: Final = normalize("widgets")

SCALARS: Final = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES: Final = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10
)
TIMES: Final = st.datetimes().map(str) | st.text() | st.just("0001-01-01T00:00:00+14:00")
FILES: Final = st.fixed_dictionaries(
    {},
    optional={
        "filename": st.text() | st.from_regex(r"widgets-[0-9.-]+(\.tar\.gz|\.zip)", fullmatch=True),
        "url": st.text() | st.sampled_from(["/x.whl", "https://[1/", "//[", "http://a:b@c/"]),
        "hashes": st.dictionaries(st.sampled_from(["sha256", "md5", "x"]), SCALARS) | VALUES,
        "size": VALUES,
        "upload-time": TIMES | VALUES,
        "yanked": VALUES,
    },
)
DOCUMENTS: Final = st.fixed_dictionaries(
    {"meta": st.just({"api-version": "1.0"}) | VALUES},
    optional={
        "files": st.lists(FILES | VALUES) | VALUES,
        "projects": VALUES,
        "project-status": st.fixed_dictionaries(
            {}, optional={"status": st.sampled_from(["archived", "x"]) | VALUES, "reason": VALUES}
        )
        | VALUES,
    },
)
MARKUP: Final = st.lists(
    st.sampled_from(
        [
            *("<a href='x.whl'>", "<a href>", "</a>", "<base href='//['>", "<meta name=x content>"),
            *("<!", "<![", "<!--", "-->", "]]>", "<?", "</", "&#xFFFFFFFF;", "&", "<a href=", '"'),
            "<a data-yanked href='/widgets-1.0.tar.gz#sha256=0'>",
        ]
    )
    | st.text(),
    max_size=20,
).map("".join)
TYPES: Final = st.sampled_from(
    ["text/html", "text/html; charset=utf-7", "; charset=idna"]
) | st.text(st.characters(min_codepoint=32, max_codepoint=126))


def attempt(read: Callable[..., Any], *arguments: Any) -> None:
    """Read a page, or find that it is refused; whatever is offered has a version or none."""
    with suppress(UnreadablePageError):
        found = read(*arguments)
        if isinstance(found, OfferedProject):
            assert "" not in found.yanked_releases()


@given(st.binary() | DOCUMENTS.map(lambda document: json.dumps(document).encode()))
@example(
    b'{"meta":{"api-version":"1"},"files":[{"filename":"x","url":"x",'
    b'"upload-time":"0001-01-01T00:00:00+14:00"}]}'
)
def test_any_json_is_read_or_refused(body: bytes) -> None:
    attempt(json_pages.read_project_names, body)
    attempt(json_pages.read_project, body, URL, WIDGETS)


@given(st.binary() | MARKUP.map(lambda text: text.encode("utf-8", "surrogatepass")), TYPES)
@example(b"<![A\x00", "text/html")
def test_any_html_is_read_or_refused(body: bytes, kind: str) -> None:
    attempt(html_pages.read_project_names, body, kind)
    attempt(html_pages.read_project, body, kind, URL, WIDGETS)
