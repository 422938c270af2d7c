"""A publisher of thousands of projects: its tokens are minted, checked, used and burned."""

import json

import pytest

from pytp_broker.storage.file_store import FileStore
from pytp_broker.storage.protocols import Store
from pytp_broker.tokens import UploadToken
from tests.contract.conftest import FOLDER
from tests.faults.stage import CONFIGURATION, Engine, Picture, Stage, wheel
from tests.support.deployment import HOST
from tests.support.samples import configuration, publisher

# An item of DynamoDB has 400 KB: 6,500 names of 28 characters, or 1,300 of 200. moto takes a minute
# to apply five thousand names of any length.
MANY = [("sqlite", 6_500, 28), ("sqlite", 10_000, 28), ("moto", 2_500, 200)]


def names(count: int, length: int = 28) -> list[str]:
    return [f"a-project-of-{'x' * (length - 18)}{number:05}" for number in range(count)]


def open_stage(store: Store, files: FileStore, projects: list[str]) -> Stage:
    text = CONFIGURATION.replace('["widgets", "old"]', json.dumps(projects))
    engine = Engine(
        store,
        files,
        lambda: Picture([], store),
        lambda loaded: store.apply(loaded.configuration, loaded.publishers),
    )
    return Stage(engine, configuration=text)


@pytest.mark.parametrize("files", FOLDER, indirect=True)
@pytest.mark.parametrize(("store", "count", "length"), MANY, indirect=["store"])
def test_a_token_for_thousands_of_projects_does_all_that_a_token_does(
    store: Store, files: FileStore, count: int, length: int
) -> None:
    projects = names(count, length)
    stage = open_stage(store, files, projects)
    deployment = stage.honest

    minted = deployment.mint(stage.identity_token())
    assert minted.status == 200
    token = UploadToken.parse(minted.json["token"])

    record = stage.records[-1].document()
    assert record["project_count"] == count
    assert len(json.dumps(record)) < 128 * 1024
    found = store.find_token(token.lookup_id, ("acme", projects[-1]))
    assert found is not None
    assert len(json.dumps(found[0].document())) < 16 * 1024
    for project in (projects[0], projects[-1]):
        assert deployment.upload(token, wheel(project)).status == 200
    refused = deployment.upload(token, wheel("gadgets"))
    assert refused.status == 403
    shown = refused.detail.count("a-project-of")
    assert 0 < shown <= 20
    assert refused.detail.endswith(f" and {count - shown:,} more")
    assert deployment.introspect(token).json["projects"] == projects
    assert deployment.introspect(token, project=projects[-1]).json["active"] is True
    assert deployment.introspect(token, project="gadgets").json == {"active": False}
    assert [each.project_count for each in store.list_tokens(stage.now)] == [count]
    assert deployment.burn(token).status == 202
    assert deployment.upload(token, wheel(projects[1])).status == 401
    stage.check()


def test_the_shared_root_gives_a_token_for_thousands_of_projects_of_each_registry(
    sqlite_store: Store, folder_files: FileStore
) -> None:
    stage = open_stage(sqlite_store, folder_files, names(10_000))
    text = CONFIGURATION.replace('["gadgets"]', json.dumps(names(10_000)))
    stage.configure(text.replace('["gizmos"]', json.dumps(names(10_000))))

    minted = stage.honest.mint(stage.identity_token("octo-org/gadgets", aud=HOST), "")

    assert stage.records[-1].facts["project_count"] == 20_000
    token = UploadToken.parse(minted.json["token"])
    for prefix in ("/acme", "/other"):
        assert stage.honest.upload(token, wheel(names(10_000)[-1]), prefix).status == 200


def test_a_large_publisher_that_shrinks_and_grows_has_the_projects_that_it_should(
    store: Store,
) -> None:
    for count in (1_100, 3, 1_050):
        projects = tuple(f"{'long-' * 30}{number}" for number in range(count))

        store.apply(configuration(), [publisher(projects=projects)])

        (found,) = store.list_publishers(publisher().identity_key)
        assert found.projects == projects
        assert store.list_trust([("acme", projects[-1])]).keys() == {("acme", projects[-1])}
    store.apply(configuration(), [])
    assert not store.list_publishers(publisher().identity_key)
