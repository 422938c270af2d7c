"""Compression of pages: who gets gzip, and what a page may weigh."""

import random
import zlib

import pytest

from pytp_broker.errors import NotAcceptable
from pytp_broker.http import compression
from pytp_broker.http.compression import check_uncompressed, compress
from pytp_broker.index.web.style import style, style_url
from tests.support.deployment import Answer
from tests.support.distributions import sdist
from tests.support.shelf import Shelf
from tests.support.stock import HTML, JSON, stocked_shelf

PAGE = "/acme/simple/widgets/"


@pytest.fixture
def shelf() -> Shelf:
    """Return an index with a page that is large enough to be compressed."""
    shelf = stocked_shelf()
    for minor in range(1, 5):
        shelf.publish(sdist(version=f"1.{minor}"))
    return shelf


def unpack(answer: Answer) -> bytes:
    return zlib.decompress(answer.body, 31)


@pytest.mark.parametrize(
    ("accept_encoding", "is_compressed"),
    [
        (None, False),
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("br;q=1.0, gzip;q=0.2", True),
        ("*", True),
        ("*;q=0.1", True),
        ("gzip;q=0.001", True),
        ("gzip;q=0", False),
        ("gzip; q = 0.0", False),
        ("gzip;q=0, *", False),
        ("*;q=0", False),
        ("identity", False),
        ("br, deflate", False),
        ("identity, gzip", True),
        ("identity;q=0.5, gzip", True),
        ("identity, gzip;q=0.5", False),
        ("gzip;q=x", False),
        ("gzip;q=nan", False),
        (",;,=;q", False),
    ],
)
def test_a_page_is_compressed_for_a_client_that_likes_gzip(
    shelf: Shelf, accept_encoding: str | None, is_compressed: bool
) -> None:
    headers = {} if accept_encoding is None else {"accept_encoding": accept_encoding}

    answer = shelf.get(PAGE, JSON, **headers)

    assert answer.headers.get("Content-Encoding") == ("gzip" if is_compressed else None)
    assert answer.headers["Vary"] == "Accept, Accept-Encoding"


@pytest.mark.parametrize("accept", [JSON, HTML])
def test_compression_changes_only_the_size_of_a_page(shelf: Shelf, accept: str) -> None:
    plain = shelf.get(PAGE, accept)
    compressed = shelf.get(PAGE, accept, accept_encoding="gzip")

    assert unpack(compressed) == plain.body
    assert len(compressed.body) < len(plain.body)
    assert compressed.headers["Content-Type"] == plain.headers["Content-Type"]
    assert compressed.headers["Content-Length"] == str(len(compressed.body))


def test_a_small_page_is_sent_as_it_is(shelf: Shelf) -> None:
    answer = shelf.get("/acme/simple/", JSON, accept_encoding="gzip")

    assert "Content-Encoding" not in answer.headers
    assert answer.json["projects"]
    assert answer.headers["Vary"] == "Accept, Accept-Encoding"


def test_each_encoding_has_a_tag_of_its_own(shelf: Shelf) -> None:
    plain = shelf.get(PAGE, JSON).headers["ETag"]
    compressed = shelf.get(PAGE, JSON, accept_encoding="gzip").headers["ETag"]

    assert plain != compressed
    assert shelf.get(PAGE, JSON, if_none_match=compressed).status == 200
    again = shelf.get(PAGE, JSON, if_none_match=compressed, accept_encoding="gzip")
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", compressed)
    assert again.headers["Vary"] == "Accept, Accept-Encoding"


def test_head_describes_the_compressed_page(shelf: Shelf) -> None:
    got = shelf.get(PAGE, JSON, accept_encoding="gzip")
    head = shelf.call("HEAD", PAGE, headers={"accept": JSON, "accept-encoding": "gzip"})

    assert head.body == b""
    assert head.headers == got.headers


def test_the_style_sheet_is_compressed(shelf: Shelf) -> None:
    shelf.FUNCTIONS = ("web",)  # type: ignore[misc]

    answer = shelf.get(f"/{style_url().lstrip('/')}", accept_encoding="gzip")

    assert unpack(answer) == style()
    assert answer.headers["Vary"] == "Accept-Encoding"


def test_a_client_without_gzip_is_told_to_take_it_for_a_large_page(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(shelf.get(PAGE, JSON).body)
    monkeypatch.setattr(compression, "MAX_ANSWER_BYTES", size)
    # The page that was sent is kept, and goes with its edition.
    shelf.store.yank_release("acme", "widgets", "9", "breaks")

    refused = shelf.get(PAGE, JSON)

    assert (refused.status, refused.code) == (406, "not-acceptable")
    assert "Accept-Encoding: gzip" in refused.detail
    assert shelf.get(PAGE, JSON, accept_encoding="gzip").status == 200


def test_a_page_that_is_too_large_even_compressed_is_refused(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compression, "MAX_ANSWER_BYTES", 500)

    refused = shelf.get(PAGE, JSON, accept_encoding="gzip")

    assert (refused.status, refused.code) == (406, "not-acceptable")
    assert "divide the project" in refused.detail


# A Lambda function answers with 6,291,456 bytes of JSON at most.


@pytest.mark.parametrize("body", [b"x" * 6_280_000, b'"' * 3_140_000, b"\\" * 3_140_000])
def test_the_limit_counts_a_body_as_the_gateway_gets_it(body: bytes) -> None:
    with pytest.raises(NotAcceptable):
        check_uncompressed(body)

    check_uncompressed(body[: len(body) - 10_000])


def test_the_limit_counts_compressed_bytes_as_base64() -> None:
    assert len(compress(random.Random(0).randbytes(4_700_000))) < 4_705_000  # noqa: S311
    with pytest.raises(NotAcceptable):
        compress(random.Random(0).randbytes(4_710_000))  # noqa: S311
