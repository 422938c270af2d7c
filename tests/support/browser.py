"""Chromium without a window, driven by selenium, and what it saw: errors, requests, screenshots."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

# What the pages call the server, so that a picture of one shows no port.
HOST: Final = "packages.example.com"
CHROMIUM: Final = shutil.which("chromium")
DRIVER: Final = shutil.which("chromedriver")


class Browser:
    """A browser for one test."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, path: str, credentials: str = "") -> None:
        """Open a page of the server, with a user and a password as a person gives them."""
        self.driver.get(f"https://{credentials}{HOST}{path}")

    def arrive(self, title: str) -> None:
        """Wait until the page with this title is loaded."""
        wait = WebDriverWait(self.driver, timeout=10)
        wait.until(
            lambda _: self.run("return document.title + document.readyState") == f"{title}complete"
        )

    def leave(self) -> None:
        """Show an empty page, and forget what was seen."""
        self.driver.get("about:blank")
        self._log("browser")
        self._log("performance")

    def press(self, key: str) -> None:
        """Press a key, on whatever has the focus."""
        ActionChains(self.driver).send_keys(key).perform()

    def resize(self, width: int, height: int = 900) -> None:
        """Show pages as on a screen of this size."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._command("Emulation.setDeviceMetricsOverride", metrics)

    def prefer(self, scheme: str) -> None:
        """Prefer light or dark colours, as a reader's system does."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._command("Emulation.setEmulatedMedia", {"features": [feature]})

    def _command(self, name: str, values: dict[str, Any]) -> None:
        self.driver.execute_cdp_cmd(name, values)

    def run(self, script: str, *arguments: object) -> Any:
        """Run a script of the test in the page; the page's own policy does not hold for it."""
        return self.driver.execute_script(script, *arguments)

    def text(self, selector: str = "body") -> str:
        return self.driver.find_element(By.CSS_SELECTOR, selector).text

    def errors(self) -> list[str]:
        """Return what the browser has written to the console since the last call."""
        return [entry["message"] for entry in self._log("browser")]

    def requested(self) -> list[str]:
        """Return the URLs that the browser has asked for since the last call.

        A request that the page's own policy refuses is not sent.
        """
        messages = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        begun = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        failed = [m["params"] for m in messages if m["method"] == "Network.loadingFailed"]
        refused = {each["requestId"] for each in failed if each.get("blockedReason") == "csp"}
        return [each["request"]["url"] for each in begun if each["requestId"] not in refused]

    def _log(self, kind: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.driver.get_log(kind)  # type: ignore[no-untyped-call]
        return entries

    def screenshot(self, path: Path) -> None:
        self.driver.save_screenshot(str(path))


@contextmanager
def opened(server_url: str) -> Iterator[Browser]:
    """Open a browser that finds the server at ``HOST`` and no other host; end it.

    The test skips where there is no Chromium, and fails instead where all tests must run.
    """
    if CHROMIUM is None or DRIVER is None:
        refuse = pytest.fail if os.environ.get("PYTP_REQUIRE_ALL") == "1" else pytest.skip
        refuse("needs chromium and chromedriver: apt-get install chromium chromium-driver")
    options = Options()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new",
        "--no-sandbox",  # the tests of a container run as root
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--ignore-certificate-errors",  # the server's is for 127.0.0.1
        f"--host-resolver-rules=MAP {HOST} {urlsplit(server_url).netloc}, MAP * ~NOTFOUND",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
