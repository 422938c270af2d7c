"""Content negotiation: the type, the cached copy, and a range of bytes."""

import pytest

from pytp_broker.http.negotiation import PLAIN_JSON, choose_json
from tests.support.deployment import Answer
from tests.support.distributions import sdist
from tests.support.shelf import Shelf
from tests.support.stock import HTML, JSON, WHEEL, WHEEL_PATH, stocked_shelf

PIP = f"{JSON}, {HTML}; q=0.1, text/html; q=0.01"
UV = f"{JSON}, {HTML};q=0.2, text/html;q=0.01"
OWN = "application/vnd.example+json"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.fixture
def shelf() -> Shelf:
    return stocked_shelf()


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "text/html"),
        ("", "text/html"),
        ("*/*", "text/html"),
        ("text/*", "text/html"),
        ("text/html", "text/html"),
        ("application/json", "text/html"),
        ("application/pdf;q=1, image/*", "text/html"),
        (BROWSER, "text/html"),
        (PIP, JSON),
        (UV, JSON),
        (PIP.upper(), JSON),
        (JSON, JSON),
        (HTML, HTML),
        ("application/vnd.pypi.simple.latest+json", JSON),
        ("application/vnd.pypi.simple.latest+html", HTML),
        ("application/vnd.pypi.simple.v2+json", "text/html"),
        (f"text/html, {HTML}, {JSON}", JSON),
        (f"{JSON};q=0.5, {HTML};q=0.9", HTML),
        (f"{JSON};q=0.5, text/html", "text/html"),
        (f"{JSON};q=0.5, text/html;q=0.400", JSON),
        (f"{JSON};q=0", "text/html"),
        (f"{JSON};q=0, {HTML};q=0.001", HTML),
        (f"{JSON};q=x, {HTML};q=0.1", HTML),
        (f"{JSON};q=2, {HTML};q=0.1", HTML),
        (f"{JSON};q=nan, {HTML};q=0.1", HTML),
        (f"{JSON};level=1, text/html;q=0.5", JSON),
        (f"{JSON} ; Q = 0.1 , {HTML} ; q = 0.2", HTML),
        (",;,=;q", "text/html"),
    ],
)
def test_the_content_type_is_what_the_client_likes_best(
    shelf: Shelf, accept: str | None, content_type: str
) -> None:
    for path in ("/acme/simple/", "/acme/simple/widgets/"):
        answer = shelf.get(path, accept)

        assert answer.status == 200
        assert answer.headers["Content-Type"] == content_type
        assert answer.headers["Vary"] == "Accept, Accept-Encoding"


PAGES = [
    (path, accept) for path in ("/acme/simple/", "/acme/simple/widgets/") for accept in (JSON, HTML)
]


@pytest.mark.parametrize(("path", "accept"), PAGES)
def test_a_page_is_kept_only_to_be_asked_about(shelf: Shelf, path: str, accept: str) -> None:
    first = shelf.get(path, accept)
    second = shelf.get(path, accept, if_none_match=first.headers["ETag"])

    assert first.headers["Cache-Control"] == "public, s-maxage=5, max-age=0, must-revalidate"
    assert second.status == 304
    assert second.body == b""
    assert second.headers["ETag"] == first.headers["ETag"]


def test_representations_have_tags_of_their_own(shelf: Shelf) -> None:
    tags = {shelf.get("/acme/simple/widgets/", accept).headers["ETag"] for accept in (JSON, HTML)}

    assert len(tags) == 2
    assert all(tag.startswith('"') for tag in tags)


def test_a_new_file_changes_the_tag(shelf: Shelf) -> None:
    tag = shelf.get("/acme/simple/widgets/", JSON).headers["ETag"]
    shelf.publish(sdist(version="1.1"))

    assert shelf.get("/acme/simple/widgets/", JSON, if_none_match=tag).status == 200


@pytest.mark.parametrize(
    ("template", "status"),
    [
        ("{tag}", 304),
        ("W/{tag}", 304),
        ('"x", {tag}', 304),
        ("*", 304),
        ('"x"', 200),
        ("", 200),
        ("x", 200),
    ],
)
def test_a_tag_is_recognised(shelf: Shelf, template: str, status: int) -> None:
    tag = shelf.get("/acme/simple/").headers["ETag"]

    answer = shelf.get("/acme/simple/", if_none_match=template.format(tag=tag))

    assert answer.status == status


@pytest.mark.parametrize(
    "path", ["/acme/simple/", "/acme/simple/widgets/", WHEEL_PATH, f"{WHEEL_PATH}.metadata"]
)
def test_head_is_get_without_the_body(shelf: Shelf, path: str) -> None:
    got = shelf.get(path)
    head = shelf.call("HEAD", path)

    assert head.status == 200
    assert head.body == b""
    assert head.headers == got.headers
    assert head.headers["Content-Length"] == str(len(got.body))


SIZE = len(WHEEL.content)


def ranged(shelf: Shelf, value: str, **headers: str) -> Answer:
    return shelf.get(WHEEL_PATH, range=value, **headers)


@pytest.mark.parametrize(
    ("value", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-9", 0, 10),
        ("bytes=10-", 10, SIZE),
        ("bytes=-10", SIZE - 10, SIZE),
        ("bytes=-99999999", 0, SIZE),
        (f"bytes=5-{SIZE + 100}", 5, SIZE),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
    ],
)
def test_a_part_of_a_file_is_sent(shelf: Shelf, value: str, start: int, stop: int) -> None:
    answer = ranged(shelf, value)

    assert answer.status == 206
    assert answer.body == WHEEL.content[start:stop]
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{SIZE}"
    assert answer.headers["Content-Length"] == str(stop - start)


@pytest.mark.parametrize("value", [f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE + 5}", "bytes=-0"])
def test_a_part_that_is_not_there_cannot_be_sent(shelf: Shelf, value: str) -> None:
    answer = ranged(shelf, value)

    assert answer.status == 416
    assert answer.headers["Content-Range"] == f"bytes */{SIZE}"
    assert answer.detail == f"the file has only {SIZE} bytes"


@pytest.mark.parametrize(
    "value",
    [
        "bytes=-",
        "bytes=5-4",
        "bytes=0-1,4-5",
        "bytes=a-b",
        "lines=0-1",
        "bytes=0",
        "bytes=" + "9" * 30,
    ],
)
def test_a_range_that_we_do_not_know_means_the_whole(shelf: Shelf, value: str) -> None:
    assert ranged(shelf, value).status == 200


def test_a_range_of_another_file_means_the_whole(shelf: Shelf) -> None:
    tag = shelf.get(WHEEL_PATH).headers["ETag"]

    assert ranged(shelf, "bytes=0-1", if_range='"x"').status == 200
    assert ranged(shelf, "bytes=0-1", if_range=tag).status == 206


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", OWN),
        ("*/*", OWN),
        ("application/*", OWN),
        (f"{OWN}, application/json", OWN),
        ("application/json", PLAIN_JSON),
        ("application/json, */*;q=0.1", PLAIN_JSON),
        (f"{OWN};q=0, */*;q=0.1", PLAIN_JSON),
        (f"{OWN};q=0.2, application/json;q=0.1", OWN),
        ("application/json;q=0, application/*", OWN),
        ("text/html", None),
        ("*/*;q=0", None),
    ],
)
def test_the_more_specific_element_decides_about_a_type_of_json(
    accept: str, chosen: str | None
) -> None:
    assert choose_json(accept, OWN) == chosen
