"""The paths of the product: matched in requests, and reversed for links."""

import pytest

from pytp_broker.http import paths
from pytp_broker.http.paths import Path


@pytest.mark.parametrize(
    ("path", "variables"),
    [
        ("/simple/widgets/", {"project": "widgets"}),
        ("/simple/widgets", {"project": "widgets"}),
        ("/simple//", {"project": ""}),
        ("/simple/a b/", {"project": "a b"}),
        ("/simple/", None),
        ("/simple", None),
        ("/simple/a/b", None),
        ("/simple/a/b/", None),
        ("/simple/a//", None),
        ("/acme/simple/a/", None),
        ("simple/a/", None),
        ("", None),
    ],
)
def test_a_variable_takes_one_segment(path: str, variables: dict[str, str] | None) -> None:
    assert Path("/simple/{project}/").match(path) == variables


@pytest.mark.parametrize(
    ("path", "variables"),
    [
        ("/files/0a/x.whl", {"sha256": "0a", "filename": "x.whl"}),
        ("/files/0a/", {"sha256": "0a", "filename": ""}),
        ("/files/0a", None),
        ("/files/0a/x.whl/", None),
        ("/files/0a/x/y", None),
    ],
)
def test_a_path_without_a_last_slash_does_not_take_one(
    path: str, variables: dict[str, str] | None
) -> None:
    assert Path("/files/{sha256}/{filename}").match(path) == variables


@pytest.mark.parametrize(
    ("path", "variables"),
    [
        ("/_/token/verify/a", {"project": "a"}),
        ("/_/token/verify/a/b/", {"project": "a/b/"}),
        ("/_/token/verify/", {"project": ""}),
        ("/_/token/verify", None),
        ("/_/token/verified/a", None),
    ],
)
def test_a_variable_with_a_plus_takes_all_that_is_left(
    path: str, variables: dict[str, str] | None
) -> None:
    assert Path("/_/token/verify/{project+}").match(path) == variables


def test_an_exchange_has_one_spelling() -> None:
    """The gateway limits the rate of this path alone."""
    assert paths.MINT.match("/_/oidc/mint-token") == {}
    assert paths.MINT.match("/_/oidc/mint-token/") is None
    assert paths.MINT.match("/_/oidc//mint-token") is None


def test_a_link_is_below_its_base_and_its_variables_are_quoted() -> None:
    path = Path("/files/{sha256}/{filename}")

    assert (
        path.url("/acme", sha256="0a", filename="x y/é#.whl")
        == "/acme/files/0a/x%20y%2F%C3%A9%23.whl"
    )


@pytest.mark.parametrize("path", paths.ALL, ids=str)
def test_a_link_leads_back_to_its_path(path: Path) -> None:
    names = ("project", "version", "sha256", "filename", "name", "session", "upload")
    found = path.match(path.url("", **dict.fromkeys(names, "a.b-c")))

    assert found is not None
    assert set(found.values()) <= {"a.b-c"}


def test_no_registry_may_have_the_name_that_a_path_begins_with() -> None:
    assert {"simple", "legacy", "files", "stage"} <= paths.RESERVED_NAMES


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/upload", True),
        ("/upload/", True),
        ("/upload/stage_0/files", True),
        ("/acme/upload", True),
        ("/acme/upload/stage_0", True),
        ("/simple/upload/", False),
        ("/project/upload/1.0/", False),
        ("/uploads", False),
        ("/acme/uploads", False),
        ("/acme/x/upload/", False),
        ("/", False),
        ("", False),
    ],
)
def test_an_address_of_the_upload_api_is_known(path: str, *, expected: bool) -> None:
    assert paths.is_upload_api(path) is expected
