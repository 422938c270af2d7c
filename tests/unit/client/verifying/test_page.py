"""docs/verify.md: what the page says is what the command does."""

import re
from pathlib import Path

import pytest

from pytp_broker.cli import verify
from pytp_broker.cli.command import FAILED, MISUSED
from pytp_broker.client.verifying.attestations import Status
from pytp_broker.client.verifying.index_evidence import INDEX_VARIABLE, USUAL_VARIABLES
from pytp_broker.client.verifying.policy import read_policy
from pytp_broker.client.verifying.policy_members import MEMBERS
from pytp_broker.client.verifying.report import VERSION
from pytp_broker.provenance.continuity import Word

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs/verify.md").read_text()
PACKAGE = ROOT / "functions/pytp_broker"
SOURCES = (*(PACKAGE / "client/verifying").glob("*.py"), PACKAGE / "provenance/checking.py")


def rows(mark: str) -> list[str]:
    """Return the first cells of the table after a comment."""
    found = re.search(rf"<!-- {mark} -->\n(?:\|.*\n){{2}}((?:\|.*\n)+)", PAGE)
    assert found, mark
    return [line.split("|")[1].strip() for line in found[1].splitlines()]


def code(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_the_page_names_every_reason() -> None:
    raised = re.compile(
        r"(?:NotVerifiedError|ReceiptRefusedError)\(\s*\"([a-z-]+)\"|reason, why = \"(.+?)\""
    )
    refused = re.compile(r"_refuse\(line, path, \"([a-z-]+)\"")
    reasons = {"unreadable"}
    for source in SOURCES:
        text = source.read_text()
        reasons |= {a or b for a, b in raised.findall(text)} | {*refused.findall(text)}

    named = [name for row in rows("reasons") for name in code(row)]

    assert len(reasons) > 30
    assert {*named} == reasons
    assert len(named) == len(reasons)


def test_the_page_names_every_member_of_a_policy() -> None:
    assert [name for row in rows("members") for name in code(row)] == [
        *MEMBERS,
        "require_attestations",
    ]


def test_the_policy_shown_is_accepted(tmp_path: Path) -> None:
    (text,) = re.findall(r"<!-- policy -->\n```toml\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "policy.toml"
    path.write_text(text)

    policy = read_policy(path)

    assert [*policy.projects] == ["widgets", "gadgets", "old-widgets", "*"]


def test_the_page_names_every_exit_status() -> None:
    assert rows("statuses") == [str(each) for each in (0, FAILED, MISUSED, verify.TRY_AGAIN)]


@pytest.mark.parametrize("name", [INDEX_VARIABLE, *USUAL_VARIABLES])
def test_the_page_names_every_variable(name: str) -> None:
    assert f"`{name}`" in PAGE


def test_the_page_names_every_word_of_a_comparison() -> None:
    named = [name for row in rows("words") for name in code(row)]

    assert named == [word.value for word in Word]


@pytest.mark.parametrize("status", Status)
def test_the_page_names_every_status_of_attestations(status: Status) -> None:
    assert f"`{status.value}`" in PAGE


def test_the_page_says_which_version_the_document_has() -> None:
    assert f"whose `version` is {VERSION}." in PAGE
