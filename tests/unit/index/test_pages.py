"""Pages show the state of each file and the status of the project."""

import json
from typing import Any

import pytest

from pytp_broker.index.listings import FileState, ListedFile, ProjectListing
from pytp_broker.index.pages import project_html, project_json
from pytp_broker.storage.project_status import ACTIVE, ProjectStatus
from tests.support.samples import file

UNCHANGED = FileState()


def listing(state: FileState = UNCHANGED, status: ProjectStatus = ACTIVE) -> ProjectListing:
    return ProjectListing("widgets", (ListedFile(file(), state),), status)


def page_of(listing: ProjectListing) -> Any:
    return json.loads(project_json(listing, "/acme"))


@pytest.mark.parametrize(
    ("yanked", "in_json", "in_html"),
    [
        (None, False, ">"),
        ("", True, ' data-yanked="">'),
        ("breaks <b> & co", "breaks <b> & co", ' data-yanked="breaks &lt;b&gt; &amp; co">'),
    ],
)
def test_a_yanked_file_says_so_and_why(
    yanked: str | None, in_json: bool | str, in_html: str
) -> None:
    listed = listing(FileState(yanked))

    assert page_of(listed)["files"][0]["yanked"] == in_json
    assert f'"{in_html}widgets-1.0.tar.gz</a>' in project_html(listed, "/acme").decode()


@pytest.mark.parametrize(
    ("status", "in_json", "in_html"),
    [
        (ACTIVE, {"status": "active"}, []),
        (
            ProjectStatus("archived"),
            {"status": "archived"},
            ['<meta name="pypi:project-status" content="archived">'],
        ),
        (
            ProjectStatus("deprecated", 'use "gadgets"'),
            {"status": "deprecated", "reason": 'use "gadgets"'},
            [
                '<meta name="pypi:project-status" content="deprecated">',
                '<meta name="pypi:project-status-reason" content="use &quot;gadgets&quot;">',
            ],
        ),
    ],
)
def test_a_project_that_is_not_active_says_so_and_why(
    status: ProjectStatus, in_json: dict[str, str], in_html: list[str]
) -> None:
    listed = listing(status=status)

    assert page_of(listed)["project-status"] == in_json
    lines = project_html(listed, "/acme").decode().splitlines()
    assert [line for line in lines if "project-status" in line] == in_html
