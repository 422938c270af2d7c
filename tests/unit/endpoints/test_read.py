"""What installers read: pages, files and metadata, as the wire shows them."""

import hashlib
import json
from html.parser import HTMLParser

import pytest
from packaging.utils import canonicalize_name

from pytp_broker.endpoints import read
from pytp_broker.endpoints.events import handle
from pytp_broker.endpoints.routing import respond
from pytp_broker.http.messages import Request
from pytp_broker.local.gateway_events import HttpRequest, build_event
from pytp_broker.local.routes import GatewayRoute, Selected
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.project_status import ACTIVE, ProjectStatus
from tests.support.deployment import HOST
from tests.support.distributions import Distribution, metadata, sdist, wheel
from tests.support.gateways import body_of
from tests.support.samples import tombstone
from tests.support.shelf import Shelf
from tests.support.signing import NOW
from tests.support.stock import HTML, JSON, SDIST, WHEEL, WHEEL_PATH, stocked_shelf

LOCAL = wheel(version="1.0+local")
QUARANTINED = ProjectStatus("quarantined", "malware")
METADATA = metadata("widgets", "1.0", "Requires-Python: >=3.9,<4").encode()
STATIC = metadata("widgets", "1.0", "Requires-Dist: gadgets").replace("2.1", "2.2")


@pytest.fixture
def shelf() -> Shelf:
    return stocked_shelf()


