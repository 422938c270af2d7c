"""Many publishers of one repository: what matches is what would match alone, at a lower price."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytp_broker.errors import InvalidPublisher
from pytp_broker.oidc.signed_claims import SignedClaims
from pytp_broker.trust import matching
from pytp_broker.trust.matching import find_matching, is_match
from pytp_broker.trust.narrowing import narrow
from pytp_broker.trust.providers.model import Field, Role
from pytp_broker.trust.publishers import TrustedPublisher
from pytp_broker.trust.readers import READERS
from pytp_broker.trust.rules import Findings, compare
from tests.support.claims import captured
from tests.support.providers import NAMES, publisher_of, reader_of, signed, strict
from tests.support.signing import ABSENT

REUSABLE = "octo-org/workflows/.github/workflows/publish.yml@refs/heads/main"


def alone(publishers: Sequence[TrustedPublisher], claims: SignedClaims) -> list[TrustedPublisher]:
    """Return the publishers whose every finding is positive, each compared by itself."""
    return [each for each in publishers if is_match(compare(each, claims))]


def together(publishers: Sequence[TrustedPublisher], claims: SignedClaims) -> Any:
    try:
        return list(find_matching(publishers, claims, publishers[0].provider))
    except InvalidPublisher:
        return []


def texts_for(field: Field) -> st.SearchStrategy[Any]:
    """Return texts for a field: its example, one that is nearly it, a pattern, or none at all."""
    texts = st.sampled_from(
        [
            field.example,
            field.example.swapcase(),
            f"{field.example}x",
            "*",
            "refs/*/*",
            "",
            REUSABLE,
        ]
    )
    some = st.lists(texts, max_size=3).map(tuple) if field.any_of else texts
    return some | st.just(ABSENT)


def publishers_for(name: str) -> st.SearchStrategy[TrustedPublisher]:
    base = strict(name)
    fields = st.fixed_dictionaries({f.name: texts_for(f) for f in base.provider.fields})
    pins = st.sampled_from([{}, {f.name: f.example for f in base.provider.fields_of(Role.PIN)}])
    patterns = st.sampled_from([captured(name)["sub"], f"{captured(name)['sub']}x", "*", "*:*"])
    claims = st.dictionaries(st.sampled_from(["sub", "missing"]), patterns, max_size=2)
    return st.builds(
        lambda values, pins, claims: replace(
            base,
            fields={key: value for key, value in values.items() if value is not ABSENT},
            pins=pins,
            claims=claims,
        ),
        fields,
        pins,
        claims,
    )


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15)  # of each provider
@given(data=st.data())
def test_what_matches_together_is_what_matches_alone(name: str, data: st.DataObject) -> None:
    near = [strict(name), publisher_of(name, **strict(name).fields)]
    publishers = data.draw(
        st.lists(publishers_for(name) | st.sampled_from(near), min_size=2, max_size=6)
    )
    changes = data.draw(st.dictionaries(st.sampled_from(["sub", "environment", "ref"]), st.text()))
    claims = signed({**captured(name), **changes})

    assert alone(narrow(publishers, claims), claims) == alone(publishers, claims)
    assert together(publishers, signed(captured(name))) == alone(publishers, signed(captured(name)))


def environments(count: int) -> list[TrustedPublisher]:
    base = strict("github")
    return [replace(base, fields={**base.fields, "environment": f"e-{n}"}) for n in range(count)]


def test_of_a_thousand_publishers_those_of_another_environment_are_left_out() -> None:
    publishers = [*environments(500), strict("github"), *environments(500)]

    assert narrow(publishers, signed(captured("github"))) == [strict("github")]


def test_of_a_thousand_publishers_those_of_another_claim_are_left_out() -> None:
    mine = strict("generic")
    others = [replace(mine, claims={"sub": f"job-{n}/*"}) for n in range(1000)]

    assert narrow([*others, mine], signed(captured("generic"))) == [mine]
    assert narrow(others, signed({**captured("generic"), "sub": 5})) == []


def test_a_workflow_may_be_that_of_either_claim() -> None:
    """The caller's file with a reusable workflow, and the job's own without one."""
    base = strict("github")
    caller = replace(base, fields={**base.fields, "reusable_workflow": REUSABLE})
    claims = signed({**captured("github"), "job_workflow_ref": REUSABLE})

    assert together([base, caller, *environments(9)], claims) == [caller]


def test_publishers_of_the_same_rules_are_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    base, claims = strict("github"), signed(captured("github"))
    same = [replace(base, registry=f"team-{n}", publisher_id=f"id-{n}") for n in range(100)]
    other = replace(base, fields={**base.fields, "ref_type": "branch"})
    compared: list[TrustedPublisher] = []

    def count(publisher: TrustedPublisher, claims: SignedClaims) -> Findings:
        compared.append(publisher)
        return compare(publisher, claims)

    monkeypatch.setattr(matching, "compare", count)

    assert find_matching([*same, other], claims, base.provider) == tuple(same)
    assert compared == same[:1]


def test_readers_of_several_identities_are_told_apart() -> None:
    """A repository's reader and its owner's have other fields, and both may match."""
    job = captured("github")
    owner = reader_of("github", owner="octo-org", repository_owner_id="9919")
    repository = reader_of("github", repository="octo-org/widgets", environment="release")
    staging = replace(repository, fields={**repository.fields, "environment": "staging"})

    entry = READERS["github"].entry

    assert find_matching([owner, staging, repository], signed(job), entry) == (owner, repository)


def test_a_refusal_among_many_explains_the_nearest() -> None:
    with pytest.raises(InvalidPublisher) as refused:
        find_matching(environments(50), signed(captured("github")), strict("github").provider)

    assert "claim `environment` is `release`; the publisher's `environment` expects `e-0`" in (
        refused.value.detail
    )
