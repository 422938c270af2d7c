"""The pages for people, as a browser gets them."""

import builtins
import json
import re
import sys
from dataclasses import replace
from typing import Any

import pytest

from pytp_broker.index.web import pages, website
from pytp_broker.index.web.style import style_name, style_url
from pytp_broker.registries import PRIVATE
from pytp_broker.storage.project_status import ProjectStatus
from pytp_broker.storage.withdrawals import Tombstone
from tests.support.distributions import metadata, sdist, wheel
from tests.support.signing import GITHUB
from tests.support.visitor import BROWSER, Page, Visited

PROJECT = "/acme/project/widgets/"
WHEEL = wheel(text=metadata("widgets", "1.0", "Requires-Python: >=3.9", "Summary: Sturdy"))


@pytest.fixture
def shelf() -> Visited:
    shelf = Visited()
    for distribution in (WHEEL, sdist(), wheel("my-widgets", "2.0")):
        assert shelf.publish(distribution).status == 200
    return shelf


@pytest.fixture
def private(shelf: Visited) -> Visited:
    shelf.change(access=PRIVATE)
    return shelf


def described(text: str, content_type: str = "text/markdown", version: str = "1.0") -> Page:
    """Return the page of a project with this description."""
    shelf = Visited()
    field = f"Description-Content-Type: {content_type}"
    head = metadata("widgets", version, field).replace("A description.\n", "")
    assert shelf.publish(wheel(version=version, text=head + text)).status == 200
    return shelf.visit(PROJECT)


# The list


def test_the_list_links_to_every_project(shelf: Visited) -> None:
    page = shelf.visit("/acme/")

    assert "2 projects in the registry acme." in page.text
    assert page.links[2:4] == ["/acme/project/my-widgets/", PROJECT]


def test_a_registry_without_projects_says_so() -> None:
    assert "Nothing is published here yet." in Visited().visit("/acme/").text


@pytest.mark.parametrize("query", ["my-w", "MY_W", " my.w ", "my--w"])
def test_a_search_finds_a_part_of_a_name_however_it_is_spelled(shelf: Visited, query: str) -> None:
    page = shelf.visit("/acme/", q=query)

    assert "1 project has" in page.text
    assert "/acme/project/my-widgets/" in page.links
    assert PROJECT not in page.links


@pytest.mark.parametrize(
    "query",
    ["gadgets", "<script>x</script>", "\x00\u202e", "'\"&", "q" * 10_000, "%3Cscript%3E", "+"],
)
def test_a_search_for_anything_is_answered_and_not_repeated_as_html(
    shelf: Visited, query: str
) -> None:
    page = shelf.visit("/acme/", q=query)

    assert "No name has this text in it." in page.text
    assert "script" not in page.names
    assert "\u202e" not in page.html
    assert len(page.html) < 5000


def test_a_token_that_is_typed_into_the_search_is_not_shown(shelf: Visited) -> None:
    assert shelf.token.reveal() not in shelf.visit("/acme/", q=shelf.token.reveal()).html


