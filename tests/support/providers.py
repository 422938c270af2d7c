"""What the files say of each provider: its page, and publishers for its captured claims."""

import copy
import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pytp_broker import config
from pytp_broker.config import Loaded
from pytp_broker.errors import InvalidPublisher
from pytp_broker.grants import Permission
from pytp_broker.oidc.signed_claims import SignedClaims
from pytp_broker.trust.matching import find_matching
from pytp_broker.trust.providers import PROVIDERS
from pytp_broker.trust.providers.model import Field, FieldValue
from pytp_broker.trust.publishers import TrustedPublisher, entry_for, identity_keys
from pytp_broker.trust.readers import READERS
from tests.support.claims import captured
from tests.support.signing import ABSENT, NOW

TESTS = Path(__file__).parents[1]
DOCS = TESTS.parent / "docs" / "providers"
NAMES = tuple(PROVIDERS)


@cache
def page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page(name), re.MULTILINE | re.DOTALL)


@cache
def documented(name: str) -> Loaded:
    return config.parse(tomllib.loads(blocks(name, "toml")[0]), allow_loopback=False)


def signed(claims: Mapping[str, Any]) -> SignedClaims:
    return SignedClaims(str(claims["iss"]), "0" * 32, NOW, claims)


def changed(claims: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return the claims with one of them changed, also inside an object."""
    result = copy.deepcopy(dict(claims))
    *outer, name = path.split(">")
    members = result
    for step in outer:
        members = members[step]
    if value is ABSENT:
        del members[name]
    else:
        members[name] = value
    return result


def accepts(publisher: TrustedPublisher, claims: Mapping[str, Any]) -> bool:
    """Say whether the publisher is found by these claims, and matches them."""
    return publisher in accepted([publisher], signed(claims))


def accepted(
    publishers: list[TrustedPublisher], claims: SignedClaims
) -> tuple[TrustedPublisher, ...]:
    permission = publishers[0].permission
    provider = entry_for(publishers[0].provider.name, permission)
    keys = identity_keys(claims, provider, permission)
    candidates = [p for p in publishers if p.identity_key in keys]  # as a store does
    try:
        return find_matching(candidates, claims, provider)
    except InvalidPublisher:
        return ()


def refusal(publisher: TrustedPublisher, claims: Mapping[str, Any]) -> str:
    with pytest.raises(InvalidPublisher) as caught:
        find_matching([publisher], signed(claims), publisher.provider)
    return caught.value.detail


def publisher_of(name: str, **fields: FieldValue) -> TrustedPublisher:
    """Return a publisher for the captured claims."""
    issuer, provider = captured(name)["iss"], PROVIDERS[name]
    return TrustedPublisher("id", "acme", issuer, provider, ("widgets",), fields)


def reader_of(name: str, **fields: FieldValue) -> TrustedPublisher:
    """Return a reader for the captured claims; one of a generic issuer compares their subject."""
    reader = replace(publisher_of(name, **fields), projects=(), permission=Permission.READ)
    claims = {} if fields else {"sub": captured(name)["sub"]}
    return replace(reader, provider=READERS[name].form_for(fields), claims=claims)


def strict(name: str) -> TrustedPublisher:
    """Return a publisher with every field: what the entries give as examples fits together."""
    examples = {f.name: example(f) for f in PROVIDERS[name].fields if f.name != "reusable_workflow"}
    claims = {} if examples else {"sub": captured(name)["sub"]}
    return replace(publisher_of(name, **examples), claims=claims)


def example(field: Field) -> FieldValue:
    return (field.example,) if field.any_of else field.example


every_field = pytest.mark.parametrize(
    ("name", "field"),
    [
        pytest.param(name, field, id=f"{name}-{field.name}")
        for name, provider in PROVIDERS.items()
        for field in provider.fields
        if field.name != "reusable_workflow"
    ],
)
