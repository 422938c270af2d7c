"""The pages for people in a real Chromium: nothing runs, nothing is asked elsewhere, all is seen.

With PYTP_SCREENSHOTS=docs/pages the pictures of the documentation are taken anew.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from pytp_broker.demo.process import ServerProcess
from tests.support.axe import axe, violations
from tests.support.browser import HOST, Browser, opened
from tests.support.showcase import reader_token, shown

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("pages")]

__all__ = ["axe"]  # a fixture

PROJECT = "/acme/project/widgets/"
PAGES = {
    "list": "/acme/",
    "search": "/acme/?q=cog",
    "project": PROJECT,
    "yanked": f"{PROJECT}2.0/",
    "lost": f"{PROJECT}1.1.0/",
    "changed": f"{PROJECT}3.0rc1/",
    "hostile": "/acme/project/hostile/",
    "quarantined": "/acme/project/bolt-cli/",
    "404": "/acme/simpel/widgets/",
}
every_page = pytest.mark.parametrize("page", PAGES)
every_theme = pytest.mark.parametrize("theme", ["light", "dark"])

IS_OUTLINED = """
    const style = getComputedStyle(document.activeElement);
    return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[ServerProcess]:
    with shown(folder) as running:
        yield running


@pytest.fixture(scope="module")
def started(server: ServerProcess, folder: Path) -> Iterator[Browser]:
    """Return a browser in which somebody has given a token to the private registry."""
    with opened(server.url) as browser:
        browser.open("/acme/", f"__token__:{reader_token(folder).reveal()}@")
        yield browser


@pytest.fixture
def browser(started: Browser) -> Browser:
    """Return the browser as it is for a new visitor."""
    started.resize(1200)
    started.prefer("light")
    started.leave()
    return started


@every_page
def test_a_page_loads_without_an_error_and_asks_nobody_else(browser: Browser, page: str) -> None:
    browser.open(PAGES[page])

    hosts = {url.partition("?")[0].split("/")[2] for url in browser.requested() if "://" in url}
    errors = browser.errors()
    assert hosts == {HOST}
    if page == "404":  # the browser reports the page's own status
        (error,) = errors
        assert "status of 404" in error
    else:
        assert errors == []
    assert browser.run("return document.styleSheets.length") == 1


@pytest.mark.promise("harmless-description")
def test_a_hostile_project_runs_no_script_and_hides_nothing(browser: Browser) -> None:
    browser.open(PAGES["hostile"])

    assert browser.run("return document.title") == "hostile 1.0 · acme"
    assert browser.run("return document.scripts.length + document.forms.length") == 1
    assert browser.text("h1") == "hostile 1.0"
    assert browser.run("return document.querySelectorAll('iframe, img, svg, object').length") == 0


def test_a_hostile_search_runs_no_script(browser: Browser) -> None:
    browser.open("/acme/?q=%22%3E%3Cscript%3Edocument.title%3D%22ran%22%3C/script%3E")

    assert browser.run("return document.title") == "Search results · acme"
    assert browser.errors() == []


def test_a_script_that_got_into_a_page_would_not_run(browser: Browser) -> None:
    """The policy of the page is the second line, if the first one fails."""
    browser.open(PROJECT)

    browser.run(
        "const image = document.createElement('img');"
        "image.setAttribute('onerror', 'document.title = \"ran\"');"
        "image.src = 'https://evil.example.com/x.png'; document.body.append(image)"
    )

    assert browser.run("return document.title") == "widgets 2.1.0 · acme"
    assert any("Content Security Policy" in error for error in browser.errors())
    assert not [url for url in browser.requested() if "evil" in url]


@every_theme
@every_page
def test_everybody_can_use_a_page(browser: Browser, axe: str, page: str, theme: str) -> None:
    browser.prefer(theme)
    browser.open(PAGES[page])
    browser.run("document.querySelectorAll('details').forEach(d => { d.name = ''; d.open = true })")

    assert violations(browser, axe) == []


@every_page
def test_a_page_fits_on_a_phone(browser: Browser, page: str) -> None:
    browser.resize(360)
    browser.open(PAGES[page])

    assert browser.run("return document.documentElement.scrollWidth") == 360


def test_a_keyboard_reaches_the_search_and_the_links_and_shows_where_it_is(
    browser: Browser,
) -> None:
    browser.open("/acme/")

    reached = []
    for _ in range(5):
        browser.press(Keys.TAB)
        assert browser.run(IS_OUTLINED)
        reached.append(browser.run("return document.activeElement.textContent.trim()"))

    assert reached == ["Skip to the content", "acme", "", "Search", "bolt-cli"]


def test_a_search_by_keyboard_finds_a_project(browser: Browser) -> None:
    browser.open("/acme/")
    for key in (Keys.TAB, Keys.TAB, Keys.TAB, "widg", Keys.ENTER):
        browser.press(key)

    browser.arrive("Search results · acme")
    assert browser.text(".lead").startswith("1 project has")
    assert browser.text(".projects") == "widgets"


def test_the_blocks_to_copy_open_without_a_script(browser: Browser) -> None:
    browser.open(PROJECT)

    browser.driver.find_elements("css selector", "summary")[1].click()

    assert "[[tool.uv.index]]" in browser.text("details[open]")


def test_a_browser_that_was_given_a_token_follows_the_links_of_a_private_registry(
    browser: Browser,
) -> None:
    browser.open("/acme/")
    browser.driver.find_element("link text", "widgets").click()
    browser.arrive("widgets 2.1.0 · acme")

    assert "The registry is private" in browser.text()
    assert browser.errors() == []


def test_a_public_registry_opens_without_a_token(server: ServerProcess) -> None:
    with opened(server.url) as stranger:
        stranger.open("/open/project/tools/")

        assert stranger.text("h1") == "tools 1.0"
        assert stranger.errors() == []


def test_a_private_registry_tells_a_browser_without_a_token_to_give_one(
    server: ServerProcess,
) -> None:
    with opened(server.url) as stranger:
        stranger.open("/acme/project/widgets/")

        assert "widgets" not in stranger.text()


@every_theme
@pytest.mark.parametrize(
    ("page", "height"), [("list", 800), ("project", 2180), ("changed", 1030), ("404", 420)]
)
def test_a_page_has_the_colours_of_the_readers_system(
    browser: Browser, tmp_path: Path, theme: str, page: str, height: int
) -> None:
    browser.resize(1200, height)
    browser.prefer(theme)
    browser.open(PAGES[page])
    browser.run("document.querySelectorAll('.card details').forEach(d => { d.open = true })")

    place = Path(os.environ.get("PYTP_SCREENSHOTS", tmp_path)) / f"{page}-{theme}.png"
    browser.screenshot(place)

    background = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 21, 27)"}[theme]
    assert place.stat().st_size > 5_000