def test_a_long_list_has_parts(shelf: Visited, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(website, "PART_ITEMS", 1)

    first, last = shelf.visit("/acme/", q="w"), shelf.visit("/acme/", q="w", page="2")

    assert "Part 1 of 2" in first.text
    assert "?q=w&page=2" in first.links
    assert PROJECT not in first.links
    assert "Part 2 of 2" in last.text
    assert "?q=w&page=1" in last.links
    assert PROJECT in last.links


@pytest.mark.parametrize("number", ["0", "-1", "x", "9" * 20, "1.5", "²"])
def test_a_part_that_does_not_exist_is_the_first_or_the_last(shelf: Visited, number: str) -> None:
    assert PROJECT in shelf.visit("/acme/", page=number).links


# A project


def test_a_project_shows_its_latest_release(shelf: Visited) -> None:
    page = shelf.visit(PROJECT)

    assert "widgets 1.0" in page.text
    assert "Sturdy" in page.text
    assert "A description." in page.text
    assert f"/acme/files/{WHEEL.sha256}/{WHEEL.filename}" in page.links
    assert f"sha256 {WHEEL.sha256}" in page.text
    assert "Python >=3.9" in page.text
    assert "22 Nov 2026" in page.text


def test_a_file_is_shown_with_its_size() -> None:
    shelf = Visited()
    shelf.publish(wheel())

    (file,) = shelf.store.files.values()
    for size, words in ((999, "999 bytes"), (1234, "1.2 kB"), (5_000_000_000, "5.0 GB")):
        shelf.store.files["acme", file.filename] = replace(file, size=size)
        assert words in shelf.visit(PROJECT).text
    shelf.store.files["acme", file.filename] = replace(file, size=10**13)
    assert "10000.0 GB" in shelf.visit(PROJECT).text


def test_the_blocks_to_copy_name_the_index_and_the_version(shelf: Visited) -> None:
    text = shelf.visit(PROJECT).text

    index_url = "https://packages.example.com/acme/simple/"
    assert f"pip install --index-url {index_url} widgets==1.0" in text
    assert f'url = "{index_url}" explicit = true' in text
    assert f"poetry source add --priority=explicit acme {index_url}" in text


def test_the_latest_release_is_the_one_that_installers_take() -> None:
    shelf = Visited()
    for version in ("1.9", "1.10", "2.0rc1", "3.0"):
        assert shelf.publish(wheel(version=version)).status == 200
    shelf.store.yank_release("acme", "widgets", "3", "loses data")

    page = shelf.visit(PROJECT)

    assert "widgets 1.10" in page.text
    versions = [link for link in page.links if link.startswith(PROJECT)]
    assert versions == [f"{PROJECT}{version}/" for version in ("3.0", "2.0rc1", "1.10", "1.9")]
    assert "2.0rc1 pre-release" in page.text
    assert "3.0 yanked" in page.text


def test_a_release_that_is_not_the_latest_names_the_latest(shelf: Visited) -> None:
    shelf.publish(wheel(version="2.0"))

    assert "The newest release is 2.0" in shelf.visit(f"{PROJECT}1.0/").text
    assert "The newest release" not in shelf.visit(f"{PROJECT}2.0/").text


def test_if_all_releases_are_yanked_the_highest_is_shown_and_none_is_the_latest(
    shelf: Visited,
) -> None:
    shelf.publish(wheel(version="2.0"))
    for key in ("1", "2"):
        shelf.store.yank_release("acme", "widgets", key, "loses data")

    assert "widgets 2.0" in shelf.visit(PROJECT).text
    assert "The newest release" not in shelf.visit(f"{PROJECT}1.0/").text


@pytest.mark.parametrize("version", ["1.0", "1", "v1.0.0"])
def test_a_release_is_found_however_its_version_is_spelled(shelf: Visited, version: str) -> None:
    assert "widgets 1.0" in shelf.visit(f"{PROJECT}{version}/").text


def test_a_yanked_release_says_why(shelf: Visited) -> None:
    shelf.store.yank_release("acme", "widgets", "1", "loses <data>")

    page = shelf.visit(PROJECT)

    assert "This release is yanked." in page.text
    assert "loses <data>" in page.text


@pytest.mark.parametrize("status", ["archived", "deprecated", "quarantined"])
def test_a_project_says_its_status_and_the_reason(shelf: Visited, status: str) -> None:
    shelf.store.set_status("acme", "widgets", ProjectStatus(status, "use <gadgets>"))

    page = shelf.visit(PROJECT)

    assert f"This project is {status}." in page.text
    assert "use <gadgets>" in page.text


def test_a_quarantined_project_shows_no_file_and_no_description(shelf: Visited) -> None:
    shelf.store.set_status("acme", "widgets", ProjectStatus("quarantined", "malware"))

    page = shelf.visit(PROJECT)

    assert not [link for link in page.links if "/files/" in link]
    assert "A description." not in page.text
    assert shelf.ask(f"{PROJECT}1.0/").status == 404


def test_a_registry_with_a_host_of_its_own_has_pages_without_a_prefix(shelf: Visited) -> None:
    shelf.change(hosts=("acme.example.com",))

    answer = shelf.call(
        "GET", "/project/widgets/", headers={"accept": BROWSER}, host="acme.example.com"
    )

    page = Page(answer)
    assert "/project/widgets/1.0/" in page.links
    assert "https://acme.example.com/simple/" in page.links


# Who published


def test_a_release_shows_the_job_that_published_it(shelf: Visited) -> None:
    text = shelf.visit(PROJECT).text

    assert "Published by a job of GitHub Actions" in text
    assert "Repository octo-org/widgets" in text
    assert "Commit f00d" in text
    assert f"Issuer {GITHUB}" in text
    assert shelf.token.hash[:12] not in text


def test_a_run_links_to_its_page(shelf: Visited) -> None:
    tell(shelf, run="11855712345", queue="<fast>")

    page = shelf.visit(PROJECT)

    assert "https://github.com/octo-org/widgets/actions/runs/11855712345" in page.links
    assert "Queue <fast>" in page.text


def tell(shelf: Visited, **more: str) -> None:
    """Let the records of widgets say more about who published."""
    for place, file in list(shelf.store.files.items()):
        published_by = {**file.published_by, **more}
        shelf.store.files[place] = replace(file, published_by=published_by)


@pytest.mark.promise("unknown-publishers")
def test_a_page_that_everybody_reads_shows_no_rule_of_a_publisher(shelf: Visited) -> None:
    text = shelf.visit(PROJECT).text

    assert "Published by a job" in text
    assert "widgets.yml" not in text
    assert "trust" not in text


def test_the_rule_is_shown_as_the_configuration_has_it(private: Visited) -> None:
    private.store.pin_publisher(private.publishers[0], {"repository_owner_id": "9919"})

    page = private.read(PROJECT)

    assert (
        '[[registries.publishers]] projects = ["widgets"] [registries.publishers.github] '
        'repository = "octo-org/widgets" repository_owner_id = "9919" workflow = "widgets.yml"'
    ) in page.text
    assert "repository_owner_id was pinned" in page.text


def test_only_the_publishers_that_gave_the_right_are_shown(private: Visited) -> None:
    other = replace(
        private.publishers[0],
        publisher_id="p-other",
        fields={"repository": "octo-org/widgets", "workflow": "other.yml"},
    )
    private.publishers.append(other)
    private.apply()

    assert "other.yml" not in private.read(PROJECT).text


def test_all_publishers_of_an_old_record_are_shown(private: Visited) -> None:
    for place, file in list(private.store.files.items()):
        old = {name: text for name, text in file.published_by.items() if name != "publishers"}
        private.store.files[place] = replace(file, published_by=old)

    assert "widgets.yml" in private.read(PROJECT).text


def test_a_publisher_that_was_removed_is_not_trusted_now(private: Visited) -> None:
    del private.publishers[0]
    private.apply()

    assert "The project does not trust this publisher now." in private.read(PROJECT).text


def test_a_record_that_does_not_tell_the_identity_shows_no_rule(private: Visited) -> None:
    for place, file in list(private.store.files.items()):
        private.store.files[place] = replace(file, published_by={"issuer": GITHUB})

    text = private.read(PROJECT).text

    assert "Published by a job of GitHub Actions" in text
    assert "trust" not in text


def test_an_issuer_that_is_not_configured_now_is_shown_as_such(shelf: Visited) -> None:
    tell(shelf, issuer="https://ci.example.com")

    text = shelf.visit(PROJECT).text

    assert "Published by a job of an issuer that the registry does not know now" in text
    assert "Issuer https://ci.example.com" in text


def tell_of_an_import(shelf: Visited) -> None:
    imported = {"imported_by": "alice", "imported_from": "https://old.example.com/simple/"}
    for place, file in list(shelf.store.files.items()):
        shelf.store.files[place] = replace(file, published_by=imported)


def test_a_file_that_an_operator_imported_says_from_where(private: Visited) -> None:
    tell_of_an_import(private)

    text = private.read(PROJECT).text

    assert "Put here by an operator Imported by alice Imported from https://old" in text


def test_strangers_do_not_learn_who_imported_a_file_and_from_where(shelf: Visited) -> None:
    tell_of_an_import(shelf)

    text = shelf.visit(PROJECT).text

    assert "Put here by an operator" in text
    assert "alice" not in text
    assert "old.example.com" not in text


def test_what_is_recorded_of_a_job_is_shown_in_the_order_of_the_lists(shelf: Visited) -> None:
    (place, file), *_ = shelf.store.files.items()
    job = {name: f"the-{name}" for name in ("issuer", "actor", "sha", "ref", "repository", "zone")}
    shelf.store.files[place] = replace(file, published_by=job)

    text = shelf.visit(PROJECT).text

    found = re.findall("the-([a-z]+)", text)
    assert found == ["repository", "ref", "sha", "actor", "issuer", "zone"]


def test_files_of_two_jobs_are_shown_apart(shelf: Visited) -> None:
    (place, file), *_ = shelf.store.files.items()
    shelf.store.files[place] = replace(file, published_by={**file.published_by, "sha": "beef"})

    text = shelf.visit(PROJECT).text

    assert text.count("Published by a job") == 2
    assert "Commit f00d" in text
    assert "Commit beef" in text


def test_two_jobs_of_one_repository_are_one_question(private: Visited) -> None:
    (place, file), *_ = private.store.files.items()
    private.store.files[place] = replace(file, published_by={**file.published_by, "sha": "beef"})
    private.store.calls.clear()

    page = private.read(PROJECT)

    assert page.text.count("The rule that trusts this publisher") == 2
    assert private.store.calls.count("list_publishers") == 1


def test_a_page_asks_for_few_identities(shelf: Visited) -> None:
    shelf.change(access=PRIVATE)
    for number in range(5):
        shelf.publish(wheel(version=f"1.0+{number}"))
    for number, (place, file) in enumerate(list(shelf.store.files.items())):
        job = {**file.published_by, "repository": f"octo-org/{number}"}
        shelf.store.files[place] = replace(file, version="1.0", published_by=job)
    shelf.store.calls.clear()

    shelf.read(PROJECT)

    assert shelf.store.calls.count("list_publishers") == 3


def test_a_project_takes_a_listing_and_one_question_about_publishers(shelf: Visited) -> None:
    shelf.change(access=PRIVATE)
    shelf.read(PROJECT)
    shelf.store.calls.clear()
    shelf.files.calls.clear()

    shelf.read(PROJECT)

    assert shelf.store.calls == ["find_files", "list_publishers"]
    assert shelf.files.calls == []


# What a description may hold


def test_markdown_is_rendered() -> None:
    page = described(
        "# Use it\n\n```python\nimport widgets\n```\n\n- [x] done\n- [ ] open\n\n> [!NOTE]\n> x"
    )

    assert {"h3", "pre", "li", "blockquote"} <= page.names
    assert "☑ done ☐ open" in page.text
    assert '<span class="kn">import</span>' in page.html


def test_restructured_text_is_rendered() -> None:
    page = described("Use it\n======\n\n``widgets``\n", "text/x-rst; charset=UTF-8")

    assert "h3" in page.names
    assert '<span class="literal">widgets</span>' in page.html


def test_plain_text_is_shown_as_it_is() -> None:
    page = described("# no *markdown* <b>here</b>", "text/plain")

    assert "# no *markdown* <b>here</b>" in page.text
    assert "b" not in page.names


@pytest.mark.promise("harmless-description")
@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<svg onload=alert(1)></svg>",
        "<iframe src=https://evil.example.com></iframe>",
        "<object data=x></object><embed src=x><base href=//evil.example.com>",
        "<style>body { display: none }</style><link rel=stylesheet href=//evil.example.com>",
        "<form action=//evil.example.com><input name=q><button>Log in</button></form>",
        "<div style='position: fixed' class='top notice' onclick=alert(1)>x</div>",
        "<meta http-equiv=refresh content='0; url=//evil.example.com'>",
        "![x](https://evil.example.com/x.png) ![](y.png) <picture><source srcset=x></picture>",
        "[x](javascript:alert(1)) [x](data:text/html,x) [x](vbscript:x) [x](docs/a.md) [x](//e)",
        "<a href='JaVaScRiPt&#58;alert(1)'>x</a> <a href='\tjavascript:x'>x</a>",
        "<!-- --!><img src=x> -->",
        "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
        "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    ],
)
def test_a_hostile_description_runs_loads_and_leads_to_nothing(text: str) -> None:
    page = described(text + "\n\nthe end")
    plain = described("the end")

    added = page.names - plain.names
    assert added <= {"p", "div", "a", "span", "pre", "table", "tbody", "b"}
    assert led_to(page) == led_to(plain)
    for tag, attributes in page.tags:
        assert not {name for name in attributes if name.startswith("on")}, tag
        assert not {"style", "src", "srcset"} & attributes.keys(), tag