class Links(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[dict[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.links.append(dict(attrs))
            self.texts.append("")

    def handle_data(self, data: str) -> None:
        if self.texts:
            self.texts[-1] += data.strip()


# Pages


def test_the_list_of_projects_in_json(shelf: Shelf) -> None:
    answer = shelf.get("/acme/simple/", JSON)

    assert answer.headers["Content-Type"] == JSON
    assert answer.json == {
        "meta": {"api-version": "1.4"},
        "projects": [{"name": "my-widgets"}, {"name": "widgets"}],
    }


def test_the_list_of_projects_in_html(shelf: Shelf) -> None:
    page = Links(shelf.get("/acme/simple/").text)

    assert page.texts == ["my-widgets", "widgets"]
    assert [link["href"] for link in page.links] == [
        "/acme/simple/my-widgets/",
        "/acme/simple/widgets/",
    ]


def test_the_list_of_a_registry_without_projects_is_empty(shelf: Shelf) -> None:
    assert shelf.get("/other/simple/", JSON).json["projects"] == []


def test_a_project_in_json(shelf: Shelf) -> None:
    page = shelf.get("/acme/simple/widgets/", JSON).json

    assert page["meta"] == {"api-version": "1.4"}
    assert page["name"] == "widgets"
    assert page["versions"] == ["1.0"]
    assert page["project-status"] == {"status": "active"}
    assert [file["filename"] for file in page["files"]] == [WHEEL.filename, SDIST.filename]


def test_a_file_in_json(shelf: Shelf) -> None:
    file = shelf.get("/acme/simple/widgets/", JSON).json["files"][0]

    assert file == {
        "filename": WHEEL.filename,
        "url": WHEEL_PATH,
        "hashes": {"sha256": WHEEL.sha256},
        "size": len(WHEEL.content),
        "upload-time": "2026-11-22T12:00:00.000000Z",
        "requires-python": ">=3.9,<4",
        "core-metadata": {"sha256": hashlib.sha256(METADATA).hexdigest()},
        "yanked": False,
    }


def test_a_file_in_html(shelf: Shelf) -> None:
    link = Links(shelf.get("/acme/simple/widgets/").text).links[0]

    metadata_hash = f"sha256={hashlib.sha256(METADATA).hexdigest()}"
    assert link == {
        "href": f"{WHEEL_PATH}#sha256={WHEEL.sha256}",
        "data-requires-python": ">=3.9,<4",
        "data-core-metadata": metadata_hash,
        "data-dist-info-metadata": metadata_hash,
    }


def test_html_is_escaped(shelf: Shelf) -> None:
    assert 'data-requires-python="&gt;=3.9,&lt;4"' in shelf.get("/acme/simple/widgets/").text


@pytest.mark.parametrize("path", ["/acme/simple/", "/acme/simple/widgets/"])
@pytest.mark.parametrize("accept", [HTML, "text/html"])
def test_a_browser_runs_nothing_on_a_page(shelf: Shelf, path: str, accept: str) -> None:
    headers = shelf.get(path, accept).headers

    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("suffix", ["", ".metadata"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_browser_does_not_guess_what_a_file_is(shelf: Shelf, method: str, suffix: str) -> None:
    answer = shelf.call(method, f"{WHEEL_PATH}{suffix}", b"", {})

    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_html_says_which_version_of_the_api_it_is(shelf: Shelf) -> None:
    page = shelf.get("/acme/simple/widgets/").text

    assert '<meta name="pypi:repository-version" content="1.4">' in page


def test_what_a_file_does_not_require_is_left_out(shelf: Shelf) -> None:
    file = shelf.get("/acme/simple/widgets/", JSON).json["files"][1]
    link = Links(shelf.get("/acme/simple/widgets/").text).links[1]

    assert "requires-python" not in file
    assert "data-requires-python" not in link


def test_versions_are_sorted_as_versions_and_listed_once() -> None:
    shelf = Shelf()
    for version in ("1.10", "1.9", "1!0.1", "2.0rc1"):
        assert shelf.publish(sdist(version=version)).status == 200
    assert shelf.publish(wheel(version="1.9", text=metadata(version="1.9.0"))).status == 200

    page = shelf.get("/acme/simple/widgets/", JSON).json

    assert page["versions"] == ["1.9.0", "1.10", "2.0rc1", "1!0.1"]


def test_a_registry_with_a_host_of_its_own_links_to_its_root(shelf: Shelf) -> None:
    shelf.change(hosts=("acme.example.com",))

    answer = shelf.call("GET", "/simple/widgets/", b"", {"accept": JSON}, host="acme.example.com")

    assert answer.json["files"][0]["url"] == WHEEL_PATH.removeprefix("/acme")


def test_a_local_version_is_encoded_in_its_url() -> None:
    shelf = Shelf()
    shelf.publish(LOCAL)

    (file,) = shelf.get("/acme/simple/widgets/", JSON).json["files"]

    assert file["url"].endswith("/widgets-1.0%2Blocal-py3-none-any.whl")
    assert shelf.get(file["url"]).status == 200
    assert shelf.get(file["url"].replace("%2B", "+")).status == 200


@pytest.mark.parametrize("path", ["/acme/simple/", "/acme/simple/widgets/", WHEEL_PATH])
def test_a_registry_that_is_switched_off_is_still_read(shelf: Shelf, path: str) -> None:
    shelf.change(enabled=False)
    shelf.switch_off()

    assert shelf.get(path).status == 200


@pytest.mark.parametrize("path", ["/acme/simple/", "/acme/simple/widgets/", WHEEL_PATH])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_reading_takes_get_and_head_alone(shelf: Shelf, method: str, path: str) -> None:
    answer = shelf.call(method, path)

    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"


def test_every_file_of_a_yanked_release_is_yanked_at_once(shelf: Shelf) -> None:
    shelf.publish(wheel(version="2.0"))
    shelf.store.yank_release("acme", "widgets", "1", "loses data")

    files = shelf.get("/acme/simple/widgets/", JSON).json["files"]
    page = Links(shelf.get("/acme/simple/widgets/", HTML).text)

    assert [(file["filename"], file["yanked"]) for file in files] == [
        (WHEEL.filename, "loses data"),
        (SDIST.filename, "loses data"),
        ("widgets-2.0-py3-none-any.whl", False),
    ]
    assert {
        text: link.get("data-yanked") for text, link in zip(page.texts, page.links, strict=True)
    } == {file["filename"]: file["yanked"] or None for file in files}
    shelf.store.yank_release("acme", "widgets", "1", None)
    files = shelf.get("/acme/simple/widgets/", JSON).json["files"]
    assert not any(file["yanked"] for file in files)


def test_a_yanked_file_can_be_downloaded(shelf: Shelf) -> None:
    shelf.store.yank_release("acme", "widgets", "1", "loses data")

    assert shelf.get(WHEEL_PATH).body == WHEEL.content


@pytest.mark.parametrize("status", ["archived", "deprecated"])
def test_a_project_that_is_archived_or_deprecated_says_so_and_offers_its_files(
    shelf: Shelf, status: str
) -> None:
    shelf.store.set_status("acme", "widgets", ProjectStatus(status, "use gadgets"))

    page = shelf.get("/acme/simple/widgets/", JSON).json
    text = shelf.get("/acme/simple/widgets/", HTML).text

    assert page["project-status"] == {"status": status, "reason": "use gadgets"}
    assert len(page["files"]) == 2
    assert f'<meta name="pypi:project-status" content="{status}">' in text
    assert '<meta name="pypi:project-status-reason" content="use gadgets">' in text
    assert shelf.get(WHEEL_PATH).body == WHEEL.content


def test_the_page_of_a_quarantined_project_has_no_files(shelf: Shelf) -> None:
    shelf.store.set_status("acme", "widgets", QUARANTINED)

    page = shelf.get("/acme/simple/widgets/", JSON).json
    text = shelf.get("/acme/simple/widgets/", HTML).text

    assert page["project-status"] == {"status": "quarantined", "reason": "malware"}
    assert (page["files"], page["versions"]) == ([], [])
    assert Links(text).links == []
    assert '<meta name="pypi:project-status" content="quarantined">' in text


@pytest.mark.parametrize("suffix", ["", ".metadata"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_files_of_a_quarantined_project_are_not_found(
    shelf: Shelf, method: str, suffix: str
) -> None:
    etag = {"if-none-match": f'"{WHEEL.sha256}"'}
    shelf.store.set_status("acme", "widgets", QUARANTINED)

    assert shelf.call(method, WHEEL_PATH + suffix).status == 404
    assert shelf.call(method, WHEEL_PATH + suffix, headers=etag).status == 404
    assert shelf.get(WHEEL_PATH + suffix).json["detail"] == (
        "the registry's operator has quarantined the project `widgets`, so its files cannot be "
        "downloaded: malware"
    )


def test_files_of_a_project_that_is_active_again_are_found(shelf: Shelf) -> None:
    shelf.store.set_status("acme", "widgets", QUARANTINED)
    shelf.store.set_status("acme", "widgets", ACTIVE)

    assert shelf.get(WHEEL_PATH).body == WHEEL.content


def test_a_project_of_one_registry_is_not_quarantined_by_another(shelf: Shelf) -> None:
    shelf.store.set_status("other", "widgets", QUARANTINED)

    assert shelf.get(WHEEL_PATH).body == WHEEL.content


@pytest.fixture
def lessened(shelf: Shelf) -> Shelf:
    """Return a shelf on which the wheel is deleted, and the sdist is not."""
    shelf.store.delete_file("acme", "widgets", WHEEL.filename, tombstone())
    return shelf


def test_no_page_lists_a_deleted_file(lessened: Shelf) -> None:
    page = lessened.get("/acme/simple/widgets/", JSON).json
    text = lessened.get("/acme/simple/widgets/", HTML).text

    assert [each["filename"] for each in page["files"]] == [SDIST.filename]
    assert WHEEL.filename not in text
    assert SDIST.filename in text


def test_a_project_whose_files_are_all_deleted_has_an_empty_page(lessened: Shelf) -> None:
    """If the page were missing, uv and pip would look for the name in another index."""
    lessened.store.delete_file("acme", "widgets", SDIST.filename, tombstone())

    page = lessened.get("/acme/simple/widgets/", JSON)

    assert (page.status, page.json["files"], page.json["versions"]) == (200, [], [])
    assert Links(lessened.get("/acme/simple/widgets/", HTML).text).links == []
    assert {"name": "widgets"} in lessened.get("/acme/simple/", JSON).json["projects"]


@pytest.mark.parametrize("suffix", ["", ".metadata"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_deleted_file_is_not_found(lessened: Shelf, method: str, suffix: str) -> None:
    etag = {"if-none-match": f'"{WHEEL.sha256}"'}

    assert lessened.call(method, WHEEL_PATH + suffix).status == 404
    assert lessened.call(method, WHEEL_PATH + suffix, headers=etag).status == 404


def test_the_answer_for_a_deleted_file_says_why_and_advises_no_other_address(
    lessened: Shelf,
) -> None:
    detail = lessened.get(WHEEL_PATH).json["detail"]

    assert detail == (
        "the registry's operator has deleted `widgets-1.0-py3-none-any.whl`: contains a password"
    )


def test_who_does_not_know_the_hash_of_a_deleted_file_learns_nothing(lessened: Shelf) -> None:
    answer = lessened.get(WHEEL_PATH.replace(WHEEL.sha256, "0" * 64))

    assert "there is no such file in this registry" in answer.json["detail"]


def test_a_page_takes_one_read(shelf: Shelf) -> None:
    shelf.store.calls.clear()

    shelf.get("/acme/simple/widgets/")

    assert shelf.store.calls == ["find_files"]


@pytest.mark.parametrize("suffix", ["", ".metadata"])
def test_a_download_takes_one_read_of_the_file_and_its_project(shelf: Shelf, suffix: str) -> None:
    shelf.store.calls.clear()

    shelf.get(WHEEL_PATH + suffix)

    assert shelf.store.calls == ["find_entry"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("list_projects", "/acme/simple/"),
        ("find_files", "/acme/simple/widgets/"),
        ("find_entry", WHEEL_PATH),
    ],
)
def test_a_store_that_is_down_is_our_fault(shelf: Shelf, method: str, path: str) -> None:
    shelf.store.fail_next(method)

    assert shelf.get(path).status == 503


# Addresses


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/acme/simple", "/acme/simple/"),
        ("/acme/simple/widgets", "/acme/simple/widgets/"),
        ("/acme/simple/Widgets/", "/acme/simple/widgets/"),
        ("/acme/simple/Widgets", "/acme/simple/widgets/"),
        ("/acme/simple/my_.widgets/", "/acme/simple/my-widgets/"),
        ("/acme/simple/My%5FWidgets/", "/acme/simple/my-widgets/"),
        ("/acme/simple/No.Such/", "/acme/simple/no-such/"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_page_has_one_address(shelf: Shelf, method: str, path: str, target: str) -> None:
    answer = shelf.call(method, path)

    assert answer.status == 301
    assert answer.headers["Location"] == target


def test_a_redirect_stays_on_the_host_of_the_registry(shelf: Shelf) -> None:
    shelf.change(hosts=("acme.example.com",))

    answer = shelf.call("GET", "/simple/Widgets", host="acme.example.com")

    assert answer.headers["Location"] == "/simple/widgets/"


@pytest.mark.parametrize(
    "path",
    [
        "/acme/simple/gadgets/",
        "/other/simple/widgets/",
        "/nobody/simple/widgets/",
        "/simple/",
        "/simple",
        "/simple/widgets/",
        "/acme/simple//",
        "/acme/simple/widgets//",
        "/acme/simple/widgets/1.0/",
        "/acme/simple/widgets%2F/",
        "/acme/simple/..%2Fwidgets/",
        "/acme/simple/../",
        "/acme/simple/widgets%00/",
        "/acme/simple/widgets\n/",
        "/acme/simple/widgets%0A",
        "/acme/simple/%2577idgets/",
        "/acme/simple/%ff/",
        "/acme/simple/-widgets/",
        "/acme/simple/<script>/",
        "/acme/files/",
        "/acme/files",
        f"/acme/files/{WHEEL.filename}",
        f"/acme/files/{WHEEL.sha256}/",
        f"/acme/files/{WHEEL.sha256}/.metadata",
        f"/acme/files/{WHEEL.sha256}/x/{WHEEL.filename}",
        f"/acme/files/{WHEEL.sha256}/{SDIST.filename}",
        f"/acme/files/{WHEEL.sha256}/{WHEEL.filename}.metadata.metadata",
        f"/acme/files/{WHEEL.sha256}/{WHEEL.filename}.asc",
        f"/acme/files/{WHEEL.sha256}/..%2F{WHEEL.filename}",
        f"/acme/files/{WHEEL.sha256}/{WHEEL.filename}%00",
        f"/acme/files/{WHEEL.sha256}/{WHEEL.filename}%0A",
        f"/acme/files/{WHEEL.sha256}/{WHEEL.filename.replace('w', '%2577')}",
        f"/acme/files/{WHEEL.sha256.upper()}/{WHEEL.filename}",
        f"/acme/files/{'0' * 64}/{WHEEL.filename}",
        f"/other/files/{WHEEL.sha256}/{WHEEL.filename}",
    ],
)
def test_there_is_nothing_at(shelf: Shelf, path: str) -> None:
    answer = shelf.get(path)

    assert answer.status == 404
    assert answer.detail


@pytest.mark.parametrize(
    "path",
    [
        f"/acme/simple/{'w' * 201}/",
        f"/acme/simple/{'w' * 2100}",
        f"/acme/files/{WHEEL.sha256}/{'w' * 2100}.whl",
        f"/acme/files/{WHEEL.sha256}/{'w' * 237}.whl.metadata",
    ],
)
def test_a_name_that_is_too_long_is_not_looked_up(shelf: Shelf, path: str) -> None:
    shelf.store.calls.clear()

    assert shelf.get(path).status == 404
    assert shelf.store.calls == []


@pytest.mark.parametrize("filename", [LOCAL.filename, LOCAL.filename.replace("+", "%2B")])
def test_a_plus_in_a_file_name_passes_the_gateway(filename: str) -> None:
    """API Gateway hands over the path decoded once: both spellings are the same there."""
    shelf = Shelf()
    shelf.publish(LOCAL)
    request = HttpRequest("GET", f"/acme/files/{LOCAL.sha256}/{filename}", headers=[("host", HOST)])
    event = build_event(request, Selected(GatewayRoute("$default", "ReadFunction"), {}), NOW)

    result = handle(event, read.ROUTES, shelf.index)

    assert event["rawPath"].endswith(f"/{LOCAL.filename}")
    assert body_of(result) == LOCAL.content


@pytest.mark.parametrize(
    "path",
    [
        "/acme/simple/%77idgets/",
        f"/acme/files/{WHEEL.sha256}/{WHEEL.filename.replace('w', '%77', 1)}",
    ],
)
def test_a_path_that_the_gateway_has_decoded_is_not_decoded_again(shelf: Shelf, path: str) -> None:
    request = Request("GET", HOST, path)

    assert respond(request, read.ROUTES, shelf.index).status == 404


def test_bytes_that_no_record_shows_are_not_sent(shelf: Shelf) -> None:
    shelf.store.files.clear()

    assert shelf.get(WHEEL_PATH).status == 404


# Files


def test_a_file_is_what_was_published(shelf: Shelf) -> None:
    answer = shelf.get(WHEEL_PATH)

    assert answer.status == 200
    assert answer.body == WHEEL.content
    assert answer.headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize(
    ("distribution", "text"),
    [(WHEEL, METADATA), (sdist(text=STATIC), STATIC.encode())],
    ids=["wheel", "sdist"],
)
def test_the_metadata_beside_a_file_is_what_is_inside(
    distribution: Distribution, text: bytes
) -> None:
    shelf = Shelf()
    shelf.publish(distribution)

    answer = shelf.get(f"/acme/files/{distribution.sha256}/{distribution.filename}.metadata")

    assert answer.status == 200
    assert answer.body == text


def dynamic(*fields: str, version: str = "2.2") -> str:
    lines = [f"Dynamic: {field}" for field in fields]
    return metadata("widgets", "1.0", *lines).replace("2.1", version)


def is_advertised(shelf: Shelf) -> bool:
    """Say whether the metadata of the one file is advertised: in all places, or in none."""
    (file,) = shelf.get("/acme/simple/widgets/", JSON).json["files"]
    (link,) = Links(shelf.get("/acme/simple/widgets/").text).links
    statuses = {shelf.call(method, f"{file['url']}.metadata").status for method in ("GET", "HEAD")}
    said = {
        "core-metadata" in file,
        "data-core-metadata" in link,
        "data-dist-info-metadata" in link,
        statuses == {200},
    }
    assert statuses in ({200}, {404})
    assert len(said) == 1
    return said.pop()


@pytest.mark.parametrize(
    "text",
    [
        *(dynamic(version=version) for version in ("1.0", "1.1", "1.2", "2.1")),
        dynamic("License-File", version="2.1"),
        dynamic("Requires-Dist"),
        dynamic("Requires-Python"),
        dynamic("Provides-Extra"),
        dynamic("Summary", "requires-dist"),
        dynamic("REQUIRES-DIST", version="2.4"),
        dynamic("Requires-Dist "),
        dynamic("\tRequires-Dist"),
        dynamic("\n Requires-Dist"),
        dynamic("Requires_Dist"),
        dynamic("Requires-Dist, Provides-Extra"),
        dynamic("Summary, Requires-Dist"),
        dynamic("Summary\ndynamic: Requires-Dist"),
        dynamic("Unheard-Of"),
        dynamic(""),
    ],
)
def test_metadata_of_an_sdist_that_is_no_promise_is_not_advertised(text: str) -> None:
    shelf = Shelf()
    assert shelf.publish(sdist(text=text)).status == 200

    assert not is_advertised(shelf)


@pytest.mark.parametrize(
    "text",
    [
        STATIC,
        *(dynamic(version=version) for version in ("2.2", "2.3", "2.4", "2.5")),
        dynamic("License-File", "Summary", "Classifier"),
        dynamic() + "Dynamic: Requires-Dist",
    ],
)
def test_metadata_of_an_sdist_with_static_dependencies_is_advertised(text: str) -> None:
    shelf = Shelf()
    assert shelf.publish(sdist(text=text)).status == 200

    assert is_advertised(shelf)


@pytest.mark.parametrize("text", [metadata(), STATIC, dynamic("Requires-Dist")])
def test_metadata_of_a_wheel_is_always_advertised(text: str) -> None:
    shelf = Shelf()
    assert shelf.publish(wheel(text=text)).status == 200

    assert is_advertised(shelf)


@pytest.mark.parametrize(("made", "is_said"), [(wheel(), True), (sdist(text=STATIC), False)])
def test_what_an_older_version_published_is_advertised_if_it_is_a_wheel(
    made: Distribution, is_said: bool
) -> None:
    """Its records do not say whether an sdist's dependencies are static."""
    shelf = Shelf()
    shelf.publish(made)
    document = shelf.store.files["acme", made.filename].document()
    del document["has_static_dependencies"]
    shelf.store.files["acme", made.filename] = PublishedFile.from_document(document)

    assert is_advertised(shelf) is is_said


def test_what_an_sdist_requires_of_python_is_shown_although_it_is_dynamic() -> None:
    """An old Python then skips an sdist that it cannot build; installers check again later."""
    shelf = Shelf()
    shelf.publish(sdist(text=metadata("widgets", "1.0", "Requires-Python: >=3.9")))

    (file,) = shelf.get("/acme/simple/widgets/", JSON).json["files"]

    assert file["requires-python"] == ">=3.9"


@pytest.mark.parametrize("path", [WHEEL_PATH, f"{WHEEL_PATH}.metadata"])
def test_a_file_is_kept_for_ever(shelf: Shelf, path: str) -> None:
    answer = shelf.get(path)

    assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert shelf.get(path, if_none_match=answer.headers["ETag"]).status == 304


def test_the_bytes_may_come_from_elsewhere(shelf: Shelf) -> None:
    shelf.files.elsewhere = "https://files.example.com"

    answer = shelf.get(WHEEL_PATH)

    assert answer.status == 302
    assert answer.headers["Location"].startswith("https://files.example.com/files/acme/")
    assert answer.headers["Cache-Control"] == "no-store"


def test_metadata_and_head_are_answered_here_even_then(shelf: Shelf) -> None:
    shelf.files.elsewhere = "https://files.example.com"

    assert shelf.get(f"{WHEEL_PATH}.metadata").body == METADATA
    assert shelf.call("HEAD", WHEEL_PATH).headers["Content-Length"] == str(len(WHEEL.content))


@pytest.mark.parametrize("path", [WHEEL_PATH, f"{WHEEL_PATH}.metadata"])
def test_bytes_that_are_missing_are_our_fault(shelf: Shelf, path: str) -> None:
    shelf.files.contents.clear()

    assert shelf.get(path).status == 503


# Whole pages


def test_a_page_is_plain_ascii(shelf: Shelf) -> None:
    for accept in (JSON, HTML):
        assert shelf.get("/acme/simple/widgets/", accept).body.isascii()


def test_json_names_are_normalised(shelf: Shelf) -> None:
    projects = json.loads(shelf.get("/acme/simple/", JSON).body)["projects"]

    assert all(canonicalize_name(p["name"]) == p["name"] for p in projects)


def test_the_shared_root_has_no_index(shelf: Shelf) -> None:
    assert shelf.call("GET", "/simple/", host=HOST).status == 404
