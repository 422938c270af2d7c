"""The publisher's block to copy: `validate` takes it, and reads the same publisher."""

import tomllib

import pytest

from pytp_broker import config
from pytp_broker.index.web.snippets import stanza
from pytp_broker.trust.publishers import TrustedPublisher
from tests.support.configurations import generic_registry, github_issuer, github_publisher, registry

GHES = "https://ghes.example.com/_services/token"


def load(text: str) -> TrustedPublisher:
    (publisher,) = config.parse(tomllib.loads(text), allow_loopback=False).publishers
    return publisher


@pytest.mark.parametrize(
    "text",
    [
        registry("acme", github_publisher("widgets", environment="ENV")).replace(
            "ENV", "Größe \U0001f600"
        ),
        registry("acme", github_publisher("widgets", events=["push", "release"])),
        github_issuer(GHES) + registry("acme", github_publisher("widgets", issuer=GHES)),
        generic_registry('sub = "project:widgets:release", "a.b" = "x\\\\y\\"z"'),
    ],
)
def test_a_block_describes_the_publisher_that_it_was_made_from(text: str) -> None:
    publisher = load(text)
    issuers = text.partition("[[registries]]")[0]

    shown = stanza(publisher, "widgets")

    again = load(f'{issuers}[[registries]]\nname = "acme"\n{shown}')
    assert again.rules_hash == publisher.rules_hash
    assert again.projects == ("widgets",)


def test_a_block_names_the_ids_that_are_pinned() -> None:
    publisher = load(registry("acme", github_publisher("widgets")))

    shown = stanza(publisher.with_pins({"repository_id": "70107786"}), "widgets")

    assert 'repository_id = "70107786"' in shown
    assert load(f'[[registries]]\nname = "acme"\n{shown}').fields["repository_id"] == "70107786"