def led_to(page: Page) -> list[str]:
    """Return where the links lead, but for files: another description is another file."""
    return [link for link in page.links if "/files/" not in link]


def test_a_link_to_another_site_tells_it_nothing() -> None:
    (link,) = [
        a
        for _, a in described("[x](https://example.com/)").tags
        if a.get("href") == "https://example.com/"
    ]

    assert link["rel"] == "nofollow noopener"


def test_an_image_is_the_text_that_describes_it() -> None:
    page = described('![a "quoted" <logo>](https://ci.example.com/x.png)')

    assert '<span class="image">a "quoted" &lt;logo&gt;</span>' in page.html


def test_what_reverses_the_text_is_removed() -> None:
    assert "xtxet" in described("x\u202etxet\u2066\x07", "text/plain").text


def test_fields_of_the_metadata_are_shown_as_text() -> None:
    shelf = Visited()
    shelf.publish(
        wheel(
            text=metadata(
                "widgets",
                "1.0",
                "Summary: <script>1</script>\u202e",
                "Author: <b>me</b>",
                "License: MIT <i>",
                "Home-page: javascript:alert(1)",
                "Project-URL: <u>Docs</u>, https://docs.example.com/?a=1&b=2",
                'Project-URL: Bad, https://docs.example.com/"onclick=alert(1)',
            )
        )
    )

    page = shelf.visit(PROJECT)

    assert not {"script", "b", "i", "u"} & page.names
    assert "<script>1</script>\N{REPLACEMENT CHARACTER}" in page.text
    assert "MIT <i>" in page.text
    assert "<u>Docs</u>" in page.text
    assert "https://docs.example.com/?a=1&b=2" in page.links
    assert not [link for link in page.links if "alert" in link]


