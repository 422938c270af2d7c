"""One identity token gives many read tokens, but not so many that they fill the store."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from pytp_broker import minting
from pytp_broker.minting import read_lookup_ids
from pytp_broker.tokens import UploadToken
from tests.support.configurations import github_reader
from tests.support.deployment import Answer
from tests.support.readers import CONFIGURATION, records, with_readers
from tests.support.signing import NOW
from tests.support.world import World


@pytest.fixture
def world() -> World:
    return World(CONFIGURATION)


def test_an_identity_token_gives_a_new_read_token_each_time(world: World) -> None:
    identity = world.token()

    texts = {world.mint_to_read(identity).json["token"] for _ in range(5)}

    assert len(texts) == 5
    assert len({UploadToken.parse(text).lookup_id for text in texts}) == 5


def test_a_job_that_has_read_may_publish_and_one_that_has_published_may_read(world: World) -> None:
    identity = world.token()

    assert world.mint_to_read(identity).status == 200
    assert world.mint(identity).status == 200
    assert world.mint_to_read(identity).status == 200
    assert world.mint(identity).code == "invalid-reuse-token"


def test_fifty_posts_at_once_give_fifty_tokens(world: World) -> None:
    identity = world.token()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: world.mint_to_read(identity), range(50)))

    assert {answer.status for answer in answers} == {200}
    stored = {record.token_hash for record in records(world)}
    assert stored == {UploadToken.parse(answer.json["token"]).hash for answer in answers}
    assert len(stored) == 50


def test_an_identity_token_that_has_expired_reads_nothing(world: World) -> None:
    identity = world.token()
    world.advance(minutes=30)

    assert world.mint_to_read(identity).code == "invalid-token"


def test_no_lookup_id_of_a_read_token_is_an_upload_tokens() -> None:
    token_id = "0" * 32

    ids = {lookup_id for _ in range(100) for lookup_id in read_lookup_ids(token_id)}

    assert token_id not in ids
    assert all(len(lookup_id) == 32 for lookup_id in ids)


@pytest.fixture
def few_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give an identity token twelve places; a refusal needs eight that are taken."""
    monkeypatch.setattr(minting, "MAX_LIVE_READ_TOKENS", 12)


def fill(world: World, identity: str) -> tuple[int, Answer]:
    """Exchange until it is refused; return how many read tokens that gave, and the refusal."""
    count = 0
    while (answer := world.mint_to_read(identity)).status == 200:
        count += 1
        assert count <= 12
    return count, answer


@pytest.mark.promise("bounded-read-tokens")
@pytest.mark.usefixtures("few_places")
def test_one_identity_token_does_not_fill_the_store(world: World) -> None:
    identity = world.token()

    count, refused = fill(world, identity)

    assert 8 <= count == len(records(world))
    assert (refused.status, refused.code) == (422, "invalid-reuse-token")
    assert "ask the CI for a new identity token" in refused.detail
    assert world.mint_to_read(world.token()).status == 200, "another identity token has its own"


@pytest.mark.usefixtures("few_places")
def test_the_places_of_expired_read_tokens_are_free_again() -> None:
    world = with_readers(github_reader(repository_owner_id="9919"), read_token_lifetime=60)
    identity = world.token(exp=int(NOW.timestamp()) + 3600)
    fill(world, identity)

    world.advance(minutes=3)

    assert fill(world, identity)[0] >= 8
