"""Diagnosis: what a refusal tells, and to which callers."""

from dataclasses import replace

import pytest

from pytp_broker.errors import ChangedIdentity, InvalidPublisher
from pytp_broker.trust.matching import find_matching
from pytp_broker.trust.providers import PROVIDERS
from pytp_broker.trust.providers.model import Field, Role
from pytp_broker.trust.publishers import unpinned
from tests.support.claims import captured
from tests.support.providers import changed, documented, refusal, signed, strict
from tests.support.signing import ABSENT


@pytest.mark.parametrize("name", ["circleci", "azure-devops", "github", "gitlab"])
def test_who_holds_the_identity_and_its_ids_is_told_what_is_wrong(name: str) -> None:
    rule = PROVIDERS[name].fields_of(Role.RULE)[0]
    publisher = replace(strict(name), fields={**strict(name).fields, rule.name: "expected"})

    assert "`expected`" in refusal(publisher, captured(name))


PINS = [(name, f) for name, p in PROVIDERS.items() for f in p.fields_of(Role.PIN)]


@pytest.mark.parametrize(("name", "pin"), PINS, ids=[f"{n}-{f.name}" for n, f in PINS])
@pytest.mark.parametrize("is_pinned", [False, True], ids=["given", "pinned"])
def test_a_wrong_immutable_id_is_told_and_never_the_right_one(
    name: str, pin: Field, is_pinned: bool
) -> None:
    wrong = pin.example[:-1] + ("0" if pin.example[-1] != "0" else "1")
    if name == "bitbucket":
        wrong = pin.example.replace("5", "6", 1)
    ids = {f.name: f.example for f in PROVIDERS[name].fields_of(Role.PIN)} | {pin.name: wrong}
    publisher = replace(strict(name), fields={**strict(name).fields, **ids})
    if is_pinned:
        others = {k: v for k, v in publisher.fields.items() if k not in ids}
        publisher = replace(publisher, fields=others).with_pins(ids)

    with pytest.raises(ChangedIdentity) as caught:
        find_matching([publisher], signed(captured(name)), PROVIDERS[name])

    assert f"claim `{pin.claim}` is `{pin.example}`, which is not the id" in caught.value.detail
    assert wrong not in caught.value.detail
    assert f"expects `{wrong}`" in caught.value.operator_detail


@pytest.mark.parametrize("name", ["buildkite", "forgejo", "gitlab", "github"])
def test_an_id_that_a_token_lacks_is_missing_and_not_changed(name: str) -> None:
    (pin, *_) = (f for f in PROVIDERS[name].fields_of(Role.PIN) if f.claim != "repository_owner_id")

    claims = signed(changed(captured(name), pin.claim, ABSENT))

    with pytest.raises(InvalidPublisher) as caught:
        find_matching([strict(name)], claims, PROVIDERS[name])

    detail = caught.value.detail
    assert not isinstance(caught.value, ChangedIdentity)
    assert f"claim `{pin.claim}` is missing, and the publisher has an id for it" in detail
    assert "Let the job ask its CI for a token with this claim" in detail


def test_a_wrong_id_of_one_publisher_does_not_hide_the_rule_of_another() -> None:
    publisher = strict("github")
    other = {"repository_owner_id": "1111", "workflow": "other.yml"}
    stale = replace(publisher, fields={**publisher.fields, **other})
    claims = signed({**captured("github"), "environment": "staging"})

    with pytest.raises(InvalidPublisher) as caught:
        find_matching([stale, publisher], claims, PROVIDERS["github"])

    assert not isinstance(caught.value, ChangedIdentity)
    assert "expects `release`" in caught.value.detail
    assert "other.yml" not in caught.value.detail


def test_who_may_be_a_stranger_is_told_nothing() -> None:
    publisher = replace(strict("generic"), claims={"sub": "expected"})

    assert "expected" not in refusal(publisher, captured("generic"))


@pytest.mark.parametrize(
    ("name", "claim", "value"),
    [
        ("gitlab", "job_project_id", ["20"]),
        ("semaphore", "pr", 7),
        ("circleci", "oidc.circleci.com/context-ids", [5]),
    ],
)
def test_a_claim_of_a_wrong_type_is_not_said_to_be_missing(
    name: str, claim: str, value: object
) -> None:
    (publisher,) = documented(name).publishers
    publisher = replace(publisher, pins=unpinned(publisher, signed(captured(name))))

    detail = refusal(publisher, changed(captured(name), claim, value))

    assert f"claim `{claim}` is of a wrong type" in detail