# Answers


@pytest.mark.parametrize("path", ["/acme/", PROJECT, f"{PROJECT}1.0/"])
def test_a_page_allows_no_script_and_nothing_from_elsewhere(shelf: Visited, path: str) -> None:
    headers = shelf.ask(path).headers

    assert headers["Content-Security-Policy"] == (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/acme/", PROJECT, f"{PROJECT}1.0/", style_url()])
def test_a_page_that_the_browser_has_is_not_sent_again(shelf: Visited, path: str) -> None:
    first = shelf.ask(path)

    again = shelf.call("GET", path, headers={"if-none-match": first.headers["ETag"]})

    assert (again.status, again.body) == (304, b"")
    assert again.headers["Cache-Control"] == first.headers["Cache-Control"]


def test_every_template_is_compiled_when_the_function_starts() -> None:
    pages._environment.cache_clear()

    pages.prepare()

    assert pages._environment().list_templates() == [
        "base.html",
        "parts.html",
        "project.html",
        "projects.html",
    ]


def test_a_page_of_a_public_registry_may_be_kept_by_everybody(shelf: Visited) -> None:
    headers = shelf.ask(PROJECT).headers

    assert headers["Cache-Control"] == "public, s-maxage=5, max-age=0, must-revalidate"
    assert headers["Vary"] == "Accept-Encoding"


def test_the_etag_changes_with_the_page(shelf: Visited) -> None:
    before = shelf.ask(PROJECT).headers["ETag"]
    shelf.store.yank_release("acme", "widgets", "1", "x")

    assert shelf.ask(PROJECT).headers["ETag"] != before


@pytest.mark.parametrize("path", ["/acme/", PROJECT, style_url()])
def test_head_is_answered_without_a_body(shelf: Visited, path: str) -> None:
    head, get = shelf.ask(path, "HEAD"), shelf.ask(path)

    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == str(len(get.body))


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/acme/project/Widgets/", PROJECT),
        ("/acme/project/Widgets", PROJECT),
        ("/acme/project/Widgets/1.0/", f"{PROJECT}1.0/"),
        ("/acme/project/Widgets/%0d%0aX: y", f"{PROJECT}%EF%BF%BD%EF%BF%BDX%3A%20y/"),
    ],
)
def test_another_spelling_of_a_name_leads_to_the_page(
    shelf: Visited, path: str, target: str
) -> None:
    answer = shelf.ask(path)

    assert (answer.status, answer.headers["Location"]) == (301, target)


