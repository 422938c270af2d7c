"""Registries that trust readers, and the read tokens that a broker has stored."""

from typing import Final

from pytp_broker.tokens import TokenRecord
from tests.support.configurations import github_publisher, github_reader, registry
from tests.support.world import World

PUBLISHER: Final = github_publisher("widgets", repository_owner_id="9919")
# Each registry has a reader, and `acme` a publisher as well.
CONFIGURATION: Final = registry(
    "acme", PUBLISHER, github_reader(repository_owner_id="9919"), audience="acme"
) + registry(
    "other",
    github_reader(repository="octo-org/gadgets", repository_owner_id="9919", repository_id="1"),
    audience="other",
    hosts=["other.example.com"],
)


def with_readers(*readers: str, **settings: object) -> World:
    """Return a broker with one registry, which trusts these."""
    return World(registry("acme", *readers, audience="acme", **settings))


def records(world: World) -> list[TokenRecord]:
    """Return the records of the tokens that are stored."""
    return list(world.store.tokens.values())
