"""Registries: the issuers that they accept, and how they are stored."""

from typing import Any

import pytest

from pytp_broker.registries import Registry

GITHUB = "https://token.actions.githubusercontent.com"
GITLAB = "https://gitlab.com"


def without_every_issuer(registry: Registry) -> dict[str, Any]:
    """Return the document that earlier versions wrote."""
    return {k: v for k, v in registry.document().items() if k != "every_issuer"}


def test_a_registry_with_a_list_accepts_only_the_issuers_in_it() -> None:
    registry = Registry("acme", (GITHUB,))

    assert registry.accepts(GITHUB)
    assert not registry.accepts(GITLAB)
    assert not registry.accepts(f"{GITHUB}/")


def test_a_registry_without_a_list_accepts_every_issuer() -> None:
    assert Registry("acme", None).accepts(GITLAB)


@pytest.mark.parametrize("issuers", [None, (), (GITHUB, GITLAB)])
def test_a_registry_is_read_as_it_was_written(issuers: tuple[str, ...] | None) -> None:
    registry = Registry("acme", issuers)

    assert Registry.from_document(registry.document()) == registry


def test_a_registry_of_an_earlier_version_keeps_its_list() -> None:
    registry = Registry("acme", (GITHUB, GITLAB))

    assert Registry.from_document(without_every_issuer(registry)) == registry


def test_an_empty_list_is_not_every_issuer() -> None:
    found = Registry.from_document(without_every_issuer(Registry("acme", ())))

    assert found.issuers == ()


def test_an_earlier_version_reads_every_issuer_as_no_issuer() -> None:
    """An earlier version needs a list, and would fail without one."""
    assert Registry("acme", None).document()["issuers"] == []