@pytest.mark.parametrize("path", ["/acme/", PROJECT, f"{PROJECT}1.0/"])
def test_a_page_is_the_same_without_its_last_slash(shelf: Visited, path: str) -> None:
    """Some gateways drop the slash: a redirect to it would lead in a circle."""
    assert shelf.visit(path.rstrip("/")).html == shelf.visit(path).html


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/nobody/",
        "/nobody",
        "/acme/project/",
        "/acme/project/gadgets/",
        "/other/project/widgets/",
        "/acme/project/widgets/9.9/",
        "/acme/project/widgets/latest/",
        f"/acme/project/widgets/{'9' * 5000}/",
        "/acme/project/widgets/1.0/x/",
        "/acme/project/<script>/",
        "/acme/project/..%2Fwidgets/",
        "/acme/_/style/0.css",
    ],
)
def test_a_wrong_address_is_not_found(shelf: Visited, path: str) -> None:
    answer = shelf.ask(path)

    assert answer.status == 404
    assert "<script>" not in answer.text


def test_a_token_in_an_address_is_not_repeated(shelf: Visited) -> None:
    answer = shelf.ask(f"/acme/project/{shelf.token.reveal()}")

    assert answer.status == 404
    assert shelf.token.reveal().lower() not in answer.text.lower()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("list_projects", "/acme/"),
        ("find_files", PROJECT),
    ],
)
def test_a_store_that_is_down_is_our_fault(shelf: Visited, method: str, path: str) -> None:
    shelf.store.fail_next(method)

    assert shelf.ask(path).status == 503


