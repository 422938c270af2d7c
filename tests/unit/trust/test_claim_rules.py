"""Rules for claims, through the exchange: a text is compared as it is, and only a `*` means more.

Rules are not regular expressions.
"""

import time
from typing import Any

import pytest

from tests.support.configurations import generic_registry, mistakes
from tests.support.signing import NOW, Issuer, rsa_key
from tests.support.world import World

SECONDS = int(NOW.timestamp())


def is_exchanged(rules: str, **claims: Any) -> bool:
    """Say whether the broker exchanges a token with these claims for a publisher of these rules."""
    world = World(generic_registry(rules))
    world.issuer = Issuer("https://ci.example.com")
    times = {"iat": SECONDS, "exp": SECONDS + 300, "aud": "acme", "iss": world.issuer.url}
    answer = world.mint(world.issuer.sign({**times, "jti": "1", **claims}))
    if answer.status == 200:
        return True
    assert (answer.status, answer.code) == (422, "invalid-publisher")
    assert not world.store.tokens
    return False


def test_a_claim_that_is_as_its_rule_says_is_exchanged() -> None:
    assert is_exchanged('sub = "x"', sub="x")


@pytest.mark.row("A062")
def test_an_alternation_in_a_rule_means_nothing() -> None:
    rules = r'url = "https://a\\.x\\.com|https://b\\.x\\.com", sub = "x"'

    assert not is_exchanged(rules, sub="x", url="https://a.x.com.evil")
    assert not is_exchanged(rules, sub="x", url="https://a.x.com")


@pytest.mark.row("A063")
def test_a_group_in_a_rule_cannot_be_closed() -> None:
    (line,) = mistakes(generic_registry('sub = "a)|(.*"'))

    assert "a `*` must follow" in line
    for value in ("anything", "a"):
        assert not is_exchanged('sub = "x", branch = "a)|(.*"', sub="x", branch=value)


@pytest.mark.row("A064")
def test_a_newline_at_the_end_of_a_claim_counts() -> None:
    assert not is_exchanged('sub = "^release.yml$"', sub="release.yml\n")
    assert not is_exchanged('sub = "release.yml"', sub="release.yml\n")
    assert not is_exchanged('sub = "x", ref = "refs/tags/*"', sub="x", ref="refs/tags/v\n/x")


@pytest.mark.row("A065")
@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("(a+)+b", "a" * 28),
        ("/*a*a*a*a*a*a*a*a*a*b", "/" + "a" * 8000),
        ("x/*b", "x/" + "a" * 8000),
    ],
)
def test_a_rule_that_is_slow_on_purpose_is_compared_at_once(rule: str, value: str) -> None:
    rsa_key("key-1")  # which may take as long as it likes
    started_at = time.thread_time()

    assert not is_exchanged(f'sub = "x", branch = "{rule}"', sub="x", branch=value)

    assert time.thread_time() - started_at < 0.5


@pytest.mark.row("A066")
def test_a_star_ends_where_a_segment_ends() -> None:
    for rule in ("repo:my-org*", "repo:org/repo*"):
        (line,) = mistakes(generic_registry(f'sub = "x", repo = "{rule}"'))
        assert "a `*` must follow" in line

    rules = 'sub = "x", repo = "repo:org/*"'
    assert is_exchanged(rules, sub="x", repo="repo:org/repo")
    for value in ("repo:org/a/b", "repo:org/a:b", "repo:org-evil/a", "repo:org/a@b"):
        assert not is_exchanged(rules, sub="x", repo=value)


@pytest.mark.row("A070")
@pytest.mark.parametrize("value", [["x", "allowed"], ["allowed"], {"allowed": True}, True, 1, None])
def test_a_claim_that_is_not_a_text_matches_no_rule(value: object) -> None:
    assert not is_exchanged('sub = "x", group = "allowed"', sub="x", group=value)
    assert is_exchanged('sub = "x", group = "allowed"', sub="x", group="allowed")
