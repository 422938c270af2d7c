"""What the client makes of a URL: a registry's uploads, its index, or nothing of ours."""

import pytest

from pytp_broker.client.locations import Location
from pytp_broker.http import paths

AT = "https://packages.example.com"


@pytest.mark.parametrize(
    ("url", "prefix", "is_for_upload"),
    [
        (f"{AT}/acme/legacy/", "/acme", True),
        (f"{AT}/acme/legacy", "/acme", True),
        (f"{AT}/legacy/", "", True),
        (f"{AT}/acme/simple/", "/acme", False),
        (f"{AT}/acme/simple", "/acme", False),
        (f"{AT}/acme/simple/widgets/", "/acme", False),
        (f"{AT}/simple/legacy/", "", False),
        (f"{AT}/simple/simple/", "", False),
        (f"{AT}/acme/files/0a/widgets-1.0.tar.gz", "/acme", False),
        ("https://__token__@packages.example.com/acme/simple/", "/acme", False),
        ("HTTPS://Packages.Example.COM/acme/legacy/", "/acme", True),
    ],
)
def test_a_registrys_url_says_which_and_what_for(
    url: str, prefix: str, *, is_for_upload: bool
) -> None:
    assert Location.parse(url) == Location(AT, prefix, is_for_upload)


def test_the_port_belongs_to_the_origin() -> None:
    found = Location.parse("https://127.0.0.1:8443/acme/legacy/")

    assert found is not None
    assert found.base_url == "https://127.0.0.1:8443/acme"


@pytest.mark.parametrize(
    "url",
    [
        "poetry-repository-acme",
        "pdm-repository-acme",
        "packages.example.com",
        "",
        "http://packages.example.com/acme/legacy/",
        "http://127.0.0.1:8080/acme/legacy/",
        "ftp://packages.example.com/acme/legacy/",
        f"{AT}/",
        f"{AT}/acme/",
        f"{AT}/acme/legacy/more",
        f"{AT}/a/b/legacy/",
        f"{AT}/ACME/legacy/",
        f"{AT}/acme/../legacy/",
        f"{AT}/acme/legacy/%2e%2e/simple/",
        "https:///acme/legacy/",
        "https://[::1/acme/legacy/",
        "https://packages.example.com:port/acme/legacy/",
        "https://a b/acme/legacy/",
        # Some programs send what they get for these to evil.example.
        "https://evil.example\\@packages.example.com/acme/legacy/",
        "https://packages.example.com\\.evil.example/acme/legacy/",
        "https://packages.example.com\t/acme/legacy/",
        "https://packages.example.com/acme/legacy/\n",
        "https://pac\N{KELVIN SIGN}ages.example.com/acme/legacy/",
    ],
)
def test_another_url_or_a_name_is_nothing_of_ours(url: str) -> None:
    assert Location.parse(url) is None


@pytest.mark.parametrize(
    ("url", "audience"),
    [
        (f"{AT}/acme/legacy/", "packages.example.com/acme"),
        (f"{AT}/legacy/", "packages.example.com"),
        (f"{AT}:8443/acme/simple/", "packages.example.com/acme"),
        ("https://packages.example.com./acme/simple/", "packages.example.com/acme"),
        ("https://127.0.0.1:8443/acme/legacy/", "pytp-127.0.0.1/acme"),
        ("https://packages/acme/legacy/", "packages/acme"),
        # Another service has this audience.
        ("https://sigstore/legacy/", None),
        ("https://1and1.example/acme/legacy/", "pytp-1and1.example/acme"),
        ("https://pytp-index.example/acme/legacy/", "pytp-index.example/acme"),
        # Anybody may register this name, whose audience is that of 1and1.example.
        ("https://pytp-1and1.example/acme/legacy/", None),
    ],
)
def test_only_an_audience_that_names_the_url_is_the_registrys_own(
    url: str, audience: str | None
) -> None:
    found = Location.parse(url)

    assert found is not None
    assert found.own_audience == audience


def test_the_paths_that_a_client_knows_are_the_brokers() -> None:
    for path in (paths.LEGACY, paths.PROJECTS, paths.PROJECT, paths.FILE):
        url = path.url(f"{AT}/acme", project="widgets", sha256="0a", filename="widgets-1.0.tar.gz")
        found = Location.parse(url)
        assert found is not None
        assert found.is_for_upload == (path is paths.LEGACY)