def test_metadata_that_is_missing_is_our_fault(shelf: Visited) -> None:
    shelf.files.contents.clear()

    assert shelf.ask(PROJECT).status == 503


def test_the_style_sheet_is_kept_for_as_long_as_its_name(shelf: Visited) -> None:
    answer = shelf.call("GET", style_url())

    assert answer.headers["Content-Type"] == "text/css; charset=utf-8"
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert style_name() in shelf.visit("/acme/").html


def test_without_its_libraries_a_page_says_what_to_install(
    shelf: Visited, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "pytp_broker.index.web.pages", raising=False)
    monkeypatch.delattr("pytp_broker.index.web.pages", raising=False)
    real_import: Any = builtins.__import__

    def lacking(name: str, *arguments: Any) -> Any:
        if name == "jinja2":
            raise ModuleNotFoundError(name=name)
        return real_import(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", lacking)
    answer = shelf.call("GET", "/acme/")

    assert answer.status == 404
    assert "pages for people need jinja2" in answer.detail
    assert "pip install 'pytp-broker[web]'" in answer.detail
    assert shelf.get("/acme/simple/").status == 200


def test_the_list_for_installers_is_answered_too(shelf: Visited) -> None:
    """Some gateways send `/simple/` to the function that gets what no route takes."""
    event = {
        "rawPath": "/acme/simple/",
        "headers": {"accept": "application/vnd.pypi.simple.v1+json"},
        "requestContext": {"domainName": "packages.example.com", "http": {"method": "GET"}},
    }

    answer = shelf.hand("web", event)

    assert [each["name"] for each in json.loads(answer.body)["projects"]] == [
        "my-widgets",
        "widgets",
    ]


def test_a_new_release_is_shown_at_once(shelf: Visited) -> None:
    """Nothing but metadata is remembered, and metadata never changes."""
    shelf.visit(PROJECT)
    shelf.publish(wheel(version="2.0"))

    assert "widgets 2.0" in shelf.visit(PROJECT).text


# A private registry

EVERY_PAGE = ["/acme/", "/acme", PROJECT, f"{PROJECT}1.0/", "/acme/project/gadgets/"]


@pytest.mark.parametrize("path", EVERY_PAGE)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_private_registry_asks_the_browser_for_a_token(
    private: Visited, method: str, path: str
) -> None:
    answer = private.ask(path, method)

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="acme"'
    assert answer.headers["Cache-Control"] == "no-store"


def test_nobody_without_a_token_learns_which_projects_exist(private: Visited) -> None:
    private.store.calls.clear()

    known, unknown = private.ask(PROJECT), private.ask("/acme/project/gadgets/")

    assert known.body == unknown.body
    assert "find_files" not in private.store.calls


def test_a_token_of_the_registry_opens_its_pages(private: Visited) -> None:
    answer = private.call("GET", PROJECT, headers={"authorization": private.basic()})

    page = Page(answer)
    assert answer.headers["Cache-Control"] == "private, max-age=0, must-revalidate"
    assert answer.headers["Vary"] == "Accept-Encoding, Authorization"
    assert "The registry is private" in page.text
    assert private.token.reveal() not in page.html


def test_a_token_of_another_registry_opens_no_page(private: Visited) -> None:
    token = private.mint(("other", "secret-project", "p-secret"))

    answer = private.call("GET", PROJECT, headers={"authorization": private.basic(token)})

    assert answer.status == 401


def test_publishers_that_cannot_be_read_are_our_fault(private: Visited) -> None:
    private.store.fail_next("list_publishers")

    answer = private.call("GET", PROJECT, headers={"authorization": private.basic()})

    assert answer.status == 503


def test_the_style_sheet_needs_no_token(private: Visited) -> None:
    assert private.call("GET", style_url()).status == 200


def test_a_project_whose_files_are_deleted_says_so(shelf: Visited) -> None:
    for registry, filename in list(shelf.store.files):
        tombstone = Tombstone("secret inside", "alice", shelf.now)
        shelf.store.delete_file(registry, "widgets", filename, tombstone)

    page = shelf.visit(PROJECT)

    assert "The project has no files: they were deleted." in page.text
