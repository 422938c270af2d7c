"""What the exchange for a read token pins on first use."""

from tests.support.configurations import github_reader
from tests.support.readers import PUBLISHER, with_readers


def test_the_first_use_pins_the_owners_id_and_no_repositorys() -> None:
    world = with_readers(github_reader())

    assert world.mint_to_read(world.token()).status == 200

    (reader,) = world.store.publishers.values()
    assert dict(reader.pins) == {"repository_owner_id": "9919"}
    other = world.token(repository="octo-org/other", repository_id="2")
    assert world.mint_to_read(other).status == 200


def test_the_next_holder_of_the_owners_name_reads_nothing() -> None:
    world = with_readers(github_reader())
    world.mint_to_read(world.token())

    answer = world.mint_to_read(world.token(repository_owner_id="666"))

    assert answer.code == "invalid-publisher"
    assert world.records[-1].reason == "immutable-id-changed"


def test_an_identity_token_that_has_published_may_pin_a_readers_id() -> None:
    world = with_readers(github_reader(), PUBLISHER)
    identity = world.token()
    assert world.mint(identity).status == 200

    assert world.mint_to_read(identity).status == 200
